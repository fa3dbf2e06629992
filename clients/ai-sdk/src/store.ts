/** A chat's messages: reading, storing and replacing them. */
import { isProblem, ScrollbackError, type Message, type NewMessage, type ScrollbackClient } from "@scrollback/client";
import type { UIMessage } from "ai";
import { rowId } from "./ids.js";
import { isSame, isStored, toGroups, toRows, type Group, type Row } from "./mapping.js";
import { bytesOf } from "./storable.js";

/** The API takes so many messages at once. */
const MOST = 500;
/** The API takes 4 MiB at once. The rest is for what stands around the messages. */
const MOST_BYTES = 3.5 * 2 ** 20;
/** How often a write is tried when others write to the same conversation at the same time. */
const ATTEMPTS = 20;

/** The status of a message that is written here. */
export type Status = "complete" | "in_progress" | "cancelled";
type Own = Row & { id: string; status?: Status };
type New = Omit<NewMessage, "status"> & { id: string; status?: Status };

/** A chat as it is stored. */
export interface Stored<M extends UIMessage> {
  groups: Group<M>[];
  version: string | undefined;
}

/** All messages of a chat, and the version that they are of. */
export async function readChat<M extends UIMessage>(client: ScrollbackClient, id: string): Promise<Stored<M>> {
  const rows: Message[] = [];
  let version: string | undefined;
  for await (const page of client.getChatHistory(id).pages()) {
    // The first page's version: if something changes meanwhile, a write with it is refused.
    version ??= page.version;
    rows.push(...page.items);
  }
  return { groups: toGroups(rows), version };
}

/** The newest messages of a chat, as far back as it takes to have `enough`. The first of them is whole. */
export async function readBack<M extends UIMessage>(
  client: ScrollbackClient,
  id: string,
  enough: (groups: Group<M>[]) => boolean,
): Promise<Stored<M>> {
  const rows: Message[] = [];
  let version: string | undefined;
  for await (const page of client.getChatHistory(id, { order: "desc" }, { pageSize: 50 }).pages()) {
    version ??= page.version;
    rows.unshift(...page.items.reverse());
    // Where a group begins is known once the one before it has been seen.
    const groups = toGroups<M>(rows).slice(1);
    if (enough(groups)) return { groups, version };
  }
  return { groups: toGroups(rows), version };
}

/** The newest messages of a chat: at least `count` UI messages, if there are so many. */
export function readEnd<M extends UIMessage>(client: ScrollbackClient, id: string, count: number): Promise<Stored<M>> {
  return readBack<M>(client, id, (groups) => groups.length >= count);
}

export function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** Does a write that depends on what is stored. If another writer comes first, it reads and decides again. */
export async function again<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (!isProblem(error, "precondition_failed") || attempt === ATTEMPTS) throw error;
    }
    // Random, so that two writers do not meet again.
    await sleep(Math.random() * Math.min(200, 10 * attempt));
  }
}

/**
 * Makes a chat end with these messages, which take the place of the stored groups. What is the same at the beginning is not sent. The rest is
 * replaced in one transaction. Returns whether anything was written.
 */
export async function replace(
  client: ScrollbackClient,
  id: string,
  { groups, version }: Stored<UIMessage>,
  messages: readonly UIMessage[],
  status: Status = "complete",
): Promise<boolean> {
  const stored = groups.flatMap(({ rows }) => rows);
  const rows: New[] = [];
  let first: Own | undefined;
  let from = 0;
  let behind = false;
  for (const [index, message] of messages.entries()) {
    // What another program has stored is compared as it was read. The status is that of the last message.
    const isLast = index === messages.length - 1;
    const isKept = (group: Group | undefined) =>
      group !== undefined && (!isLast || settled(group.rows, status)) && isSame(group.message, clean(message));
    const group = groups[index];
    if (!behind && group && isKept(group)) {
      from += group.rows.length;
      continue;
    }
    const known = groups.find((one) => one.message.id === message.id);
    if (behind && known && isKept(known)) {
      rows.push(...known.rows.map(asItIs));
      continue;
    }
    const own = await rowsOf(id, message, isLast ? status : "complete");
    let same = 0;
    if (!behind && group?.message.id === message.id) {
      const rest = own.findIndex((row, n) => {
        const old = group.rows[n];
        return !old || !isStored(old, row) || (n === own.length - 1 && !settled(group.rows, status));
      });
      same = rest < 0 ? own.length : rest;
    }
    from += same;
    behind = true;
    first ??= own[same];
    rows.push(...own.slice(same));
  }
  const old = stored[from];
  // Fewer messages than are stored do not delete any.
  if (!first) return false;
  if (old && rows.length === 1 && stored.length === from + 1 && old.id === first.id && old.role === first.role) {
    await client.updateMessage(id, old.id, patch(old, first), { ifMatch: version });
  } else {
    await append(client, id, rows, old?.position, version);
  }
  return true;
}

/** The ends of the histories that were returned for a model. Their replies begin without reading them again. */
const beginnings = new WeakMap<readonly UIMessage[], Stored<UIMessage>>();

/** Remembers how the chat ends behind a history. Whoever copies the history reads the chat again. */
export function remember<M extends UIMessage>(history: M[], stored: Stored<M>): M[] {
  beginnings.set(history, stored);
  return history;
}

/** What is remembered of a history. */
export function endOf(history: readonly UIMessage[]): Stored<UIMessage> | undefined {
  return beginnings.get(history);
}

/**
 * Stores a user's message at the end, and returns the history with it, all in one request. `undefined`: the chat has to be read. The message may
 * be stored then.
 */
export async function beginTurn<M extends UIMessage>(
  client: ScrollbackClient,
  id: string,
  message: M,
): Promise<M[] | undefined> {
  const rows = (await rowsOf(id, message, "complete")).map((row) => ({ ...row, status: undefined }));
  try {
    const { messages, context, version } = await client.turn(id, { messages: rows });
    // A context leaves out what is not complete, and adds results that are missing. If all positions are there, it is the whole history.
    const isWhole = context.repaired.length === 0 && context.messages.every((row, n) => row.position === n + 1);
    if (!isWhole || context.messages.at(-1)?.id !== messages.at(-1)?.id) return undefined;
    const groups = toGroups<M>(context.messages);
    const history = groups.map((group) => group.message);
    return remember([...history.slice(0, -1), message], { groups, version });
  } catch (error) {
    // A message with this id is stored, with another content.
    if (isProblem(error, "conflict")) return undefined;
    throw error;
  }
}

/** What `storeReply` is told. */
export interface ReplyFields {
  reply: UIMessage;
  /** The message that it answers. `undefined`: none, and the reply is put at the end. */
  question: string | undefined;
  status: Status;
  /** It was stored before. If it is not there any more, somebody has deleted it. */
  wasStored: boolean;
  /** This writer has stored it before. If it is cancelled, somebody has stopped it since. */
  wasWritten: boolean;
  /** The end of the chat, if it is known. If it has changed since, the write is refused with `precondition_failed`. */
  end?: Stored<UIMessage> | undefined;
}

/** What is stored of a reply. */
export interface StoredReply {
  /** The id of its last stored message, and its content. */
  row: Pick<Own, "id" | "content">;
  /** Somebody has stopped the reply. Nothing was written. */
  isStopped: boolean;
}

/**
 * Stores a reply as far as it has come, behind the message that it answers and the replies that this has already. What came behind them in the
 * meantime stays there.
 */
export async function storeReply(
  client: ScrollbackClient,
  id: string,
  { reply, question, status, wasStored, wasWritten, end }: ReplyFields,
): Promise<StoredReply> {
  const find = (groups: Group[], wanted: string | undefined) =>
    groups.findIndex(({ message }) => message.id === wanted);
  const isEnough = (groups: Group[]) => find(groups, reply.id) >= 0 || find(groups, question) >= 0;
  // The history may have been changed since its end was remembered.
  const { groups, version } = end && isEnough(end.groups) ? end : await readBack(client, id, isEnough);
  let at = find(groups, reply.id);
  const old = groups[at]?.rows ?? [];
  if (at < 0) {
    if (wasStored) throw gone("the reply was deleted while it was written");
    at = question === undefined ? groups.length : find(groups, question) + 1;
    if (question !== undefined && at === 0) throw gone("the message that the reply answers is not stored");
    while (question !== undefined && groups[at]?.message.role === "assistant") at += 1;
  }
  const behind = groups.slice(at + (old.length > 0 ? 1 : 0)).flatMap(({ rows }) => rows);
  const own = await rowsOf(id, reply, status);
  const row = own.at(-1) ?? { id: "", content: null };
  if (wasWritten && status !== "cancelled" && old.at(-1)?.status === "cancelled") return { row, isStopped: true };
  const differs = own.map((row, n) => {
    const stored = old[n];
    return !stored || !isStored(stored, row) || !settled([stored], row.status ?? "complete");
  });
  const count = differs.filter(Boolean).length;
  const isSameMessage = (row: Own, stored: Message | undefined) => row.id === stored?.id && row.role === stored.role;
  const inPlace = own.length === old.length && own.every((row, n) => isSameMessage(row, old[n]));
  // A reply that was stopped goes on as a new one.
  const goesOn = status === "in_progress" && old.some((stored) => stored.status === "cancelled");
  if (inPlace && !goesOn && (count <= 1 || behind.length > 0)) {
    let ifMatch: string | undefined = version;
    for (const [n, stored] of old.entries()) {
      const row = own[n];
      if (!row || differs[n] !== true) continue;
      ({ version: ifMatch } = await client.updateMessage(id, stored.id, patch(stored, row), { ifMatch }));
    }
  } else {
    const first = differs.indexOf(true);
    const same = first < 0 ? own.length : first;
    const rows = [...own.slice(same), ...behind.map(asItIs)];
    const from = old[same] ?? behind[0];
    if (behind.length === 0 || fits(rows)) {
      await append(client, id, rows, from?.position, version);
    } else {
      // What is behind the reply is too large to be stored anew in one transaction. So the reply goes to the end.
      for (const row of old.toReversed()) await client.deleteMessage(id, row.id);
      await append(client, id, own, undefined, undefined);
    }
  }
  return { row, isStopped: false };
}

/** Stores messages at the end, or in place of the one at the position `from` and all after it. */
async function append(
  client: ScrollbackClient,
  id: string,
  rows: readonly New[],
  from: number | undefined,
  version: string | undefined,
): Promise<void> {
  const batches: New[][] = [];
  for (const row of rows) {
    const batch = batches.at(-1);
    if (batch && fits([...batch, row])) batch.push(row);
    else batches.push([row]);
  }
  let ifMatch = version;
  for (const [n, messages] of batches.entries()) {
    const unsettled = messages.map((row) => ({ ...row, status: row.status && ("in_progress" as const) }));
    const fields = { messages: unsettled, from: n === 0 ? from : undefined };
    ({ version: ifMatch } = await client.addMessages(id, fields, { ifMatch }));
  }
  // No message is new and cancelled.
  for (const row of rows) {
    if (row.status === "cancelled") await client.cancelReply(id, row.id);
  }
}

/** Whether one request can have these messages. */
function fits(rows: readonly New[]): boolean {
  return rows.length <= MOST && rows.reduce((sum, row) => sum + bytesOf(JSON.stringify(row)), 0) <= MOST_BYTES;
}

/** The stored messages of a UI message, with their ids. The status is that of the last one. */
async function rowsOf(id: string, message: UIMessage, status: Status): Promise<Own[]> {
  const rows = toRows(message);
  const ids = await Promise.all(rows.map((_, n) => rowId(id, message.id, n)));
  return rows.map((row, n) => ({
    ...row,
    id: ids[n] ?? "",
    ...(status !== "complete" && n === rows.length - 1 ? { status } : {}),
  }));
}

/** A stored message, to be stored again as it is. */
function asItIs(stored: Message): New {
  const { id, role, content, tool_calls, tool_call_id, name, metadata, token_count, extra, status } = stored;
  const same = { id, role, content, tool_calls, tool_call_id, name, metadata, token_count, ...extra };
  if (status === "complete") return same;
  // An abandoned reply is set to be in progress, and is found abandoned again.
  return { ...same, status: status === "cancelled" ? status : "in_progress" };
}

/** Whether the messages' status is the one that they are to have. */
function settled(rows: readonly Message[], status: Status): boolean {
  // A reply that was stopped has ended, as one that is complete.
  const isOpen = rows.some((row) => row.status === "in_progress" || row.status === "incomplete");
  return isOpen === (status === "in_progress");
}

/** What changes a stored message into another one. */
function patch(old: Message, row: Own): Parameters<ScrollbackClient["updateMessage"]>[2] {
  const { ai_sdk: note, scrollback: mark } = row.metadata;
  const fields = {
    metadata: {
      ai_sdk: note ? { last: null, metadata: null, ...note } : null,
      scrollback: mark ? { escaped: null, metadata: null, cut: null, ...mark } : null,
    },
    // What has ended stays as it has ended.
    status: settled([old], row.status ?? "complete") ? undefined : (row.status ?? "complete"),
    ...(isSame(old.tool_calls, row.tool_calls) ? {} : { tool_calls: row.tool_calls }),
  };
  if (isSame(old.content, row.content)) return fields;
  if (settled([old], "in_progress") && typeof old.content === "string" && typeof row.content === "string") {
    // A text that has grown is sent without what is there.
    if (old.content !== "" && row.content.startsWith(old.content)) {
      return { ...fields, append: row.content.slice(old.content.length), at: Array.from(old.content).length };
    }
  }
  return { ...fields, content: row.content };
}

function gone(detail: string): ScrollbackError {
  return new ScrollbackError({ code: "not_found", detail });
}

/** A message as JSON keeps it. */
function clean(message: UIMessage): UIMessage {
  return JSON.parse(JSON.stringify(message)) as UIMessage;
}
