/** The chunks that make a page's message grow from one state to the next. */
import type { UIMessage, UIMessageChunk } from "ai";
import { isSame } from "./mapping.js";

type Json = Record<string, unknown>;

/** The chunks between what a page has of a message and what it is now. Without `before`, the page has nothing of it. */
export function toChunks(before: UIMessage | undefined, now: UIMessage, done: boolean): UIMessageChunk[] {
  const chunks: Json[] = [];
  if (!before) chunks.push({ type: "start", messageId: now.id, messageMetadata: now.metadata });
  else if (!isSame(before.metadata, now.metadata)) {
    chunks.push({ type: "message-metadata", messageMetadata: now.metadata });
  }
  let had = (before?.parts ?? []) as Json[];
  const parts = now.parts as Json[];
  if (had.some((part, index) => !grows(part, parts[index]))) {
    // The step was begun anew, which only release 7 of the SDK does.
    chunks.push({ type: "reset-step" });
    had = had.slice(0, had.findLastIndex(({ type }) => type === "step-start") + 1);
  }
  parts.forEach((part, index) => {
    const old = had[index];
    if (!isSame(old, part)) chunks.push(...changes(old, part, index));
  });
  if (done) chunks.push({ type: "finish" });
  // What has no value is left out: the page's schema is strict.
  return JSON.parse(JSON.stringify(chunks)) as UIMessageChunk[];
}

function grows(old: Json, part: Json | undefined): boolean {
  if (old["type"] !== part?.["type"] || old["toolCallId"] !== part?.["toolCallId"]) return false;
  return typeof old["text"] !== "string" || String(part?.["text"]).startsWith(old["text"]);
}

function changes(old: Json | undefined, part: Json, index: number): Json[] {
  const type = String(part["type"]);
  if (type === "text" || type === "reasoning") return textChanges(old, part, type, index);
  if (type === "step-start") return [{ type: "start-step" }];
  if (type === "dynamic-tool" || type.startsWith("tool-")) return toolChanges(old, part, type);
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
  if (delta !== "") chunks.push({ type: `${type}-delta`, id, delta, providerMetadata });
  if (state === "done" && old?.["state"] !== "done") {
    chunks.push({ type: `${type}-end`, id, providerMetadata, citations });
  }
  return chunks;
}

function toolChanges(old: Json | undefined, part: Json, type: string): Json[] {
  const dynamic = type === "dynamic-tool";
  const { toolCallId, input, rawInput, state, output, errorText, preliminary } = part;
  const { inputEncoding, title, toolMetadata, providerExecuted, callProviderMetadata, resultProviderMetadata } = part;
  const toolName = dynamic ? part["toolName"] : type.slice("tool-".length);
  const called = { toolCallId, toolName, title, toolMetadata, providerExecuted, ...(dynamic ? { dynamic } : {}) };
  const chunks: Json[] = [];
  if (state === "input-streaming") {
    if (!old) {
      chunks.push({ type: "tool-input-start", ...called, inputEncoding, providerMetadata: callProviderMetadata });
    }
    const had = typeof old?.["rawInput"] === "string" ? old["rawInput"].length : 0;
    const inputTextDelta = typeof rawInput === "string" ? rawInput.slice(had) : "";
    if (inputTextDelta !== "") chunks.push({ type: "tool-input-delta", toolCallId, inputTextDelta });
    return chunks;
  }
  const begun = old && old["state"] !== "input-streaming";
  if (!begun && state === "output-error" && input === undefined) {
    const providerMetadata = resultProviderMetadata ?? callProviderMetadata;
    return [{ type: "tool-input-error", ...called, input: rawInput, errorText, providerMetadata }];
  }
  if (!begun) {
    chunks.push({ type: "tool-input-available", ...called, input, providerMetadata: callProviderMetadata });
  }
  const approval = part["approval"] as Json | undefined;
  if (approval && !old?.["approval"]) {
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
