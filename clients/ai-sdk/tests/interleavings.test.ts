/**
 * Random interleavings of what users do in several pages at once, against the real API. Every reply that a page was shown is stored behind its own
 * question, whatever is edited, generated anew or chosen in the meantime. With `keep: false` it is in the history, or `stored` rejects. `CASES` is
 * how many are tried, and `SEED` repeats a run.
 */
import { readUIMessageStream, type UIMessage, type UIMessageChunk } from "ai";
import * as fc from "fast-check";
import { expect } from "vitest";
import { chatStore, generateMessageId, type ChatStore } from "../src/index.js";
import { test } from "./fixtures.js";

const CASES = Number(process.env["CASES"] ?? 15);
const SEED = Number(process.env["SEED"] ?? Date.now() % 0x7fffffff);

const sleep = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** What a model says: a word, or a tool's call and, after a pause, its result. */
interface Piece {
  tool: boolean;
  pause: number;
}
interface Send {
  at: number;
  /** What lies between the question and the model: retrieval, for example. */
  retrieval: number;
  pieces: Piece[];
}
interface Other {
  does: "regenerate" | "stop" | "reload" | "edit" | "choose";
  at: number;
  /** Which message is edited or chosen. */
  which: number;
  pieces: Piece[];
}
interface Plan {
  sends: Send[];
  others: Other[];
  flushMilliseconds: number;
}

const upTo = (max: number) => fc.oneof(fc.constant(0), fc.nat(max));
const pieces = fc.array(fc.record({ tool: fc.boolean(), pause: upTo(60) }), { minLength: 1, maxLength: 6 });
const plans = (...does: Other["does"][]): fc.Arbitrary<Plan> =>
  fc.record({
    sends: fc.array(fc.record({ at: upTo(120), retrieval: upTo(80), pieces }), { minLength: 1, maxLength: 4 }),
    others: fc.array(fc.record({ does: fc.constantFrom(...does), at: upTo(300), which: fc.nat(), pieces }), {
      maxLength: 4,
    }),
    flushMilliseconds: fc.constantFrom(0, 10, 50),
  });

/** The chunks of a reply, as `streamText` makes them. */
function model(id: string, pieces: Piece[], signal: AbortSignal): ReadableStream<UIMessageChunk> {
  async function* chunks(): AsyncGenerator<UIMessageChunk> {
    yield { type: "start", messageId: id };
    yield { type: "start-step" };
    for (const [n, { tool, pause }] of pieces.entries()) {
      const name = String(n);
      if (tool) {
        yield { type: "tool-input-available", toolCallId: `${id}-${name}`, toolName: "weather", input: {} };
        await sleep(pause);
        yield { type: "tool-output-available", toolCallId: `${id}-${name}`, output: { rain: n } };
        yield { type: "finish-step" };
        yield { type: "start-step" };
      } else {
        yield { type: "text-start", id: name };
        yield { type: "text-delta", id: name, delta: `Word ${name}` };
        await sleep(pause);
        yield { type: "text-delta", id: name, delta: " and another." };
        yield { type: "text-end", id: name };
      }
      if (signal.aborted) {
        yield { type: "abort" };
        return;
      }
    }
    yield { type: "finish-step" };
    yield { type: "finish" };
  }
  const made = chunks();
  return new ReadableStream({
    pull: async (controller) => {
      const next = await made.next();
      if (next.done === true) controller.close();
      else controller.enqueue(next.value);
    },
  });
}

const said = (message: UIMessage | undefined) =>
  message?.parts.map((part) => (part.type === "text" ? part.text : "")).join("") ?? "";

interface Reply {
  id: string;
  question: UIMessage | undefined;
  shown: UIMessage | undefined;
  /** Why it was not stored. */
  error: Error | undefined;
  /** When `stored` was fulfilled or rejected, and whether the reply was stored when the page learned of its end. */
  settled: number;
  known: boolean;
}

const plainly = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;

async function play(store: ChatStore, id: string, { sends, others, flushMilliseconds }: Plan) {
  const questions: UIMessage[] = [];
  const replies: Reply[] = [];
  const resumed: UIMessage[] = [];
  const regenerations: number[] = [];
  let stops = 0;

  async function answer(messages: UIMessage[], pieces: Piece[]) {
    const abort = new AbortController();
    const reply: Reply = {
      id: generateMessageId(),
      question: messages.at(-1),
      shown: undefined,
      error: undefined,
      settled: Infinity,
      known: false,
    };
    replies.push(reply);
    const stream = model(reply.id, pieces, abort.signal);
    const options = { flushMilliseconds, onStop: () => abort.abort() };
    const storing = store.storeWhileStreaming({ id, messages, stream }, options);
    const settled = storing.stored
      .catch((error: unknown) => (reply.error = error as Error))
      .then(() => (reply.settled = performance.now()));
    for await (const message of readUIMessageStream({ stream: storing.stream, onError: () => undefined })) {
      reply.shown = plainly(message);
    }
    reply.known = (await store.loadTree(id)).messages.some(({ message }) => message.id === reply.id);
    await settled;
  }

  await Promise.all([
    ...sends.map(async ({ at, retrieval, pieces }, n) => {
      await sleep(at);
      const text = `Question ${String(n)}`;
      const message: UIMessage = { id: generateMessageId(), role: "user", parts: [{ type: "text", text }] };
      const messages = await store.appendUserMessage({ id, message });
      questions.push(message);
      await sleep(retrieval);
      await answer(messages, pieces);
    }),
    ...others.map(async ({ does, at, which, pieces }, n) => {
      await sleep(at);
      if (does === "regenerate") {
        const messages = await store.regenerate({ id });
        regenerations.push(performance.now());
        if (messages.at(-1)?.role === "user") await answer(messages, pieces);
      } else if (does === "edit") {
        const asked = (await store.loadChat(id)).filter(({ role }) => role === "user");
        const edited = asked[which % Math.max(1, asked.length)];
        if (!edited) return;
        // The page gives it the id of the one before.
        const message: UIMessage = { ...edited, parts: [{ type: "text", text: `Edit ${String(n)}` }] };
        const messages = await store.appendUserMessage({ id, message, messageId: edited.id });
        questions.push(message);
        regenerations.push(performance.now());
        await answer(messages, pieces);
      } else if (does === "choose") {
        const { messages } = await store.loadTree(id);
        const chosen = messages[which % Math.max(1, messages.length)];
        if (chosen) expect(await store.selectMessage({ id, messageId: chosen.message.id })).toBe(true);
      } else if (does === "stop") {
        stops += Number(await store.stopReply({ id }));
      } else {
        const loaded = await store.loadChat(id);
        const stream = await store.resumeStream({ id, after: loaded.at(-1)?.id }, { interval: 10 });
        let [shown, ended] = [undefined as UIMessage | undefined, false];
        const seen = stream?.pipeThrough(
          new TransformStream<UIMessageChunk, UIMessageChunk>({
            transform: (chunk, controller) => {
              ended ||= chunk.type === "finish";
              controller.enqueue(chunk);
            },
          }),
        );
        if (!seen) return;
        for await (const message of readUIMessageStream({ stream: seen, onError: () => undefined })) shown = message;
        if (shown && ended) resumed.push(plainly(shown));
      }
    }),
  ]);
  return { questions, replies, resumed, regenerations, stops };
}

test(`every question and every reply that a page was shown is kept behind its own (SEED=${String(SEED)} CASES=${String(CASES)})`, async ({
  client,
  store,
}) => {
  let [shown, versions] = [0, 0];
  const everything = plans("regenerate", "stop", "reload", "edit", "edit", "choose");
  await fc.assert(
    fc.asyncProperty(everything, async (plan) => {
      const { id } = await client.getOrCreateConversation({ user_id: "ada", new: true });
      const { questions, replies, resumed, regenerations, stops } = await play(store, id, plan);
      const { headId, messages } = await store.loadTree(id);
      const items = new Map(messages.map((item) => [item.message.id, item]));
      const texts = messages.map(({ message }) => said(message));
      for (const question of questions) expect(texts).toContain(said(question));
      for (const reply of replies) {
        expect(reply.error).toBeUndefined();
        if (!reply.shown || reply.shown.parts.length === 0) continue;
        shown += 1;
        const stored = items.get(reply.id);
        expect(stored, `the reply ${reply.id} is lost`).toBeDefined();
        if (stops === 0 && regenerations.length === 0) expect(stored?.message.parts).toEqual(reply.shown.parts);
        else expect(said(stored?.message)).toContain(said(reply.shown));
        let question = stored;
        while (question && question.message.role !== "user") question = items.get(question.parentId ?? "");
        expect(said(question?.message)).toBe(said(reply.question));
        expect(reply.known, "the page knows first").toBe(true);
      }
      for (const message of resumed) expect(said(items.get(message.id)?.message)).toContain(said(message));
      // The history is the line of the tree.
      const line: string[] = [];
      for (let item = items.get(headId ?? ""); item; item = items.get(item.parentId ?? ""))
        line.unshift(said(item.message));
      const history = (await store.loadChat(id)).map(said);
      // A reply may have more beside the line.
      expect(line.map((text, n) => text.slice(0, history[n]?.length))).toEqual(history);
      versions += messages.length - line.length;
    }),
    { numRuns: CASES, seed: SEED, interruptAfterTimeLimit: 150_000, endOnFailure: true },
  );
  console.log(`SEED=${String(SEED)}: ${String(shown)} replies were shown, and ${String(versions)} messages are not`);
});

test(`without versions, every reply that a page was shown is in the history, or stored rejects (SEED=${String(SEED)} CASES=${String(CASES)})`, async ({
  client,
}) => {
  let [shown, refused] = [0, 0];
  const store = chatStore(client, { keep: false });
  await fc.assert(
    fc.asyncProperty(plans("regenerate", "stop", "reload"), async (plan) => {
      const { id } = await client.getOrCreateConversation({ user_id: "ada", new: true });
      const { replies, resumed, regenerations, stops } = await play(store, id, plan);
      const history = await store.loadChat(id);
      const place = (wanted: string) => history.findIndex((message) => message.id === wanted);
      for (const reply of replies) {
        if (!reply.shown || reply.shown.parts.length === 0) continue;
        shown += 1;
        const at = place(reply.id);
        // Only a regeneration deletes. A reply that was stored before it is gone without an error.
        const deleted = regenerations.some((time) => time > reply.settled);
        if (reply.error !== undefined) {
          refused += 1;
          expect(regenerations, reply.error.message).not.toEqual([]);
        } else if (at < 0) {
          expect(deleted, `the reply ${reply.id} is lost`).toBe(true);
        } else {
          if (stops === 0) expect(history[at]?.parts).toEqual(reply.shown.parts);
          else expect(said(history[at])).toContain(said(reply.shown));
          // Each reply is behind its own question.
          const asked = place(reply.question?.id ?? "");
          const between = history.slice(asked + 1, at);
          expect(asked).toBeGreaterThanOrEqual(0);
          expect(between.filter(({ role }) => role === "user")).toEqual([]);
          if (regenerations.length === 0) expect(reply.known, "the page knows first").toBe(true);
        }
      }
      for (const message of resumed) {
        const stored = history[place(message.id)];
        if (!stored) expect(regenerations).not.toEqual([]);
        // A page that follows ends where the reply was stopped. The writer then stores what it has passed on.
        else if (stops > 0) expect(said(stored)).toContain(said(message));
        else expect(stored.parts).toEqual(message.parts);
      }
    }),
    { numRuns: CASES, seed: SEED, interruptAfterTimeLimit: 150_000, endOnFailure: true },
  );
  console.log(`SEED=${String(SEED)}: ${String(shown)} replies were shown, and ${String(refused)} were refused`);
});
