/**
 * Stored messages in a form that the API takes. One part that it refuses must not cost the rest of a reply. The Python package's adapters escape
 * and cut in the same way.
 */
import type { Message } from "@scrollback/client";
import type { UIMessage } from "ai";

type Json = Record<string, unknown>;

/** A stored message's `metadata.scrollback`. */
export interface Mark {
  /** The fields whose texts are escaped. */
  escaped?: string[];
  /** The other metadata as JSON text, if it has what the API refuses. */
  metadata?: string;
  /** Something was too large to be stored. */
  cut?: true;
}

/** What may be changed in a message to store. */
interface Fields {
  content: string | ({ type: string } & Json)[] | null;
  tool_calls: Json[] | null;
  tool_call_id: string | null;
  metadata: Json;
}

const FIELDS = ["content", "tool_calls", "tool_call_id"] as const;

// The API refuses U+0000 and half surrogate pairs in texts. In a field that has one, they are written as JSON writes them. A backslash is
// changed only where it would be taken for the beginning of such a sequence.
const REFUSED = /\0|\p{Surrogate}/u;
const SPECIAL = /\0|\p{Surrogate}|\\(?=u(?:0000|005c|d[89a-f][\da-f]{2}))/gu;
const ESCAPED = /\\u(0000|005c|d[89a-f][\da-f]{2})/g;

const escapeText = (text: string) =>
  text.replace(SPECIAL, (found) => `\\u${found.charCodeAt(0).toString(16).padStart(4, "0")}`);
const unescapeText = (text: string) =>
  text.replace(ESCAPED, (_, code: string) => String.fromCharCode(parseInt(code, 16)));

/** The message with texts that the API takes. `unescaped` reverses it. */
export function escaped<T extends Fields>(message: T): T {
  const names = FIELDS.filter((name) => hasRefused(message[name]));
  const mark: Mark = names.length > 0 ? { escaped: names } : {};
  // JSON escapes both.
  if (hasRefused(message.metadata)) mark.metadata = JSON.stringify(message.metadata);
  if (Object.keys(mark).length === 0) return message;
  const changed = Object.fromEntries(names.map((name) => [name, strings(message[name], escapeText)]));
  const metadata = mark.metadata === undefined ? message.metadata : {};
  return { ...message, ...changed, metadata: { ...metadata, scrollback: mark } };
}

/** A stored message as it was before `escaped`. */
export function unescaped(message: Message): Message {
  const mark = message.metadata["scrollback"] as Mark | undefined;
  if (!Array.isArray(mark?.escaped) && typeof mark?.metadata !== "string") return message;
  const changed = FIELDS.filter((name) => mark.escaped?.includes(name));
  return {
    ...message,
    ...(Object.fromEntries(changed.map((name) => [name, strings(message[name], unescapeText)])) as Partial<Message>),
    ...(mark.metadata === undefined ? {} : { metadata: JSON.parse(mark.metadata) as Json }),
  };
}

function strings(value: unknown, change: (text: string) => string): unknown {
  if (typeof value === "string") return change(value);
  if (Array.isArray(value)) return value.map((item) => strings(item, change));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, item]) => [change(name), strings(item, change)]));
}

function hasRefused(value: unknown): boolean {
  let found = false;
  strings(value, (text) => {
    found ||= REFUSED.test(text);
    return text;
  });
  return found;
}

/** What the API takes of a message, in bytes of UTF-8 or of JSON, and how deep it may be nested. Some levels are for what is around a value. */
const CONTENT = { bytes: 2 ** 20, depth: 500 };
const CALLS = { bytes: 2 ** 18, depth: 500 };
const METADATA = { bytes: 2 ** 18, depth: 90 };
/** A small value is not worth a cut. */
const SMALL = 1024;

interface Limit {
  bytes: number;
  depth: number;
}

/** The message without what the API would refuse as too large. A note says what is missing. */
export function fitted<T extends Fields>(message: T): T {
  const { content, tool_calls: calls, metadata } = message;
  const fits = [isFit(content, CONTENT), isFit(calls, CALLS), isFit(metadata, METADATA)];
  if (!fits.includes(false)) return message;
  const mark = metadata["scrollback"] as Mark | undefined;
  return {
    ...message,
    content:
      typeof content === "string" ? cut(content, CONTENT.bytes) : content && shortened(content, CONTENT, shortPart),
    tool_calls: calls && shortened(calls, CALLS, shortCall),
    metadata: { ...(fits[2] ? metadata : {}), scrollback: { ...mark, cut: true } },
  };
}

/** The items, of which the largest ones are made smaller until all of them fit. */
function shortened<T>(items: T[], limit: Limit, short: (item: T, excess: number) => T): T[] {
  const left = [...items];
  const order = items.map((item, index) => ({ index, size: sizeOf(item, limit) })).sort((a, b) => b.size - a.size);
  for (const { index, size } of order) {
    const excess = sizeOf(left, limit) - limit.bytes;
    const item = left[index];
    if (excess <= 0 || size < SMALL || item === undefined) break;
    left[index] = short(item, excess);
  }
  return left;
}

function shortPart(part: { type: string } & Json, excess: number): { type: string } & Json {
  const { type, text } = part;
  const size = sizeOf(part, CONTENT);
  if ((type === "text" || type === "reasoning") && typeof text === "string" && Number.isFinite(size)) {
    const rest = sizeOf({ ...part, text: "" }, CONTENT);
    if (rest < SMALL) return { ...part, text: cut(text, size - excess - rest) };
  }
  return { type: "text", text: `[${type}: ${kilobytes(part)}too large to store]` };
}

/** The arguments of a call stay an object. */
function shortCall(call: Json): Json {
  const called = call["function"] as { arguments: string };
  const note = `[${kilobytes(called.arguments)}too large to store]`;
  return { ...call, function: { ...called, arguments: JSON.stringify({ note }) } };
}

/** The beginning of a text. The note is always the same, so that a text that grows behind the cut does not change. */
function cut(text: string, bytes: number): string {
  const note = "\n[cut: the rest is too large to store]";
  if (sizeOf(text, CONTENT) <= bytes) return text;
  // The most characters that fit.
  let [most, less] = [0, text.length];
  while (most < less) {
    const middle = Math.ceil((most + less) / 2);
    if (sizeOf(text.slice(0, middle), CONTENT) <= bytes - SMALL) most = middle;
    else less = middle - 1;
  }
  // Neither a surrogate pair nor an escape is cut in two.
  return text.slice(0, most).replace(/[\uD800-\uDBFF]$|\\(u[\da-f]{0,3})?$/, "") + note;
}

export function isFit(value: unknown, limit: Limit = METADATA): boolean {
  return value === null || sizeOf(value, limit) <= limit.bytes;
}

export const isSmall = (value: unknown): boolean => sizeOf(value, METADATA) < SMALL;

/** The bytes of a text, or of a value in JSON. In a request, a text may become six times as long. */
function sizeOf(value: unknown, { depth }: Limit): number {
  const json = depthOf(value) > depth ? undefined : JSON.stringify(value);
  if (json === undefined) return Infinity;
  return typeof value === "string" ? Math.max(bytesOf(value), bytesOf(json) / 3) : bytesOf(json);
}

function depthOf(value: unknown): number {
  let depth = 0;
  for (let level = [value]; level.length > 0; depth += 1) {
    level = level.flatMap((one) => (typeof one === "object" && one !== null ? (Object.values(one) as unknown[]) : []));
  }
  return depth;
}

export function bytesOf(text: string): number {
  return new TextEncoder().encode(text).length;
}

function kilobytes(value: unknown): string {
  const size = typeof value === "string" ? bytesOf(value) : sizeOf(value, CONTENT);
  return Number.isFinite(size) ? `${String(Math.ceil(size / 1000))} kB, ` : "";
}

/** A message with its texts alone. A note stands for each other part. */
export function textOnly({ id, role, parts }: UIMessage): UIMessage {
  const texts = parts.map((part): UIMessage["parts"][number] => {
    if (part.type === "step-start") return part;
    return { type: "text", text: part.type === "text" ? part.text : `[${part.type}: it could not be stored]` };
  });
  return { id, role, parts: texts };
}
