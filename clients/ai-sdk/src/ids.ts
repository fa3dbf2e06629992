/** Ids of version 5 (RFC 9562): the same name has the same id, in every process. */

const UUID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i;
const CHATS = "8f1c4a52-0d0c-5b6e-9a3b-4c6d7f20e1b9";

/**
 * The id of the conversation that holds a chat. A UUID is its own. Any other id, such as those of the SDK's `generateId`, has a UUID of
 * version 5.
 */
export async function conversationId(chatId: string): Promise<string> {
  if (typeof chatId !== "string" || chatId === "") throw new TypeError("the chat has no id");
  return UUID.test(chatId) ? chatId.toLowerCase() : uuid5(CHATS, chatId);
}

/** The id of the nth stored message of a UI message, so that storing it twice is storing it once. */
export function rowId(conversation: string, id: string, n: number): Promise<string> {
  return uuid5(conversation, `${String(n)} ${id}`);
}

async function uuid5(namespace: string, name: string): Promise<string> {
  const space = namespace.replaceAll("-", "").match(/../g) ?? [];
  const input = Uint8Array.from([...space.map((byte) => parseInt(byte, 16)), ...new TextEncoder().encode(name)]);
  const bytes = new Uint8Array(await crypto.subtle.digest("SHA-1", input)).subarray(0, 16);
  const view = new DataView(bytes.buffer);
  view.setUint8(6, (view.getUint8(6) & 0x0f) | 0x50);
  view.setUint8(8, (view.getUint8(8) & 0x3f) | 0x80);
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}
