/** Replies that are stored while they are streamed, and pages that go on with one after they were loaded again. */
import { isProblem, newId, type ScrollbackClient, type ScrollbackError } from "@scrollback/client";
import { readUIMessageStream, uiMessageChunkSchema, type UIMessage, type UIMessageChunk } from "ai";
import { CHANGED, toChunks } from "./chunks.js";
import { conversationId } from "./ids.js";
import type { Group } from "./mapping.js";
import { textOnly } from "./storable.js";
import { storeReply, type StoredReply } from "./answer.js";
import { again, endOf, readBack, readEnd, sleep, type Status } from "./store.js";
import { readTree } from "./tree.js";

/** A reply that nobody has touched for 60 seconds counts as abandoned. */
const HEARTBEAT = 15_000;
/** After failures, the next attempt comes so many milliseconds later at most. */
const LONGEST_PAUSE = 10_000;

/** Among so many of the newest messages, a page that was loaded looks for a reply that is being written. */
const NEWEST = 4;

/** How often a reply that is to be stopped is looked for, four times a second. */
const BEGINNINGS = 20;

/** Options of `storeWhileStreaming`. */
export interface StoreOptions {
  /** How many milliseconds lie between two writes at least. 500 by default. */
  flushMilliseconds?: number | undefined;
  /** After so many milliseconds without a write, a silent reply is kept alive by one. 15,000 by default. */
  heartbeatMilliseconds?: number | undefined;
  /** Called once if the reply is not wanted any more: `stopReply` was called, or it was deleted. Abort the model here. */
  onStop?: (() => void) | undefined;
}

/** A reply that is being stored. */
export interface Storing {
  /** The same stream, for the page. Its end comes when the reply is stored. */
  stream: ReadableStream<UIMessageChunk>;
  /**
   * Ends when the reply is stored, or fails if it could not be: with the code `not_found` if the reply or its question was deleted. It goes on if
   * the page leaves. Serverless platforms have a `waitUntil` for such a promise.
   */
  stored: Promise<void>;
}

/** Stores what a stream has made so far, again and again, until the stream ends. */
export function storeStream(
  client: ScrollbackClient,
  {
    id: chat,
    messages,
    stream,
  }: { id: string; messages: readonly UIMessage[]; stream: ReadableStream<UIMessageChunk> },
  { flushMilliseconds = 500, heartbeatMilliseconds = HEARTBEAT, onStop }: StoreOptions,
  keep: boolean,
): Storing {
  const [page, own] = stream.tee();
  const last = messages.at(-1);
  let failed = false;
  let aborted = false;
  let newest: UIMessage | undefined;
  let written: UIMessage | undefined;
  let writing: Promise<void> | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let next = 0;
  let failures = 0;
  /** The end of the chat, for the first write. */
  let known = endOf(messages);
  const end = known?.groups.at(-1);
  const questionRow = end?.message.role === "user" ? end.rows.at(-1)?.id : undefined;
  const salt = keep ? newId() : undefined;
  /** The last of the reply's stored messages. */
  let row: StoredReply["row"];
  /** Why nothing more is stored. */
  let gone: ScrollbackError | undefined;
  /** The page's last chunk, once nothing more is to come. */
  let final: UIMessageChunk | undefined;
  let ended = false;
  let finish: () => void;
  const ending = new Promise<void>((resolve) => (finish = resolve));

  const stored = store();
  const settled = stored.catch(() => undefined);
  const gate = new TransformStream<UIMessageChunk, UIMessageChunk>({
    transform: async (chunk, controller) => {
      const isLast = chunk.type === "finish" || chunk.type === "abort" || chunk.type === "error";
      // A page that knows of the end may load the chat at once.
      if (isLast || final) await settled;
      controller.enqueue(final ?? chunk);
      if (final) controller.terminate();
    },
    flush: () => settled,
  });
  return { stream: page.pipeThrough(gate), stored };

  async function store(): Promise<void> {
    await Promise.race([read(), ending]);
    ended = true;
    clearTimeout(timer);
    await writing;
    if (!final && newest && !(failed && newest === written)) {
      await write(newest, failed ? "in_progress" : aborted ? "cancelled" : "complete");
    }
    // What the page was shown before it was stopped is on its way.
    if (final) await sleep(0);
    if (gone) throw gone;
    if (final && newest) await write(newest, "cancelled");
  }

  async function read(): Promise<void> {
    const watched = own.pipeThrough(
      new TransformStream<UIMessageChunk, UIMessageChunk>({
        transform: (chunk, controller) => {
          failed ||= chunk.type === "error";
          aborted ||= chunk.type === "abort";
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
      schedule();
    }
  }

  /** Nobody wants more of the reply. */
  function stop(chunk: UIMessageChunk): void {
    if (final) return;
    final = chunk;
    onStop?.();
    finish();
  }

  /** Writes later what is new, or a heartbeat if nothing is. A write that is under way calls this at its end. */
  function schedule(): void {
    clearTimeout(timer);
    if (ended || final || writing || !newest || newest.id === "") return;
    const pause = newest === written ? heartbeatMilliseconds : next - performance.now();
    timer = setTimeout(
      () => {
        writing = attempt().finally(() => {
          writing = undefined;
          schedule();
        });
      },
      Math.max(0, pause),
    );
  }

  async function attempt(): Promise<void> {
    try {
      if (newest && newest !== written) await write(newest, "in_progress");
      else if (row !== undefined) await beat(row);
      failures = 0;
      next = performance.now() + flushMilliseconds;
    } catch (error) {
      // Another attempt makes up for it. The last one throws if it fails, too.
      failures += 1;
      next = performance.now() + Math.min(LONGEST_PAUSE, flushMilliseconds * 2 ** failures);
      if (isProblem(error, "cancelled")) stop({ type: "abort" });
      // Somebody has changed what is stored.
      if (isProblem(error, "conflict")) written = undefined;
      if (!isProblem(error, "not_found")) return;
      gone = error;
      stop(CHANGED);
    }
  }

  /** An empty piece: the writer is there. */
  async function beat({ id, content }: NonNullable<StoredReply["row"]>): Promise<void> {
    const at = typeof content === "string" ? Array.from(content).length : 0;
    await client.updateMessage(await conversationId(chat), id, { append: "", at });
  }

  async function write(reply: UIMessage, status: Status): Promise<void> {
    const id = await conversationId(chat);
    const others = messages.filter((message) => message.id !== reply.id);
    const question = others.findLast(({ role }) => role === "user") ?? others.at(-1);
    const isFirst = others.at(-1) === question;
    const own = row?.id;
    const store = (reply: UIMessage) =>
      again(() => {
        const end = known;
        known = undefined;
        const wasStored = own !== undefined || reply.id === last?.id;
        const where = { question: question?.id, questionRow: isFirst ? questionRow : undefined, isFirst };
        return storeReply(client, id, { reply, ...where, status, wasStored, written: own, keep, salt, end });
      }, ["precondition_failed", "conflict"]);
    const result = await store(reply).catch((error: unknown) => {
      // It was stopped after it was read. A writer that stops it, too, reads it again.
      if (isProblem(error, "cancelled")) return status === "cancelled" ? store(reply) : { row, isStopped: true };
      if (!isProblem(error) || (error.status !== 400 && error.status !== 413)) throw error;
      // The API has a limit that is not known here. The text is stored in any case.
      return store(textOnly(reply));
    });
    row = result.row ?? row;
    written = reply;
    if (result.isStopped) stop({ type: "abort" });
  }
}

/** Stops a reply that is being written. It waits for one that has not begun. */
export async function stopReply(
  client: ScrollbackClient,
  { id: chat, messageId }: { id: string; messageId?: string | undefined },
): Promise<boolean> {
  const id = await conversationId(chat);
  for (let attempt = 1; ; attempt++) {
    const { groups } = await readEnd(client, id, NEWEST);
    const wanted = (group: Pick<Group, "message" | "inProgress">) =>
      group.inProgress && (messageId === undefined || group.message.id === messageId);
    let found = groups.findLast(wanted);
    // It may be a version that is not shown.
    if (!found && messageId !== undefined) found = (await readTree(client, id)).nodes.findLast(wanted);
    const row = found?.rows.find(({ status }) => status === "in_progress");
    try {
      if (row) {
        await client.cancelReply(id, row.id);
        return true;
      }
    } catch (error) {
      // The reply has gone on to another message, has ended or was deleted.
      if (!isProblem(error, "conflict") && !isProblem(error, "not_found")) throw error;
    }
    const mayBegin = row !== undefined || groups.at(-1)?.message.role === "user";
    if (!mayBegin || attempt === BEGINNINGS) return false;
    await sleep(250);
  }
}

/** A stream of the reply that is being written, or of the one behind the message `after`, until the reply ends. */
export async function followChat(
  client: ScrollbackClient,
  { id: chat, after }: { id: string; after?: string | undefined },
  { interval = 500, signal }: { interval?: number | undefined; signal?: AbortSignal | undefined } = {},
): Promise<ReadableStream<UIMessageChunk> | undefined> {
  const id = await conversationId(chat);
  const { groups } = await readEnd(client, id, NEWEST);
  const last = groups.at(-1);
  // Without `after`, a page has every reply that has ended.
  const missed = last?.message.role === "assistant" && after !== undefined && after !== last.message.id;
  // The user may have written on.
  const followed = (groups.findLast(({ inProgress }) => inProgress) ?? (missed ? last : undefined))?.message.id;
  if (followed === undefined) return undefined;
  const release = await ownRelease();
  let sent: UIMessage | undefined;
  let version: string | undefined;
  /** The last stored message of the reply. */
  let row: string | undefined;
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

  /** The reply, if it has changed. It is gone if it was deleted. */
  async function newer() {
    try {
      if (!(await changed())) return undefined;
      // The reply is followed by its id: its positions change when it is stored anew.
      const isIt = ({ message }: Pick<Group, "message">) => message.id === followed;
      const { groups } = await readBack(client, id, (groups) => groups.some(isIt));
      // It may be a version that is not shown any more.
      const found = groups.find(isIt) ?? (await readTree(client, id)).nodes.findLast(isIt);
      row = found?.rows.at(-1)?.id;
      return found ?? "gone";
    } catch (error) {
      if (isProblem(error, "not_found")) return "gone";
      throw error;
    }
  }

  /** Whether anything in the conversation has changed since the last time. Waits for it, as long as the reply's last message is written. */
  async function changed(): Promise<boolean> {
    const known = { ifNoneMatch: version, signal };
    try {
      const read =
        row !== undefined && version !== undefined
          ? await client.getMessage(id, row, { wait: 20 }, known).catch(otherwise)
          : await client.getConversation(id, known);
      version = read?.version;
      return true;
    } catch (error) {
      if (isProblem(error, "not_modified")) return false;
      throw error;
    }
  }

  /** That message may have been replaced by others. */
  function otherwise(error: unknown): undefined {
    if (!isProblem(error, "not_found")) throw error;
    row = undefined;
  }
}

/** The release of the SDK, by what a page's stream may have. */
async function ownRelease(): Promise<6 | 7> {
  const { validate } = uiMessageChunkSchema();
  return (await validate?.({ type: "reset-step" }))?.success ? 7 : 6;
}
