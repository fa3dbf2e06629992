/** Tool calls and their results, in each way that they can be stored. */
import type { Message } from "@scrollback/client";

export interface Call {
  id: string;
  name: string;
  input: unknown;
  /** A result that stands in the same part. */
  output?: unknown;
}

export interface Result {
  id: string;
  output: unknown;
  message: Message;
}

type Fields = Record<string, unknown>;

function isFields(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function partsOf(message: Message): Fields[] {
  return Array.isArray(message.content) ? message.content : [];
}

function callOf(value: unknown): Call | undefined {
  if (!isFields(value)) return undefined;
  const type = text(value["type"]);
  if (isFields(value["function"])) {
    const { name, arguments: input } = value["function"];
    return { id: text(value["id"]), name: text(name), input };
  }
  if (type === "tool_use") return { id: text(value["id"]), name: text(value["name"]), input: value["input"] };
  if (type === "function_call")
    return { id: text(value["call_id"]), name: text(value["name"]), input: value["arguments"] };
  if (type === "tool-call")
    return { id: text(value["toolCallId"]), name: text(value["toolName"]), input: value["input"] };
  if (typeof value["toolCallId"] === "string" && (type === "dynamic-tool" || /^tool-(?!result$)/.test(type))) {
    const output = value["output"] ?? value["errorText"];
    const call = { id: value["toolCallId"], name: text(value["toolName"]) || type.slice(5), input: value["input"] };
    return output === undefined ? call : { ...call, output };
  }
  return undefined;
}

export function callsOf(message: Message): Call[] {
  const stored = Array.isArray(message.tool_calls) ? message.tool_calls : [message.tool_calls];
  return [...stored, ...partsOf(message)].map(callOf).filter((call) => call !== undefined);
}

export function resultsOf(message: Message): Result[] {
  if (message.role === "tool" && message.tool_call_id !== null)
    return [{ id: message.tool_call_id, output: message.content, message }];
  return partsOf(message).flatMap((part): Result[] => {
    if (part["type"] === "tool_result") return [{ id: text(part["tool_use_id"]), output: part["content"], message }];
    if (part["type"] === "function_call_output")
      return [{ id: text(part["call_id"]), output: part["output"], message }];
    if (part["type"] === "tool-result") return [{ id: text(part["toolCallId"]), output: part["output"], message }];
    return [];
  });
}

/** Whether a part is shown as a call or a result, and not as text. */
export function isOfATool(part: unknown): boolean {
  return (
    callOf(part) !== undefined ||
    (isFields(part) && ["tool_result", "function_call_output", "tool-result"].includes(text(part["type"])))
  );
}

/** Which results stand beside which message's calls, and which messages hold nothing else and are not shown again. */
export interface Folded {
  results: Map<number, Map<string, Result>>;
  hidden: Set<number>;
}

/** Puts each result beside the newest call before it that has its id. */
export function fold(messages: Map<number, Message>): Folded {
  const folded: Folded = { results: new Map(), hidden: new Set() };
  const callers = new Map<string, number>();
  for (const [position, message] of [...messages].sort(([a], [b]) => a - b)) {
    const results = resultsOf(message);
    let placed = 0;
    for (const result of results) {
      const caller = callers.get(result.id);
      if (caller === undefined) continue;
      const beside = folded.results.get(caller) ?? new Map<string, Result>();
      if (beside.has(result.id)) continue;
      folded.results.set(caller, beside.set(result.id, result));
      placed += 1;
    }
    const more = partsOf(message).some((part) => !isOfATool(part));
    if (placed > 0 && placed === results.length && (message.role === "tool" || !more)) folded.hidden.add(position);
    for (const call of callsOf(message)) callers.set(call.id, position);
  }
  return folded;
}
