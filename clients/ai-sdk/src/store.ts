/** A chat's messages: reading, storing and replacing them. */
import {
  isProblem,
  ScrollbackError,
  type ErrorCode,
  type Message,
  type NewMessage,
  type ScrollbackClient,
} from "@scrollback/client";
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
/** A message to store, of a UI message. */
export type Own = Row & { id: string; status?: Status };
/** A message to store. */
export type New = Omit<NewMessage, "status"> & { id: string; status?: Status };

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

/**
 * Does a write that depends on what is stored. If another writer comes first, it reads and decides again. `codes` are the errors that say so. A
 * message that leaves the line beside the write is a `conflict`.
 */
export async function again<T>(
  work: () => Promise<T>,
  codes: readonly ErrorCode[] = ["precondition_failed"],
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (!codes.some((code) => isProblem(error, code)) || attempt === ATTEMPTS) throw error;
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
    const own = await rowsOf(id, message, isLast ? status : "complete", { known: known?.rows });
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
    await append(client, id, rows, { from: old?.position }, version);
  }
  return true;
}

/**
 * The number of the first message that is a version of what is stored. `undefined` if there is nothing to keep: nothing is replaced, an earlier
 * message has changed, or a stored message is a part of what follows.
 */
export function branchesAt({ groups }: Stored<UIMessage>, messages: readonly UIMessage[]): number | undefined {
  const at = messages.findIndex((message, n) => groups[n]?.message.id !== message.id);
  if (at < 0 || !groups[at]) return undefined;
  const isChanged = messages.slice(0, at).some((message, n) => !isSame(groups[n]?.message, clean(message)));
  const stays = messages.slice(at).some(({ id }) => groups.some(({ message }) => message.id === id));
  return isChanged || stays ? undefined : at;
}

/** Whether a write has happened now, and not before: its version is behind the one that it was sent with. */
export function isFresh(written: string | undefined, before: string | undefined): boolean {
  return Number.parseInt(written?.slice(1) ?? "") > Number.parseInt(before?.slice(1) ?? "");
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

/**
 * Stores messages at the end, in place of the one at the position `from` and all after it, or behind the parent, where `null` is the beginning.
 * What followed the parent is kept. Returns what is stored, and the version behind it.
 */
export async function append(
  client: ScrollbackClient,
  id: string,
  rows: readonly New[],
  { from, parent_id }: { from?: number | undefined; parent_id?: string | null | undefined },
  version?: string,
): Promise<{ rows: Message[]; version: string | undefined }> {
  const stored: Message[] = [];
  const batches: New[][] = [];
  for (const row of rows) {
    const batch = batches.at(-1);
    if (batch && fits([...batch, row])) batch.push(row);
    else batches.push([row]);
  }
  let ifMatch = version;
  let place: Parameters<ScrollbackClient["addMessages"]>[1] = { messages: [], from, parent_id };
  for (const batch of batches) {
    const messages = batch.map((row) => ({ ...row, status: row.status && ("in_progress" as const) }));
    const page = await client.addMessages(id, { ...place, messages }, { ifMatch });
    ifMatch = page.version;
    stored.push(...page.items);
    place = { messages: [], parent_id: parent_id === undefined ? undefined : batch.at(-1)?.id };
  }
  // No message is new and cancelled.
  for (const row of rows) {
    if (row.status === "cancelled") ({ version: ifMatch } = await client.cancelReply(id, row.id));
  }
  return { rows: stored, version: ifMatch };
}

/** Whether one request can have these messages. */
export function fits(rows: readonly New[]): boolean {
  return rows.length <= MOST && rows.reduce((sum, row) => sum + bytesOf(JSON.stringify(row)), 0) <= MOST_BYTES;
}

/**
 * The stored messages of a UI message, with their ids. The status is that of the last one. `known` is what is stored of it already. `salt` gives
 * them other ids than those of another version, which may have the same id.
 */
export async function rowsOf(
  id: string,
  message: UIMessage,
  status: Status,
  { known = [], salt }: { known?: readonly Message[] | undefined; salt?: string | undefined } = {},
): Promise<Own[]> {
  const rows = toRows(message);
  const name = salt === undefined ? message.id : `${message.id} ${salt}`;
  const ids = await Promise.all(rows.map(async (_, n) => known[n]?.id ?? (await rowId(id, name, n))));
  return rows.map((row, n) => ({
    ...row,
    id: ids[n] ?? "",
    ...(status !== "complete" && n === rows.length - 1 ? { status } : {}),
  }));
}

/** A stored message, to be stored again as it is. */
export function asItIs(stored: Message): New {
  const { id, role, content, tool_calls, tool_call_id, name, metadata, token_count, extra, status } = stored;
  const same = { id, role, content, tool_calls, tool_call_id, name, metadata, token_count, ...extra };
  if (status === "complete") return same;
  // An abandoned reply is set to be in progress, and is found abandoned again.
  return { ...same, status: status === "cancelled" ? status : "in_progress" };
}

/** Whether the messages' status is the one that they are to have. */
export function settled(rows: readonly Message[], status: Status): boolean {
  // A reply that was stopped has ended, as one that is complete.
  const isOpen = rows.some((row) => row.status === "in_progress" || row.status === "incomplete");
  return isOpen === (status === "in_progress");
}

/** What changes a stored message into another one. */
export function patch(old: Message, row: Own): Parameters<ScrollbackClient["updateMessage"]>[2] {
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

/** The error of a write whose place is not there any more. */
export function gone(detail: string): ScrollbackError {
  return new ScrollbackError({ code: "not_found", detail });
}

/** A message as JSON keeps it. */
function clean(message: UIMessage): UIMessage {
  return JSON.parse(JSON.stringify(message)) as UIMessage;
}
