/** A reply that is stored while a model writes it, and the reader of one. */
import { isProblem, ScrollbackError } from "./errors.js";
import { sleep, type Retry } from "./transport.js";
import type { CallOptions, Message, MessagePatch, NewMessage, Place, Versioned, WriteOptions } from "./types.js";

/** Fields of `streamReply`. The role is `assistant` if it is left out. */
export type ReplyFields = Partial<Pick<NewMessage, "role" | "id" | "name" | "metadata">> & Place;

/** Options of `streamReply`. */
export interface ReplyOptions extends WriteOptions {
  /** Text that has waited for so many milliseconds is stored. 500 by default. */
  flushMilliseconds?: number | undefined;
  /** That many characters (UTF-16 code units) are stored at once. 2,000 by default. */
  flushCharacters?: number | undefined;
  /** After so many milliseconds without a write, an empty piece keeps a silent reply alive, for 15 minutes at most. 15,000 by default. */
  heartbeatMilliseconds?: number | undefined;
}

/** Fields that are stored with the end of a reply. */
export type ReplyEnd = Pick<MessagePatch, "tool_calls" | "token_count" | "metadata">;

/** Options of `followReply`. */
export interface FollowOptions extends CallOptions {
  /** How many milliseconds lie between the beginnings of two requests, at least. A request waits for the next piece. 200 by default. */
  interval?: number | undefined;
}

interface Writer {
  update: (patch: MessagePatch, once?: Partial<Retry>) => Promise<Versioned<Message>>;
  read: (once?: Partial<Retry>) => Promise<Versioned<Message>>;
}

/** While the model writes, a piece has one attempt of so many milliseconds. A piece that is not stored is sent again with the next one. */
const ONE_ATTEMPT = { attempts: 1, deadline: 5000 };
/** After failures, the next attempt comes so many milliseconds later at most. */
const LONGEST_PAUSE = 10_000;
/** A reply that is silent for longer was forgotten. */
const LONGEST_SILENCE = 15 * 60_000;
/** What a piece is sent again after. */
const PASSING = new Set(["no_response", "too_many_requests", "server_error", "database_error", "internal_error"]);

/**
 * A reply that is stored while a model writes it. `ScrollbackClient.streamReply` makes it.
 *
 * Readers see the reply grow, and a crash loses half a second of it. A reply that is not ended stays `in_progress`, and is `incomplete` after
 * 60 seconds. Contexts leave it out.
 */
export class Reply {
  /** The message's id. */
  readonly id: string;
  /** The message, as the latest answer had it. */
  message: Versioned<Message>;
  readonly #writer: Writer;
  readonly #flushMilliseconds: number;
  readonly #flushCharacters: number;
  readonly #heartbeatMilliseconds: number;
  #text = "";
  #spoke = performance.now();
  /** How much of the text is stored, as far as an answer has said so: in UTF-16 code units, and in code points, which the API counts. */
  #storedUnits = 0;
  #storedPoints = 0;
  #queue: Promise<void> = Promise.resolve();
  #busy = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #nextFlush: number;
  #failures = 0;
  #failure: unknown;
  #closed = false;
  /** Somebody had written into the reply before. */
  readonly #hadText: boolean;
  readonly #cancelled = new AbortController();

  constructor(begun: Versioned<Message>, writer: Writer, options: ReplyOptions) {
    this.id = begun.id;
    this.message = begun;
    this.#hadText = begun.content !== "";
    this.#writer = writer;
    this.#flushMilliseconds = options.flushMilliseconds ?? 500;
    this.#flushCharacters = options.flushCharacters ?? 2000;
    this.#heartbeatMilliseconds = options.heartbeatMilliseconds ?? 15_000;
    this.#nextFlush = performance.now() + this.#flushMilliseconds;
    this.#schedule();
  }

  /** Aborted when the API says that a reader has cancelled the reply. The reason is that error. Give this signal to the model. */
  get signal(): AbortSignal {
    return this.#cancelled.signal;
  }

  /** What was written so far. */
  get text(): string {
    return this.#text;
  }

  /**
   * Adds text, which is stored in the background. A short failure of the server is made up for by the next piece. After a lasting one, such
   * as another writer's text in the message, nothing more is stored, and `flush` and `end` throw it.
   */
  write(text: string): void {
    if (this.#closed) throw new Error("the reply has ended");
    this.#text += text;
    this.#spoke = performance.now();
    this.#schedule();
  }

  /** Stores what was written, for example before the model waits for a tool. */
  async flush(): Promise<Versioned<Message>> {
    await this.#exclusively(() => this.#store());
    return this.message;
  }

  /** Stores the rest and makes the message `complete`. If it fails, it can be called again. */
  async end(fields: ReplyEnd = {}): Promise<Versioned<Message>> {
    this.#closed = true;
    await this.#exclusively(() => this.#store({ ...fields, status: "complete" }));
    return this.message;
  }

  /** Stores what was written, and leaves the message `in_progress`: for a reply that failed. It does not throw. */
  async stop(): Promise<void> {
    this.#closed = true;
    try {
      await this.#exclusively(() => this.#store(undefined, ONE_ATTEMPT));
    } catch {
      // What ended the reply says more than this.
    }
  }

  /** Writes all pieces, and ends the reply. If the pieces fail or the reply is cancelled, it stops the reply and throws that error. */
  async pipe(pieces: Iterable<string> | AsyncIterable<string>, fields?: ReplyEnd): Promise<Versioned<Message>> {
    try {
      for await (const piece of pieces) {
        this.signal.throwIfAborted();
        this.write(piece);
      }
    } catch (error) {
      await this.stop();
      throw error;
    }
    return this.end(fields);
  }

  /** Stores later what waits, or else a sign of life, unless something is being stored. That calls this again. */
  #schedule(): void {
    clearTimeout(this.#timer);
    const waiting = this.#text.length - this.#storedUnits;
    if (this.#busy > 0 || this.#failure !== undefined || this.#closed) return;
    if (waiting === 0) {
      if (performance.now() - this.#spoke > LONGEST_SILENCE) return;
      const beat = () => void this.#exclusively(() => this.#storeOnce(true));
      const timer: unknown = (this.#timer = setTimeout(beat, this.#heartbeatMilliseconds));
      // It does not keep a program running. Browsers have numbers here.
      (timer as { unref?: () => void }).unref?.();
      return;
    }
    const full = this.#failures === 0 && waiting >= this.#flushCharacters;
    const pause = full ? 0 : this.#nextFlush - performance.now();
    const store = () => void this.#exclusively(() => this.#storeOnce());
    if (pause > 0) this.#timer = setTimeout(store, pause);
    else store();
  }

  /** One attempt in the background. Its failure is remembered. */
  async #storeOnce(isAlive = false): Promise<void> {
    try {
      await this.#store(undefined, ONE_ATTEMPT, isAlive);
    } catch (error) {
      if (isProblem(error) && PASSING.has(error.code)) {
        this.#failures += 1;
        const pause = Math.min(LONGEST_PAUSE, this.#flushMilliseconds * 2 ** this.#failures);
        this.#nextFlush = performance.now() + pause;
      } else {
        this.#failure = error;
      }
    }
  }

  /** Does something once all that was begun before is done. */
  async #exclusively(work: () => Promise<void>): Promise<void> {
    clearTimeout(this.#timer);
    this.#busy += 1;
    const turn = this.#queue.then(work);
    this.#queue = turn.catch(() => undefined);
    try {
      await turn;
    } finally {
      this.#busy -= 1;
      this.#schedule();
    }
  }

  /**
   * Sends what is not stored yet.
   *
   * A piece whose answer was lost may be stored. The next piece then begins too early, and the conflict says so. If the content is the
   * beginning of this reply's text, the rest follows it. Otherwise somebody else has written there.
   *
   * A reply that had some text before may be ahead. The API takes a piece that is there already. An empty one goes to the end.
   */
  async #store(end?: MessagePatch, once?: Partial<Retry>, isAlive = false): Promise<void> {
    // eslint-disable-next-line @typescript-eslint/only-throw-error -- A token function may have thrown anything.
    if (this.#failure !== undefined) throw this.#failure;
    // Half of a surrogate pair waits for the other half. A half that stays alone cannot be stored.
    const half = end === undefined && /[\uD800-\uDBFF]$/.test(this.#text);
    const text = (half ? this.#text.slice(0, -1) : this.#text).replace(/\p{Surrogate}/gu, "\uFFFD");
    // A rest may be shortened by the conflict of an attempt that was lost before. More than that is another writer.
    let ahead = 0;
    for (let attempt = 1; ; attempt++) {
      const piece = text.slice(this.#storedUnits);
      if (piece === "" && end === undefined && !isAlive) break;
      try {
        // The end says where it is, if there may be more behind it.
        const hasPlace = piece !== "" || isAlive || this.#hadText;
        const append = hasPlace ? { append: piece, at: ahead || this.#storedPoints } : {};
        this.message = await this.#writer.update({ ...append, ...end }, once);
        if (end !== undefined && this.#hadText && this.message.content !== text) {
          throw new ScrollbackError({ code: "conflict", detail: "the reply has more text, from another writer" });
        }
        this.#stored(text);
        break;
      } catch (error) {
        if (isProblem(error, "cancelled")) {
          this.#failure = error;
          this.#cancelled.abort(error);
        }
        if (!isProblem(error, "conflict") || error.length === undefined || attempt === 3) throw error;
        this.message = await this.#writer.read(once);
        const { content } = this.message;
        if (typeof content === "string" && isAlive && piece === "" && this.#hadText && content.startsWith(text)) {
          ahead = length(content);
          continue;
        }
        if (typeof content !== "string" || !text.startsWith(content)) throw error;
        this.#stored(content);
      }
    }
    this.#failures = 0;
    this.#nextFlush = performance.now() + this.#flushMilliseconds;
  }

  #stored(text: string): void {
    // A content that was cut back by another writer, and grows again, is counted from its beginning.
    const kept = text.length < this.#storedUnits ? 0 : this.#storedUnits;
    this.#storedPoints = (kept === 0 ? 0 : this.#storedPoints) + length(text.slice(kept));
    this.#storedUnits = text.length;
  }
}

/** Characters as the API counts them: Unicode code points. */
function length(text: string): number {
  let points = 0;
  for (const _ of text) points += 1;
  return points;
}

/** Waits for a reply's text again and again, and yields what is new, until the reply ends. */
export async function* followReply(
  get: (skip: number, ifNoneMatch: string | undefined) => Promise<Versioned<Message>>,
  skip: number,
  options: FollowOptions,
): AsyncGenerator<string, Message, undefined> {
  let version: string | undefined;
  for (;;) {
    const began = performance.now();
    try {
      const message = await get(skip, version);
      version = message.version;
      if (typeof message.content === "string" && message.content !== "") {
        skip += length(message.content);
        yield message.content;
      }
      if (message.status !== "in_progress") return message;
    } catch (error) {
      if (!isProblem(error, "not_modified")) throw error;
    }
    await sleep((options.interval ?? 200) - (performance.now() - began), options.signal);
  }
}
