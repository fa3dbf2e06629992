import { newId } from "./ids.js";
import { importLines } from "./import.js";
import { LARGEST_PAGE, nextOf, Pages, type Page } from "./pages.js";
import { followReply, Reply, type FollowOptions, type ReplyFields, type ReplyOptions } from "./reply.js";
import { isObject, Transport, type Answer, type ClientOptions, type Operation, type Retry } from "./transport.js";
import type {
  CallOptions,
  Context,
  ContextFields,
  ContextFormat,
  Conversation,
  ConversationFields,
  ConversationPatch,
  Erased,
  ForkFields,
  HistoryFields,
  HistoryOptions,
  Imported,
  LineFields,
  ListedConversation,
  ListFields,
  ListOptions,
  Message,
  MessagePatch,
  MessagesFields,
  NewMessage,
  Place,
  ReadOptions,
  Rewound,
  SearchFields,
  SearchHit,
  Summary,
  SummaryFields,
  Transferred,
  TreeFields,
  TreeMessage,
  Turn,
  TurnFields,
  Versioned,
  WriteOptions,
} from "./types.js";

/**
 * The API. Every endpoint is a method.
 *
 * First come ids, then the endpoint's fields, spelled as in the API, then the client's own options. A call that fails throws a
 * `ScrollbackError`. Writes are sent again safely, because the client makes their ids.
 */
export class ScrollbackClient {
  readonly #transport: Transport;

  /** `baseUrl` says where the API is, such as `http://127.0.0.1:9000` for `cargo dev`. */
  constructor(baseUrl: string, options: ClientOptions = {}) {
    this.#transport = new Transport(baseUrl, options);
  }

  /**
   * The user's most recently updated conversation, or a new one if there is none. `new` starts a new one in any case, and `id` finds or
   * creates exactly that one. `title`, `metadata` and `expires_in` are for one that is created.
   */
  getOrCreateConversation(fields: ConversationFields = {}, options?: CallOptions): Promise<Versioned<Conversation>> {
    // With an id, a request for a new conversation can be sent again.
    const id = fields.id ?? (fields.new === true ? newId() : undefined);
    return this.#send("POST", "/conversations", { ...fields, id }, options);
  }

  /** A conversation, without its messages. */
  getConversation(conversationId: string, options?: ReadOptions): Promise<Versioned<Conversation>> {
    return this.#get(conversation(conversationId), {}, options);
  }

  /** Changes a conversation. A field that is left out stays, and `null` clears it. `metadata` is merged member by member (RFC 7396). */
  updateConversation(
    conversationId: string,
    fields: ConversationPatch,
    options?: WriteOptions,
  ): Promise<Versioned<Conversation>> {
    return this.#send("PATCH", conversation(conversationId), fields, options);
  }

  /** Copies a conversation up to the message at the position `at`, or as a whole. The copied messages get new ids. */
  forkConversation(
    conversationId: string,
    fields: ForkFields = {},
    options?: CallOptions,
  ): Promise<Versioned<Conversation>> {
    return this.#send("POST", conversation(conversationId, "/fork"), { ...fields, id: fields.id ?? newId() }, options);
  }

  /** Stores a text that stands for all messages up to a position. `getContext` uses it when the conversation does not fit. */
  summarizeConversation(
    conversationId: string,
    fields: SummaryFields,
    options?: WriteOptions,
  ): Promise<Versioned<Conversation>> {
    return this.#send("PUT", conversation(conversationId, "/summary"), fields, options);
  }

  /** Reads the newest summary of a conversation, with its text. Without one, the code is `not_found`. */
  getSummary(conversationId: string, options?: ReadOptions): Promise<Versioned<Summary>> {
    return this.#get(conversation(conversationId, "/summary"), {}, options);
  }

  /** Deletes the newest summary of a conversation. An older one takes its place, if there is one. */
  deleteSummary(conversationId: string, options?: WriteOptions): Promise<void> {
    return this.#delete(conversation(conversationId, "/summary"), options);
  }

  /** Deletes a conversation and its messages. */
  deleteConversation(conversationId: string, options?: WriteOptions): Promise<void> {
    return this.#delete(conversation(conversationId), options);
  }

  /**
   * Stores a message at the end of a conversation, exactly once. Pass your own `id` if your program may repeat the call itself. With
   * `parent_id`, it follows that message, and what followed it before is kept as another version. With `from`, it replaces the message at that
   * position and all after it, in one transaction.
   */
  addMessage(conversationId: string, fields: NewMessage & Place, options?: WriteOptions): Promise<Versioned<Message>> {
    return this.#send("POST", conversation(conversationId, "/messages"), identified(fields), options);
  }

  /** Stores 1 to 500 messages at the end of a conversation: all or none, in this order, at adjacent positions. */
  addMessages(conversationId: string, fields: MessagesFields, options: WriteOptions = {}): Promise<Page<Message>> {
    const body = { ...fields, messages: fields.messages.map(identified) };
    return this.#transport.run(
      write("POST", conversation(conversationId, "/messages"), body, options, pageOf<Message>),
      options,
    );
  }

  /**
   * A conversation's messages in chronological order, or with `order: "desc"` the newest first. `limit` is how many in all. With
   * `include: "versions"`, each one has the ids of its versions. `line` reads the path that ends with a message.
   */
  getChatHistory(conversationId: string, fields: HistoryFields = {}, options?: HistoryOptions): Pages<Message> {
    return this.#list(conversation(conversationId, "/messages"), fields, options);
  }

  /**
   * All messages of a conversation, also those that are kept beside its current line, by their positions. Each one has its `parent_id`, and
   * `on_line` says whether it is on the line. A parent comes before its children.
   */
  tree(conversationId: string, fields: TreeFields = {}, options?: HistoryOptions): Pages<TreeMessage> {
    const everything: HistoryFields = { ...fields, all: true };
    return this.#list(conversation(conversationId, "/messages"), everything, options);
  }

  /**
   * Makes a message the last one of the current line, or with `newest: true` goes on below it, to the newest message at each step. `null` is
   * the beginning. What leaves the line is kept.
   */
  selectLine(conversationId: string, fields: LineFields, options?: WriteOptions): Promise<Versioned<Conversation>> {
    return this.#send("PUT", conversation(conversationId, "/line"), fields, options);
  }

  /** Deletes the message at the position `from` and all after it, or all messages. */
  rewindConversation(
    conversationId: string,
    fields: { from?: number | undefined } = {},
    options: WriteOptions = {},
  ): Promise<Versioned<Rewound>> {
    const target = withQuery(conversation(conversationId, "/messages"), fields);
    return this.#transport.run(write("DELETE", target, undefined, options, versioned<Rewound>), options);
  }

  /**
   * A message. With `skip`, its text without the characters (Unicode code points) that the caller has already. With `wait` and `ifNoneMatch`,
   * the answer comes when there is something new or the reply has ended, after so many seconds (1 to 20) at most. With
   * `include: "versions"`, it has the ids of its versions.
   */
  getMessage(
    conversationId: string,
    messageId: string,
    fields: { skip?: number | undefined; wait?: number | undefined; include?: "versions" | undefined } = {},
    options: ReadOptions = {},
  ): Promise<Versioned<Message>> {
    const operation = read(message(conversationId, messageId), fields, options, versioned<Message>);
    return this.#transport.run({ ...operation, wait: (fields.wait ?? 0) * 1000 }, options);
  }

  /**
   * Edits a message, which keeps its position. A field that is left out stays, and `null` clears it. `append` adds a piece to a reply that is
   * being written, if its content has `at` characters (Unicode code points). `streamReply` does this for you.
   */
  updateMessage(
    conversationId: string,
    messageId: string,
    fields: MessagePatch,
    options?: WriteOptions,
  ): Promise<Versioned<Message>> {
    return this.#send("PATCH", message(conversationId, messageId), fields, options);
  }

  /**
   * Stops a reply that is being written, for the person who reads it. The reply keeps what it has, and contexts have it. A reply that is
   * cancelled already stays as it is, and a message that is complete is a `conflict`. The writer's next piece is refused with `cancelled`.
   */
  cancelReply(conversationId: string, messageId: string, options?: WriteOptions): Promise<Versioned<Message>> {
    return this.updateMessage(conversationId, messageId, { status: "cancelled" }, options);
  }

  /** Deletes a message. The others keep their positions, and those that followed it follow its parent. */
  deleteMessage(conversationId: string, messageId: string, options?: WriteOptions): Promise<void> {
    return this.#delete(message(conversationId, messageId), options);
  }

  /**
   * Begins a reply that is stored while a model writes it. Call `write` for each piece of text and `end` at the end, or `pipe` for both.
   *
   * A turn with a `reply_id` has the place for the reply already, so this sends nothing, and takes no fields. If the turn was begun before, the
   * reply may have some text: text that begins in the same way goes on behind it, and another text is a `conflict`.
   *
   * The options are those of the first request. Its signal does not stop what is stored later.
   */
  async streamReply(
    where: string | Versioned<Pick<Turn, "reply">>,
    fields: ReplyFields = {},
    options: ReplyOptions = {},
  ): Promise<Reply> {
    const { flushMilliseconds, flushCharacters, heartbeatMilliseconds, ...call } = options;
    let begun: Versioned<Message>;
    if (typeof where === "string") {
      const beginning: NewMessage = { role: "assistant", ...fields, content: "", status: "in_progress" };
      begun = await this.addMessage(where, beginning, call);
    } else {
      if (!where.reply) throw new TypeError("the turn has no reply: begin it with reply_id: true");
      if (Object.keys(fields).length > 0) throw new TypeError("the reply of a turn is stored already, with its fields");
      begun = { ...where.reply, version: where.version };
    }
    const target = message(begun.conversation_id, begun.id);
    const writer = {
      update: (patch: MessagePatch, once?: Partial<Retry>) =>
        this.#transport.run(write("PATCH", target, patch, {}, versioned<Message>), {}, once),
      read: (once?: Partial<Retry>) => this.#transport.run(read(target, {}, {}, versioned<Message>), {}, once),
    };
    return new Reply(begun, writer, { flushMilliseconds, flushCharacters, heartbeatMilliseconds });
  }

  /**
   * The text of a reply that may still be written, piece by piece until it ends. `skip` is how many characters (Unicode code points) the
   * caller has already. The generator returns the message as it ended, with the content that was not yielded yet left out.
   */
  followReply(
    conversationId: string,
    messageId: string,
    fields: { skip?: number | undefined } = {},
    options: FollowOptions = {},
  ): AsyncGenerator<string, Message, undefined> {
    return followReply(
      (skip, ifNoneMatch) =>
        this.getMessage(conversationId, messageId, { skip, wait: 20 }, { ...options, ifNoneMatch }),
      fields.skip ?? 0,
      options,
    );
  }

  /** What to send to a model: the leading instructions and the newest messages that fit. Every tool call has its results. */
  getContext<Format extends ContextFormat = "messages">(
    conversationId: string,
    fields: ContextFields & { format?: Format | undefined } = {},
    options?: ReadOptions,
  ): Promise<Versioned<Context<Format>>> {
    return this.#get(conversation(conversationId, "/context"), fields, options);
  }

  /**
   * Begins a turn, in one request: stores what the user said, and returns what to send to the model. All of it is done, or nothing. Then
   * `addMessage` stores the answer, or `streamReply(turn)` does, while the model writes it. To create the conversation, pass `conversation`,
   * and an id from `newId()`. Pass the ids of the message and of the reply if your program may repeat the call itself.
   */
  turn<Format extends ContextFormat = "messages">(
    conversationId: string,
    fields: TurnFields<Format>,
    options: WriteOptions = {},
  ): Promise<Versioned<Turn<Format>>> {
    const said = "messages" in fields ? { ...fields, messages: fields.messages.map(identified) } : identified(fields);
    const body = { ...said, reply_id: fields.reply_id === true ? newId() : fields.reply_id };
    const begun = (answer: Answer) => ({
      ...versioned<Turn<Format>>(answer),
      replayed: answer.headers.get("idempotent-replayed") === "true",
    });
    return this.#transport.run(write("POST", conversation(conversationId, "/turn"), body, options, begun), options);
  }

  /** A user's conversations, the most recently updated first. A page of a filtered list may be empty, and others may follow. */
  getUserConversations(userId: string, fields: ListFields = {}, options?: ListOptions): Pages<ListedConversation> {
    const { metadata, ids, ...rest } = fields;
    const query: Record<string, unknown> & { limit?: number | undefined } = { ...rest, ids: ids?.join(",") };
    for (const [name, value] of Object.entries(metadata ?? {})) query[`metadata.${name}`] = value;
    return this.#list(user(userId, "/conversations"), query, options);
  }

  /** Searches a user's messages, the newest first. `q`: words that must all be there, `"a phrase"`, `-not`, and `or` between alternatives. */
  searchMessages(userId: string, fields: SearchFields, options?: ListOptions): Pages<SearchHit> {
    return this.#list(user(userId, "/search"), fields, options);
  }

  /**
   * Deletes everything that is stored about a user. A very large user takes several requests, whose counts are added up. If the call is
   * interrupted, the same call goes on.
   */
  eraseUser(userId: string, options: CallOptions = {}): Promise<Erased> {
    return this.#untilComplete(write("DELETE", user(userId), undefined, {}, soFar<Erased>), options);
  }

  /** Makes a user's conversations those of the user `to`. It takes a token with the service scope, and goes on like `eraseUser`. */
  transferUser(userId: string, fields: { to: string }, options: CallOptions = {}): Promise<Transferred> {
    return this.#untilComplete(write("POST", user(userId, "/transfer"), fields, {}, soFar<Transferred>), options);
  }

  /** Everything that is stored for a user, as lines of JSON, each with its line break. `importUser` stores the same lines again. */
  exportUser(userId: string, options?: CallOptions): Pages<string> {
    const first: Operation<Page<string>> = {
      method: "GET",
      target: user(userId, "/export"),
      headers: { accept: "application/x-ndjson, application/problem+json" },
      read: linesOf,
    };
    return new Pages((operation) => this.#transport.run(operation, options), first, undefined);
  }

  /**
   * Stores the lines of an export for a user, with their ids and times. It takes a token with the service scope. Lines that are stored
   * already are skipped, so the call can be repeated. Conversations that have expired are left out.
   *
   * The lines are sent while they are read, in requests of 4 MiB at most. If a line is refused, `param` of the error has its number, and the
   * requests before it are stored.
   */
  importUser(
    userId: string,
    lines: Iterable<string> | AsyncIterable<string>,
    options: CallOptions = {},
  ): Promise<Imported> {
    const operation: Operation<Imported> = {
      method: "POST",
      target: user(userId, "/import"),
      headers: { "content-type": "application/x-ndjson" },
      read: one<Imported>,
    };
    return importLines(lines, (body) => this.#transport.run({ ...operation, body }, options));
  }

  #get<T>(target: string, fields: object, options: ReadOptions = {}): Promise<Versioned<T>> {
    return this.#transport.run(read(target, fields, options, versioned<T>), options);
  }

  #send<T>(
    method: Operation<T>["method"],
    target: string,
    fields: object,
    options: WriteOptions = {},
  ): Promise<Versioned<T>> {
    return this.#transport.run(write(method, target, fields, options, versioned<T>), options);
  }

  #delete(target: string, options: WriteOptions = {}): Promise<void> {
    return this.#transport.run(
      { ...write("DELETE", target, undefined, options, () => undefined), goneIsDone: true },
      options,
    );
  }

  #list<T>(target: string, fields: { limit?: number | undefined }, options: HistoryOptions = {}): Pages<T> {
    const { limit } = fields;
    const { pageSize } = options;
    const size = limit === undefined ? pageSize : Math.min(limit, pageSize ?? LARGEST_PAGE);
    const first = read(target, { ...fields, limit: size }, options, pageOf<T>);
    return new Pages((operation) => this.#transport.run(operation, options), first, limit);
  }

  /** Sends a request again until its answer says that nothing is left, and adds up the counts. */
  async #untilComplete<T extends object>(
    operation: Operation<{ counts: T; complete: boolean }>,
    options: CallOptions,
  ): Promise<T> {
    let total: T | undefined;
    for (;;) {
      const { counts, complete } = await this.#transport.run(operation, options);
      total = total === undefined ? counts : plus(total, counts);
      if (complete) return total;
    }
  }
}

/** A path segment. The URL parsers of `fetch` resolve the segments `.` and `..`, also when they are encoded. */
function segment(value: string): string {
  if (value === "" || value === "." || value === "..") {
    throw new TypeError("an id that is empty, '.' or '..' cannot be sent in a URL");
  }
  return encodeURIComponent(value);
}

function conversation(id: string, rest = ""): string {
  return `/conversations/${segment(id)}${rest}`;
}

function message(conversationId: string, id: string): string {
  return conversation(conversationId, `/messages/${segment(id)}`);
}

function user(id: string, rest = ""): string {
  return `/users/${segment(id)}${rest}`;
}

function withQuery(target: string, fields: object): string {
  const given = Object.entries(fields).filter(([, value]) => value !== undefined && value !== null);
  const query = given.map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(String(value))}`);
  return query.length === 0 ? target : `${target}?${query.join("&")}`;
}

function read<T>(target: string, fields: object, options: ReadOptions, reader: (answer: Answer) => T): Operation<T> {
  const headers = { "if-none-match": options.ifNoneMatch };
  return { method: "GET", target: withQuery(target, fields), headers, read: reader };
}

function write<T>(
  method: Operation<T>["method"],
  target: string,
  fields: object | undefined,
  options: WriteOptions,
  reader: (answer: Answer) => T,
): Operation<T> {
  const operation: Operation<T> = { method, target, headers: { "if-match": options.ifMatch }, read: reader };
  if (fields !== undefined) operation.body = JSON.stringify(fields);
  return operation;
}

function identified<T extends { id?: string | null | undefined }>(fields: T): T {
  return { ...fields, id: fields.id ?? newId() };
}

// The contract says what the answer is.
// eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters
function one<T>(answer: Answer): T {
  const value: unknown = JSON.parse(answer.text);
  if (!isObject(value)) throw new TypeError("no object");
  return value as T;
}

function versionOf(answer: Answer): string | undefined {
  return answer.headers.get("etag") ?? undefined;
}

function versioned<T>(answer: Answer): Versioned<T> {
  const version = versionOf(answer);
  if (version === undefined) throw new TypeError("no version");
  return { ...one<T>(answer), version };
}

function pageOf<T>(answer: Answer): Page<T> {
  const items: unknown = JSON.parse(answer.text);
  if (!Array.isArray(items)) throw new TypeError("no array");
  return { items: items as T[], next: nextOf(answer), version: versionOf(answer) };
}

function linesOf(answer: Answer): Page<string> {
  const { headers, text } = answer;
  if (!headers.get("content-type")?.startsWith("application/x-ndjson") || (text !== "" && !text.endsWith("\n"))) {
    throw new TypeError("no lines");
  }
  const items = text.split("\n").slice(0, -1);
  return { items: items.map((line) => `${line}\n`), next: nextOf(answer), version: undefined };
}

// eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- As above.
function soFar<T>(answer: Answer): { counts: T; complete: boolean } {
  return { counts: one<T>(answer), complete: answer.status !== 202 };
}

function plus<T extends object>(first: T, second: T): T {
  const before = first as Record<string, number>;
  const sums = Object.entries(second).map(([name, count]) => [name, (before[name] ?? 0) + Number(count)]);
  return Object.fromEntries(sums) as T;
}
