/** Generated streams of a reply, as models and tools make them. They are short and alike, so that two of them often begin in the same way. */
import * as fc from "fast-check";
import type { UIMessageChunk } from "ai";

type Json = Record<string, unknown>;

const word = fc.constantFrom("a", "b", "ab");
const providerMetadata = fc.constantFrom(undefined, { openai: { id: "x" } }, { openai: { id: "y" } });

function written(type: "text" | "reasoning", release: 6 | 7): fc.Arbitrary<Json[]> {
  const cited = type === "text" && release === 7;
  const source = { type: "source", sourceType: "url", id: "s", url: "https://example.com" };
  return fc
    .tuple(fc.array(word, { maxLength: 3 }), fc.boolean(), providerMetadata, fc.boolean())
    .map(([words, ends, providerMetadata, cites]) => [
      { type: `${type}-start`, id: "1" },
      ...words.map((delta) => ({ type: `${type}-delta`, id: "1", delta, providerMetadata })),
      ...(ends ? [{ type: `${type}-end`, id: "1", ...(cited && cites ? { citations: [{ source }] } : {}) }] : []),
    ]);
}

/** A call, up to any of its states. */
function called(release: 6 | 7): fc.Arbitrary<Json[]> {
  return fc
    .record({
      id: fc.constantFrom("c1", "c2"),
      dynamic: fc.boolean(),
      streamed: fc.boolean(),
      input: word,
      refined: fc.option(word),
      approved: fc.option(fc.boolean()),
      fails: fc.boolean(),
      providerMetadata,
      ends: fc.nat(8),
    })
    .map(({ id, dynamic, streamed, input, refined, approved, fails, providerMetadata, ends }) => {
      const call = { toolCallId: id, toolName: "weather", ...(dynamic ? { dynamic } : {}) };
      const raw = JSON.stringify({ city: input });
      const available = (city: string) => ({
        type: "tool-input-available",
        ...call,
        input: { city },
        providerMetadata,
      });
      const answers = release === 7 && approved !== null;
      return [
        ...(streamed
          ? [
              { type: "tool-input-start", ...call },
              { type: "tool-input-delta", toolCallId: id, inputTextDelta: raw.slice(0, 9) },
              { type: "tool-input-delta", toolCallId: id, inputTextDelta: raw.slice(9) },
            ]
          : []),
        available(input),
        ...(refined === null ? [] : [available(refined)]),
        ...(approved === null ? [] : [{ type: "tool-approval-request", toolCallId: id, approvalId: `a-${id}` }]),
        ...(answers ? [{ type: "tool-approval-response", approvalId: `a-${id}`, approved }] : []),
        ...(approved === false
          ? [{ type: "tool-output-denied", toolCallId: id }]
          : fails
            ? [{ type: "tool-output-error", toolCallId: id, errorText: "no" }]
            : [
                { type: "tool-output-available", toolCallId: id, output: 1, preliminary: true },
                { type: "tool-output-available", toolCallId: id, output: 2, providerMetadata },
              ]),
      ].slice(0, ends + 1);
    });
}

const wrong: fc.Arbitrary<Json[]> = word.map((input) => [
  { type: "tool-input-error", toolCallId: "c3", toolName: "weather", input, errorText: "no JSON" },
]);
const url = word.map((name) => `https://example.com/${name}`);
const others: fc.Arbitrary<Json[]>[] = [
  url.map((url) => [{ type: "source-url", sourceId: "s1", url }]),
  url.map((url) => [{ type: "file", mediaType: "image/png", url }]),
  fc.record({ type: fc.constant("data-note"), id: fc.constantFrom("d1", "d2"), data: word }).map((chunk) => [chunk]),
  word.map((data) => [{ type: "data-note", data }]),
  word.map((model) => [{ type: "message-metadata", messageMetadata: { model } }]),
];
const newer: fc.Arbitrary<Json[]>[] = [
  word.map((name) => [{ type: "custom", kind: `acme.${name}` }]),
  url.map((url) => [{ type: "reasoning-file", mediaType: "image/png", url }]),
  word.map((text) => [{ type: "steering-message", id: "m1", parts: [{ type: "text", text }] }]),
  fc.constant<Json[]>([{ type: "reset-step" }]),
];

/** Chunks of a reply with the id `r1`. */
export function streams(release: 6 | 7): fc.Arbitrary<UIMessageChunk[]> {
  const item = fc.oneof(
    written("text", release),
    written("reasoning", release),
    called(release),
    wrong,
    ...others,
    ...(release === 7 ? newer : []),
  );
  return fc.array(fc.array(item, { maxLength: 3 }), { minLength: 1, maxLength: 3 }).map((steps) => {
    // A call's id is in a reply once.
    const ids = new Set<unknown>();
    const isNew = ([first]: Json[]) => first?.["toolCallId"] === undefined || !ids.has(first["toolCallId"]);
    const add = (items: readonly Json[][]) =>
      items.filter((item) => isNew(item) && ids.add(item[0]?.["toolCallId"])).flat();
    return [
      { type: "start", messageId: "r1", messageMetadata: { model: "m" } },
      ...steps.flatMap((items) => [{ type: "start-step" }, ...add(items), { type: "finish-step" }]),
    ];
  }) as fc.Arbitrary<UIMessageChunk[]>;
}
