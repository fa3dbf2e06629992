/** How a UI message becomes stored messages, and comes back as it was. */
import type { Message, NewMessage } from "@scrollback/client";
import type { UIMessage } from "ai";
import { escaped, fitted, isFit, isSmall, unescaped, type Mark } from "./storable.js";

type Json = Record<string, unknown>;

/**
 * Where a part of the UI message is: the next part of `content` (`"part"`), the text that `content` is, or the next of `tool_calls`. What
 * these have no room for stands beside it. `"step-start"` is nowhere else.
 */
type Place = "step-start" | "part" | { text: Json } | { call: Json; arguments: "input" | "rawInput" | "none" };

/** A stored message's `metadata.ai_sdk`. Lists are replaced as a whole by a merge patch, so that objects in them keep their nulls. */
interface Note {
  /** The id of the UI message. */
  id: string;
  /** The number of this stored message in the UI message, from 0. */
  n: number;
  parts?: Place[];
  /** Whether the UI message ends here. */
  last?: true | null;
  /** The UI message's metadata, as the only item. It is with the last stored message, because it changes at the end of a reply. */
  metadata?: [unknown] | null;
  /** In a tool's result: the number of the call in its stored message, from 0. */
  call?: number;
  /** In a tool's result: what the content is. */
  result?: "text" | "json" | "error" | "denied";
}

/** A stored message before it has its id. */
export type Row = Pick<NewMessage, "role"> & {
  content: string | ({ type: string } & Json)[] | null;
  tool_calls: Json[] | null;
  tool_call_id: string | null;
  metadata: { ai_sdk?: Note; scrollback?: Mark };
};

/** A row that is being made. */
type Draft = Row & { metadata: { ai_sdk: Note } };

/** Stored messages that are one UI message. */
export interface Group<M extends UIMessage = UIMessage> {
  message: M;
  rows: Message[];
  /** Whether the reply is still being written. */
  inProgress: boolean;
}

const DENIED = "Tool execution denied.";

/** The stored messages of a UI message: one for each step, and one for each tool result behind it. */
export function toRows(message: UIMessage): Row[] {
  if (message.id === "") {
    throw new TypeError(
      "the message has no id: pass originalMessages and generateMessageId to toUIMessageStream, so that replies have one",
    );
  }
  // Only what JSON keeps can be stored.
  const { id, role, metadata, parts } = JSON.parse(JSON.stringify(message)) as UIMessage;
  const rows: Draft[] = [];
  for (const step of role === "assistant" ? stepsOf(parts) : [parts as Json[]]) {
    const content: ({ type: string } & Json)[] = [];
    const calls: Json[] = [];
    const results: Draft[] = [];
    const places: Place[] = [];
    const only = step.filter((part) => !isStep(part) && !(role === "assistant" && isTool(part))).length === 1;
    let text: string | undefined;
    for (const part of step) {
      if (isStep(part)) {
        places.push("step-start");
      } else if (role === "assistant" && isTool(part)) {
        const { call, place, result } = splitCall(part);
        if (result) results.push({ ...result, metadata: { ai_sdk: { id, n: 0, call: calls.length, ...result.note } } });
        calls.push(call);
        places.push(place);
      } else if (only && part["type"] === "text") {
        const { type: _, text: whole, ...rest } = part;
        text = String(whole);
        places.push({ text: rest });
      } else {
        content.push(part as { type: string } & Json);
        places.push("part");
      }
    }
    rows.push({
      role,
      content: text ?? (content.length > 0 ? content : calls.length > 0 ? null : ""),
      tool_calls: calls.length > 0 ? calls : null,
      tool_call_id: null,
      metadata: { ai_sdk: { id, n: 0, parts: places } },
    });
    for (const { role, content, tool_calls, tool_call_id, metadata } of results) {
      rows.push({ role, content, tool_calls, tool_call_id, metadata });
    }
  }
  rows.forEach((row, n) => (row.metadata.ai_sdk.n = n));
  const last = rows.at(-1)?.metadata.ai_sdk;
  if (last) {
    last.last = true;
    if (metadata !== undefined) last.metadata = [metadata];
  }
  return rows.map(storable);
}

/** The row in a form that the API takes. */
function storable(row: Draft): Row {
  const note = light(row.metadata.ai_sdk);
  const made: Row = fitted(escaped<Row>({ ...row, metadata: { ai_sdk: note } }));
  return note === row.metadata.ai_sdk
    ? made
    : { ...made, metadata: { ...made.metadata, scrollback: { ...made.metadata.scrollback, cut: true } } };
}

/** A note that is not too large: without the UI message's metadata, or what its parts have in no other place, such as provider metadata. */
function light(note: Note): Note {
  if (isFit(note)) return note;
  const { metadata, parts = [], ...rest } = note;
  if (isFit({ ...rest, parts })) return { ...rest, parts };
  const small = (part: Json) => Object.fromEntries(Object.entries(part).filter(([, value]) => isSmall(value)));
  const lighter = parts.map((place): Place => {
    if (typeof place === "string") return place;
    return "text" in place ? { text: small(place.text) } : { ...place, call: small(place.call) };
  });
  const kept = { ...rest, parts: lighter, ...(metadata ? { metadata } : {}) };
  return isFit(kept) ? kept : { ...rest, parts: lighter };
}

/** The UI messages of stored messages, in their order. Messages that another program has stored become UI messages, too. */
export function toGroups<M extends UIMessage>(stored: readonly Message[]): Group<M>[] {
  const groups: Group<M>[] = [];
  let at = 0;
  for (const bunch of bunchesOf(stored.map(unescaped))) {
    const rows = stored.slice(at, (at += bunch.length));
    const [first] = bunch;
    if (!first) continue;
    const note = noteOf(bunch.at(-1));
    const message: Json = {
      id: noteOf(first)?.id ?? first.id,
      role: first.role === "developer" ? "system" : first.role === "tool" ? "assistant" : first.role,
      parts: partsOf(bunch),
    };
    if (note?.metadata) message["metadata"] = note.metadata[0];
    const inProgress = bunch.some(({ status }) => status === "in_progress");
    groups.push({ message: message as unknown as M, rows, inProgress });
  }
  return groups;
}

/** Whether a stored message is what it would be stored as. */
export function isStored(stored: Message, row: Row): boolean {
  return (
    stored.role === row.role &&
    stored.tool_call_id === row.tool_call_id &&
    isSame(stored.content, row.content) &&
    isSame(stored.tool_calls, row.tool_calls) &&
    isSame(stored.metadata["ai_sdk"], row.metadata.ai_sdk) &&
    isSame(stored.metadata["scrollback"], row.metadata.scrollback)
  );
}

/** Whether two values of JSON are equal, whatever the order of their members. */
export function isSame(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const [names, others] = [Object.keys(a), Object.keys(b)];
  return (
    names.length === others.length &&
    names.every((name) => Object.hasOwn(b, name) && isSame((a as Json)[name], (b as Json)[name]))
  );
}

function isStep(part: Json): boolean {
  return part["type"] === "step-start" && Object.keys(part).length === 1;
}

/** A tool part, as the SDK makes them. Anything else that is called so is stored as it is. */
export function isTool(part: Json): boolean {
  const type = String(part["type"]);
  const named = type === "dynamic-tool" ? typeof part["toolName"] === "string" : type.startsWith("tool-");
  return named && typeof part["toolCallId"] === "string" && typeof part["state"] === "string";
}

/** The parts of each step. What comes before the first step, such as data, belongs to it. */
function stepsOf(parts: Json[]): Json[][] {
  const steps: Json[][] = [[]];
  let begun = false;
  for (const part of parts) {
    if (isStep(part) && begun) {
      steps.push([]);
      begun = false;
    }
    begun ||= !isStep(part) && !String(part["type"]).startsWith("data-");
    steps.at(-1)?.push(part);
  }
  return steps;
}

/** A tool part as a call of the Chat Completions API, and its result. */
function splitCall(part: Json): { call: Json; place: Place; result?: Omit<Row, "metadata"> & { note: Partial<Note> } } {
  const { toolCallId, input, output, errorText, ...rest } = part;
  const type = String(rest["type"]);
  const name = type === "dynamic-tool" ? String(rest["toolName"]) : type.slice("tool-".length);
  if (type === "dynamic-tool") delete rest["toolName"];
  let given: unknown = input;
  let from: "input" | "rawInput" | "none" = input === undefined ? "none" : "input";
  if (from === "none" && rest["rawInput"] !== undefined) {
    from = "rawInput";
    given = rest["rawInput"];
    delete rest["rawInput"];
  }
  const call = {
    id: toolCallId,
    type: "function",
    function: { name, arguments: JSON.stringify(from === "none" ? {} : given) },
  };
  const place: Place = { call: rest, arguments: from };
  const result = (content: string, result: Note["result"]) => ({
    call,
    place,
    result: {
      role: "tool" as const,
      content,
      tool_calls: null,
      tool_call_id: String(toolCallId),
      note: { result } as Partial<Note>,
    },
  });
  if (typeof output === "string") return result(output, "text");
  if (output !== undefined) return result(JSON.stringify(output), "json");
  if (typeof errorText === "string") return result(errorText, "error");
  if (rest["state"] === "output-denied") {
    const reason = (rest["approval"] as { reason?: unknown } | undefined)?.reason;
    return result(typeof reason === "string" && reason !== "" ? reason : DENIED, "denied");
  }
  return { call, place };
}

function noteOf(message: Message | undefined): Note | undefined {
  const note = message?.metadata["ai_sdk"] as Partial<Note> | null | undefined;
  return typeof note?.id === "string" && typeof note.n === "number" ? (note as Note) : undefined;
}

/** Whether a stored message belongs to the UI message of those before it. */
export function continues(before: readonly Message[], message: Message): boolean {
  return goesOn(before.slice(0, 1).map(unescaped), unescaped(message));
}

function goesOn([first]: readonly Message[], message: Message): boolean {
  const note = noteOf(message);
  return note ? note.id === noteOf(first)?.id : message.role === "tool" && first?.role === "assistant";
}

/** Stored messages in bunches: those of a UI message, or another program's message with the tool results behind it. */
function bunchesOf(stored: readonly Message[]): Message[][] {
  const bunches: Message[][] = [];
  for (const message of stored) {
    const bunch = bunches.at(-1);
    if (bunch && goesOn(bunch, message)) bunch.push(message);
    else bunches.push([message]);
  }
  return bunches;
}

function partsOf(bunch: Message[]): Json[] {
  const parts: Json[] = [];
  bunch.forEach((row, index) => {
    if (row.role === "tool" && index > 0) return;
    const next = bunch.findIndex((other, at) => at > index && other.role !== "tool");
    const results = bunch.slice(index + 1, next < 0 ? undefined : next);
    const places = noteOf(row)?.parts;
    const calls = Array.isArray(row.tool_calls) ? (row.tool_calls as Json[]) : [];
    const items = Array.isArray(row.content) ? (row.content as Json[]) : [];
    const isText = typeof row.content === "string";
    const counted = (places ?? []).map((place) => (typeof place === "string" ? place : Object.keys(place)[0]));
    const count = (kind: string) => counted.filter((one) => one === kind).length;
    const fits =
      places !== undefined &&
      count("part") === items.length &&
      count("call") === calls.length &&
      (count("text") === 1 ? isText : !isText || row.content === "");
    // Somebody may have edited the message so that the places are of no use.
    parts.push(...(fits ? placed(places, row, items, calls, results) : plain(row, items, calls, results)));
  });
  return parts;
}

function placed(places: Place[], row: Message, items: Json[], calls: Json[], results: Message[]): Json[] {
  let [item, call] = [0, 0];
  return places.map((place): Json => {
    if (place === "step-start") return { type: "step-start" };
    if (place === "part") return items[item++] ?? {};
    if ("text" in place) return { type: "text", text: row.content, ...place.text };
    const number = call++;
    const result = results.find((result) => noteOf(result)?.call === number);
    return joinCall(calls[number] ?? {}, place, result);
  });
}

function joinCall(call: Json, place: Exclude<Place, string | { text: Json }>, result: Message | undefined): Json {
  const called = (call["function"] ?? {}) as Json;
  const part: Json = { ...place.call, toolCallId: call["id"] };
  if (part["type"] === "dynamic-tool") part["toolName"] = called["name"];
  if (place.arguments !== "none") part[place.arguments] = parsed(called["arguments"]);
  const kind = noteOf(result)?.result;
  if (result && kind === "text") part["output"] = result.content;
  if (result && kind === "json") part["output"] = parsed(result.content);
  if (result && kind === "error") part["errorText"] = result.content;
  // Somebody has deleted the result.
  if (!result && String(part["state"]).startsWith("output-")) {
    part["state"] = "input-available";
    for (const name of ["approval", "preliminary", "resultProviderMetadata"]) Reflect.deleteProperty(part, name);
  }
  return part;
}

/** The parts of a message that another program has stored, in the form of the Chat Completions API. */
function plain(row: Message, items: Json[], calls: Json[], results: Message[]): Json[] {
  const parts: Json[] = row.role === "assistant" ? [{ type: "step-start" }] : [];
  if (typeof row.content === "string" && (row.content !== "" || calls.length === 0)) {
    parts.push({ type: "text", text: row.content });
  }
  for (const item of items) {
    if (item["type"] === "text" && typeof item["text"] === "string") parts.push(item);
  }
  for (const call of calls) {
    const called = call["function"] as Json | undefined;
    if (typeof call["id"] !== "string" || typeof called?.["name"] !== "string") continue;
    const part = { type: "dynamic-tool", toolName: called["name"], toolCallId: call["id"] };
    const result = results.find((result) => result.tool_call_id === call["id"]);
    const input = parsed(called["arguments"]);
    if (result) parts.push({ ...part, state: "output-available", input, output: result.content });
    else parts.push({ ...part, state: "input-available", input });
  }
  return parts;
}

function parsed(text: unknown): unknown {
  try {
    return JSON.parse(String(text));
  } catch {
    return text;
  }
}
