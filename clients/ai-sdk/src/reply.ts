/** Replies that are stored while they are streamed, and pages that go on with one after they were loaded again. */
import { isProblem, type ScrollbackClient } from "@scrollback/client";
import { readUIMessageStream, uiMessageChunkSchema, type UIMessage, type UIMessageChunk } from "ai";
import { toChunks } from "./chunks.js";
import { again, readChat, readEnd, replace } from "./store.js";

/** Options of `storeWhileStreaming`. */
export interface StoreOptions {
  /** How many milliseconds lie between two writes at least. 500 by default. */
  flushMilliseconds?: number | undefined;
}

/** A reply that is being stored. */
export interface Storing {
  /** The same stream, for the page. */
  stream: ReadableStream<UIMessageChunk>;
  /**
   * Ends when the reply is stored, or fails if it could not be. It goes on if the page leaves. Serverless platforms have a `waitUntil` for such
   * a promise.
   */
  stored: Promise<void>;
}

/** Stores what a stream has made so far, again and again, until the stream ends. */
export function storeStream(
  client: ScrollbackClient,
  { id, messages, stream }: { id: string; messages: readonly UIMessage[]; stream: ReadableStream<UIMessageChunk> },
  { flushMilliseconds = 500 }: StoreOptions = {},
): Storing {
  const [page, own] = stream.tee();
  return { stream: page, stored: store() };

  async function store(): Promise<void> {
    const last = messages.at(-1);
    let failed = false as boolean;
    let newest: UIMessage | undefined;
    let written: UIMessage | undefined;
    let writing = undefined as Promise<void> | undefined;
    let next = 0;
    const lastId = async () => (await readEnd(client, id, 1)).groups.at(-1)?.message.id;
    let asked = lastId();
    asked.catch(() => undefined);
    let isStored = false;
    const write = (message: UIMessage, status: "complete" | "in_progress") =>
      again(async () => {
        const question = await asked.catch(() => (asked = lastId()));
        let { groups, version } = await readEnd(client, id, 1);
        const find = (wanted: string | undefined) => groups.findIndex((group) => group.message.id === wanted);
        if (find(message.id) < 0 && find(question) < 0) ({ groups, version } = await readChat(client, id));
        let at = find(message.id);
        const isThere = at >= 0;
        if (!isThere) at = question === undefined ? 0 : find(question) + 1;
        // Somebody has deleted the reply, or what it answers: a message was edited, or its reply is generated anew.
        if (!isThere && (isStored || (question !== undefined && at === 0))) return;
        const behind = groups.slice(at + (isThere ? 1 : 0));
        const last = behind.at(-1);
        if (!last) {
          await replace(client, id, { groups: groups.slice(at), version }, [message], status);
        } else if (status === "complete") {
          // Somebody has written on. What is behind the reply stays behind it.
          const messages = [message, ...behind.map((group) => group.message)];
          const end = last.inProgress ? "in_progress" : "complete";
          const replaced = await replace(client, id, { groups: groups.slice(at), version }, messages, end);
          const row = isThere ? groups[at]?.rows.at(-1) : undefined;
          if (!replaced && row) await client.updateMessage(id, row.id, { status }, { ifMatch: version });
        }
        isStored = true;
      });
    const watched = own.pipeThrough(
      new TransformStream<UIMessageChunk, UIMessageChunk>({
        transform: (chunk, controller) => {
          failed ||= chunk.type === "error";
          controller.enqueue(chunk);
        },
      }),
    );
    const snapshots = readUIMessageStream({
      // A reply that goes on after the page has answered a tool call.
      ...(last?.role === "assistant" ? { message: structuredClone(last) } : {}),
      stream: watched,
      onError: () => {
        failed = true;
      },
    });
    for await (const message of snapshots) {
      newest = message;
      if (writing !== undefined || performance.now() < next || message.id === "") continue;
      written = message;
      writing = write(message, "in_progress")
        // The end makes up for it, and throws if it fails, too.
        .catch(() => undefined)
        .finally(() => {
          writing = undefined;
          next = performance.now() + flushMilliseconds;
        });
    }
    await writing;
    if (newest && !(failed && newest === written)) await write(newest, failed ? "in_progress" : "complete");
  }
}

/** A stream of the reply behind the message `after`, until the reply ends. */
export async function followChat(
  client: ScrollbackClient,
  { id, after }: { id: string; after?: string | undefined },
  { interval = 500, signal }: { interval?: number | undefined; signal?: AbortSignal | undefined } = {},
): Promise<ReadableStream<UIMessageChunk> | undefined> {
  const { groups } = await readEnd(client, id, 1);
  const group = groups.at(-1);
  const first = group?.rows[0];
  if (!group || !first || group.message.role !== "assistant") return undefined;
  // Without `after`, a page has every reply that has ended.
  if (!group.inProgress && (after === undefined || after === group.message.id)) return undefined;
  const release = await ownRelease();
  let sent: UIMessage | undefined;
  let version: string | undefined;
  let gone = false;
  return new ReadableStream<UIMessageChunk>({
    async pull(controller) {
      while (!gone) {
        const began = performance.now();
        const found = await newer();
        if (found === "gone") {
          controller.close();
          return;
        }
        if (found) {
          const chunks = toChunks(sent, found.message, !found.inProgress, release);
          const done = !found.inProgress || chunks.some(({ type }) => type === "error");
          sent = found.message;
          for (const chunk of chunks) controller.enqueue(chunk);
          if (done) controller.close();
          if (done || chunks.length > 0) return;
        }
        const wait = Math.max(0, interval - (performance.now() - began));
        await new Promise((resolve) => setTimeout(resolve, wait));
      }
    },
    cancel: () => {
      gone = true;
    },
  });

  /** The reply, if it has changed. It is gone if it was deleted or another has taken its place. */
  async function newer() {
    try {
      // The reply is followed by its id: its positions change when it is stored anew.
      const head = await client.getConversation(id, { ifNoneMatch: version, signal });
      version = head.version;
      const group = (await readEnd(client, id, 1)).groups.at(-1);
      return group && (sent === undefined || group.message.id === sent.id) ? group : "gone";
    } catch (error) {
      if (isProblem(error, "not_modified")) return undefined;
      if (isProblem(error, "not_found")) return "gone";
      throw error;
    }
  }
}

/** The release of the SDK, by what a page's stream may have. */
async function ownRelease(): Promise<6 | 7> {
  const { validate } = uiMessageChunkSchema();
  return (await validate?.({ type: "reset-step" }))?.success ? 7 : 6;
}
