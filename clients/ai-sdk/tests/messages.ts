/** Generated UI messages with every part of both releases of the SDK, in every state. */
import * as fc from "fast-check";
import type { UIMessage } from "ai";

const plain = fc.string({ unit: "grapheme", maxLength: 12 });
/** What the API refuses in a text, and what looks like its escapes. */
const odd = fc.string({
  unit: fc.constantFrom("\0", "\ud83d", "\ude00", "\\", "u", "\\u0000", "\\u005c", "\\ud83d", "a"),
  maxLength: 6,
});
const text = fc.oneof({ weight: 6, arbitrary: plain }, { weight: 1, arbitrary: odd });
const filled = plain.filter((text) => text !== "");
const json = fc
  .oneof({ weight: 6, arbitrary: fc.jsonValue({ maxDepth: 2, stringUnit: "grapheme" }) }, { weight: 1, arbitrary: odd })
  // What JSON keeps: it has no negative zero.
  .map((value) => JSON.parse(JSON.stringify(value)) as unknown);
const object = fc.dictionary(filled, json, { maxKeys: 2 }).map((value) => JSON.parse(JSON.stringify(value)) as object);
const providerMetadata = fc.dictionary(fc.constantFrom("openai", "anthropic"), object, { maxKeys: 1 });

const record = <T>(
  required: { [K in keyof T]: fc.Arbitrary<T[K]> },
  optional: Record<string, fc.Arbitrary<unknown>> = {},
) =>
  fc.record<Record<string, unknown>>(
    { ...required, ...optional },
    {
      requiredKeys: Object.keys(required),
    },
  );
const kind = (type: string) => ({ type: fc.constant(type) });

const state = fc.constantFrom("streaming", "done");
const url = fc.webUrl();
const mediaType = fc.constantFrom("image/png", "application/pdf");
const textPart = record({ ...kind("text"), text }, { state, providerMetadata });
const filePart = record({ ...kind("file"), mediaType, url }, { filename: filled, providerMetadata });

const approvals = {
  asked: record({ id: filled }, { isAutomatic: fc.boolean(), signature: filled }),
  given: record({ id: filled, approved: fc.boolean() }, { reason: text }),
  yes: record({ id: filled, approved: fc.constant(true) }, { reason: text }),
  no: record({ id: filled, approved: fc.constant(false) }, { reason: text }),
};

/** A tool's part in every state. Both spellings have the same members. */
function toolPart(tool: Record<string, fc.Arbitrary<unknown>>): fc.Arbitrary<Record<string, unknown>> {
  const called = { ...tool, toolCallId: filled };
  const more = { title: text, providerExecuted: fc.boolean(), callProviderMetadata: providerMetadata };
  const is = (state: string) => ({ state: fc.constant(state) });
  return fc.oneof(
    record({ ...called, ...is("input-streaming") }, { ...more, input: json }),
    record({ ...called, ...is("input-available"), input: json }, more),
    record({ ...called, ...is("approval-requested"), input: json, approval: approvals.asked }, more),
    record({ ...called, ...is("approval-responded"), input: json, approval: approvals.given }, more),
    record(
      { ...called, ...is("output-available"), input: json, output: fc.oneof(json, text) },
      { ...more, approval: approvals.yes, preliminary: fc.boolean(), resultProviderMetadata: providerMetadata },
    ),
    record(
      { ...called, ...is("output-error"), input: json, errorText: text },
      { ...more, approval: approvals.yes, resultProviderMetadata: providerMetadata },
    ),
    record({ ...called, ...is("output-error"), rawInput: json, errorText: text }, more),
    record({ ...called, ...is("output-denied"), input: json, approval: approvals.no }, more),
  );
}

const custom = fc.constantFrom("acme.note", "acme.chart");
const shared = [
  textPart,
  record({ ...kind("reasoning"), text }, { state, providerMetadata, id: filled }),
  filePart,
  record({ ...kind("source-url"), sourceId: filled, url }, { title: text, providerMetadata }),
  record(
    { ...kind("source-document"), sourceId: filled, mediaType, title: text },
    { filename: text, providerMetadata },
  ),
  record({ ...kind("data-weather"), data: json }, { id: filled }),
  fc.constant({ type: "step-start" }),
  toolPart({ ...kind("dynamic-tool"), toolName: filled }),
  toolPart(kind("tool-weather")),
];
const cited = record(
  { ...kind("source"), sourceType: fc.constant("url"), id: filled, url },
  { title: text, providerMetadata },
).map((source) => ({ source }));
/** What release 7 has beside these. */
const newer = [
  record({ ...kind("text"), text, citations: fc.array(cited, { maxLength: 2 }) }, { state }),
  record({ ...kind("custom"), kind: custom }, { providerMetadata }),
  record({ ...kind("reasoning-file"), mediaType, url }, { providerMetadata }),
  record({ ...kind("steering-message"), id: filled, parts: fc.array(textPart, { minLength: 1, maxLength: 2 }) }),
];

/** Messages with different ids. Each has a part, because the SDK's validation refuses a message without one. */
export function histories(release: 6 | 7): fc.Arbitrary<UIMessage[]> {
  const part = fc.oneof(...shared, ...(release === 7 ? newer : []));
  const assistant = record(
    { role: fc.constant("assistant"), parts: fc.array(part, { minLength: 1, maxLength: 8 }) },
    { metadata: json },
  );
  const user = record(
    {
      role: fc.constantFrom("user", "system"),
      parts: fc.array(fc.oneof(textPart, filePart), { minLength: 1, maxLength: 3 }),
    },
    { metadata: object },
  );
  return fc
    .uniqueArray(fc.tuple(filled, fc.oneof(assistant, assistant, user)), {
      selector: ([id]) => id,
      minLength: 1,
      maxLength: 4,
    })
    .map(
      (messages) => JSON.parse(JSON.stringify(messages.map(([id, message]) => ({ id, ...message })))) as UIMessage[],
    );
}
