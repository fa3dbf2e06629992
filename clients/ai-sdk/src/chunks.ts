/** The chunks that make a page's message grow from one state to the next. */
import type { UIMessage, UIMessageChunk } from "ai";
import { isSame, isTool } from "./mapping.js";

type Json = Record<string, unknown>;

/** What is sent when no chunk leads to what is stored now. */
export const CHANGED: UIMessageChunk = { type: "error", errorText: "The reply was changed. Load the chat again." };

/**
 * The chunks between what a page has of a message and what it is now. Without `before`, the page has nothing of it. If no
 * chunks lead there, an error is the only one.
 */
export function toChunks(
  before: UIMessage | undefined,
  now: UIMessage,
  done: boolean,
  release: 6 | 7,
): UIMessageChunk[] {
  const chunks: Json[] = [];
  if (!before) chunks.push({ type: "start", messageId: now.id, messageMetadata: now.metadata });
  else if (!isSame(before.metadata, now.metadata)) {
    chunks.push({ type: "message-metadata", messageMetadata: now.metadata });
  }
  let had = (before?.parts ?? []) as Json[];
  const parts = now.parts as Json[];
  const step = had.findLastIndex(({ type }) => type === "step-start") + 1;
  const first = had.findIndex((part, index) => !grows(part, parts[index], index >= step));
  if (first >= 0) {
    // Release 7 begins a step anew when the model fails in the middle of it. Only the last step can be, and release 6 has no chunk for it.
    if (release === 6 || first < step) return [CHANGED];
    chunks.push({ type: "reset-step" });
    had = had.slice(0, step);
  }
  parts.forEach((part, index) => {
    const old = had[index];
    if (!isSame(old, part)) chunks.push(...changes(old, part, index, release));
  });
  if (done) chunks.push({ type: "finish" });
  // What has no value is left out: the page's schema is strict.
  return JSON.parse(JSON.stringify(chunks)) as UIMessageChunk[];
}

/** What a chunk adds or replaces, and does not take away. */
const KEPT = [
  "providerMetadata",
  "callProviderMetadata",
  "resultProviderMetadata",
  "toolMetadata",
  "providerExecuted",
  "title",
] as const;

/** Whether chunks can make the one part of the other. A call is made again in the last step only. */
function grows(old: Json, part: Json | undefined, inLastStep: boolean): boolean {
  if (isSame(old, part)) return true;
  const same = (name: string) => isSame(old[name], part?.[name]);
  if (!part || !same("type") || KEPT.some((name) => old[name] !== undefined && part[name] === undefined)) return false;
  const type = String(part["type"]);
  if (type === "text" || type === "reasoning") {
    return old["state"] === "streaming" && same("id") && extended(old, part, "text");
  }
  if (type.startsWith("data-")) return old["id"] !== undefined && same("id");
  if (!isTool(part) || !same("toolCallId") || !same("toolName")) return false;
  const [asked, approval] = [old["approval"], part["approval"]] as (Json | undefined)[];
  return (inLastStep || goesOn(old, part)) && isSame({ ...approval, ...asked }, approval ?? {});
}

function extended(old: Json | undefined, part: Json, name: string): boolean {
  return old !== undefined && textOf(part[name]).startsWith(textOf(old[name]));
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function changes(old: Json | undefined, part: Json, index: number, release: 6 | 7): Json[] {
  const type = String(part["type"]);
  if (type === "text" || type === "reasoning") return textChanges(old, part, type, index);
  if (type === "step-start") return [{ type: "start-step" }];
  if (isTool(part)) return toolChanges(old, part, release);
  if (type === "file") {
    const { url, mediaType, providerMetadata } = part;
    return [{ type, url, mediaType, providerMetadata }];
  }
  return [part];
}

function textChanges(old: Json | undefined, part: Json, type: string, index: number): Json[] {
  const id = typeof part["id"] === "string" ? part["id"] : `${type}-${String(index)}`;
  const { providerMetadata, citations, state } = part;
  const chunks: Json[] = [];
  if (!old) chunks.push({ type: `${type}-start`, id, providerMetadata });
  const delta = String(part["text"]).slice(old ? String(old["text"]).length : 0);
  if (delta !== "" || (old && state === "streaming"))
    chunks.push({ type: `${type}-delta`, id, delta, providerMetadata });
  if (state !== "streaming") chunks.push({ type: `${type}-end`, id, providerMetadata, citations });
  return chunks;
}

function toolChanges(old: Json | undefined, part: Json, release: 6 | 7): Json[] {
  const type = String(part["type"]);
  const dynamic = type === "dynamic-tool";
  const { toolCallId, input, rawInput, state, output, errorText, preliminary } = part;
  const { inputEncoding, title, toolMetadata, providerExecuted, callProviderMetadata, resultProviderMetadata } = part;
  const toolName = dynamic ? part["toolName"] : type.slice("tool-".length);
  const called = { toolCallId, toolName, title, toolMetadata, providerExecuted, ...(dynamic ? { dynamic } : {}) };
  const chunks: Json[] = [];
  if (state === "input-streaming") {
    const begun = old?.["state"] === state && extended(old, part, "rawInput");
    if (!begun) {
      chunks.push({ type: "tool-input-start", ...called, inputEncoding, providerMetadata: callProviderMetadata });
    }
    const inputTextDelta = textOf(rawInput).slice(begun ? textOf(old["rawInput"]).length : 0);
    if (inputTextDelta !== "") chunks.push({ type: "tool-input-delta", toolCallId, inputTextDelta });
    return chunks;
  }
  const known = old && goesOn(old, part) ? old : undefined;
  if (!known && state === "output-error" && input === undefined) {
    const providerMetadata = resultProviderMetadata ?? callProviderMetadata;
    return [{ type: "tool-input-error", ...called, input: rawInput, errorText, providerMetadata }];
  }
  // A call that has changed is made again, which takes back what came of it.
  if (!known) chunks.push({ type: "tool-input-available", ...called, input, providerMetadata: callProviderMetadata });
  const approval = part["approval"] as Json | undefined;
  const asked = known?.["approval"] as Json | undefined;
  if (approval && !asked) {
    const { id, descriptor, inputSchemaInput, requestReason, isAutomatic, signature } = approval;
    const optional = { inputSchemaInput, reason: requestReason, isAutomatic, signature };
    chunks.push({
      type: "tool-approval-request",
      approvalId: id,
      toolCallId,
      approvalDescriptor: descriptor,
      ...optional,
    });
  }
  if (release === 7 && approval?.["approved"] !== undefined && asked?.["approved"] === undefined) {
    const { id, approved, reason } = approval;
    chunks.push({ type: "tool-approval-response", approvalId: id, approved, reason });
  }
  const result = { toolCallId, toolMetadata, providerExecuted, providerMetadata: resultProviderMetadata };
  const flag = dynamic ? { dynamic } : {};
  if (state === "output-available") {
    chunks.push({ type: "tool-output-available", ...result, ...flag, output, preliminary });
  } else if (state === "output-error") {
    chunks.push({ type: "tool-output-error", ...result, ...flag, errorText });
  } else if (state === "output-denied") {
    chunks.push({ type: "tool-output-denied", toolCallId });
  }
  return chunks;
}

const RESULT = 4;

/** Whether the same call has come further, or has a newer result in place of a preliminary one. */
function goesOn(old: Json, part: Json): boolean {
  const same = ["input", "title", "callProviderMetadata"].every((name) => isSame(old[name], part[name]));
  const [before, now] = [progress(old), progress(part)];
  return same && before > 0 && (before < now || (old["preliminary"] === true && now === RESULT));
}

/** How far a call has come: its input, the question whether it may run, the answer, its result. */
function progress({ state }: Json): number {
  const before = ["input-streaming", "input-available", "approval-requested", "approval-responded"].indexOf(
    String(state),
  );
  return before < 0 ? RESULT : before;
}
