/** What the page passes to `DefaultChatTransport`, and ids. */
import { newId } from "@scrollback/client";
import type { UIMessage } from "ai";
import type { ChatRequest } from "./chat.js";

/** Ids for messages, for the SDK's `generateMessageId`: UUIDs of version 7. */
export function generateMessageId(): string {
  return newId();
}

/** For the transport's `prepareSendMessagesRequest`: the page sends its last message only, because the server has the others. */
export function prepareSendMessagesRequest<M extends UIMessage>(request: {
  id: string;
  messages: M[];
  trigger: "submit-message" | "regenerate-message";
  messageId: string | undefined;
  body?: Record<string, unknown> | undefined;
}): { body: ChatRequest<M> & Record<string, unknown> } {
  const { id, messages, trigger, messageId, body } = request;
  const message = trigger === "submit-message" ? messages.at(-1) : undefined;
  return { body: { ...body, id, message, trigger, messageId } };
}

/**
 * Makes the transport's `prepareReconnectToStreamRequest`, for a page that was loaded with these messages. The server is told the last one,
 * so that a reply that ends between loading and resuming is not missed.
 */
export function prepareReconnectToStreamRequest(
  messages: readonly UIMessage[],
): (request: { id: string; api: string }) => { api: string } {
  const after = messages.at(-1)?.id;
  return ({ id, api }) => {
    const query = after === undefined ? "" : `?${new URLSearchParams({ after }).toString()}`;
    return { api: `${api}/${encodeURIComponent(id)}/stream${query}` };
  };
}
