/** Where a reply goes that is stored again and again while it is written. */
import type { Message, ScrollbackClient } from "@scrollback/client";
import type { UIMessage } from "ai";
import { isStored, type Group } from "./mapping.js";
import {
  append,
  asItIs,
  fits,
  gone,
  patch,
  readBack,
  rowsOf,
  settled,
  type Own,
  type Status,
  type Stored,
} from "./store.js";
import { change, hasVersionsFrom, readTree, type Node } from "./tree.js";

/** What `storeReply` is told. */
export interface ReplyFields {
  reply: UIMessage;
  /** The message that it answers. `undefined`: none, and the reply is put at the end. */
  question: string | undefined;
  /** The last stored message of the question, if it is known. An edited question has the same id, and other stored messages. */
  questionRow: string | undefined;
  /** Whether the reply follows the question itself, and not another reply to it. */
  isFirst: boolean;
  status: Status;
  /** It was stored before. If it is not there any more, somebody has deleted it. */
  wasStored: boolean;
  /** The last stored message of it, if this writer has stored it before. If it is cancelled, somebody has stopped it since. */
  written: string | undefined;
  /** Versions are kept. */
  keep: boolean;
  /** For the ids of its stored messages: a version of it may have the same id. */
  salt: string | undefined;
  /** The end of the chat, if it is known. If it has changed since, the write is refused with `precondition_failed`. */
  end?: Stored<UIMessage> | undefined;
}

/** What is stored of a reply. */
export interface StoredReply {
  /** The id of its last stored message, and its content. `undefined` if nothing was stored. */
  row: Pick<Own, "id" | "content"> | undefined;
  /** Somebody has stopped the reply. Nothing was written. */
  isStopped: boolean;
}

/**
 * Stores a reply as far as it has come, behind the message that it answers. What came behind that in the meantime stays there. Another reply to
 * the same message is another version, unless `keep` is false. Then the reply follows it.
 */
export async function storeReply(client: ScrollbackClient, id: string, fields: ReplyFields): Promise<StoredReply> {
  const { reply, question, questionRow, isFirst, status, wasStored, written, keep, salt, end } = fields;
  const findReply = (groups: Group[]) => groups.findIndex(({ message }) => message.id === reply.id);
  const findQuestion = (groups: Group[]) =>
    groups.findIndex(({ message, rows }) =>
      questionRow === undefined ? message.id === question : rows.at(-1)?.id === questionRow,
    );
  const isEnough = (groups: Group[]) => findReply(groups) >= 0 || findQuestion(groups) >= 0;
  // The history may have been changed since its end was remembered.
  const { groups, version } = end && isEnough(end.groups) ? end : await readBack(client, id, isEnough);
  let at = findReply(groups);
  const old = groups[at]?.rows ?? [];
  if (at < 0) {
    at = question === undefined ? groups.length : findQuestion(groups) + 1;
    // The user has gone to another version in the meantime, or has deleted this one.
    if (wasStored || (question !== undefined && at === 0)) return storeAside(client, id, fields);
    if (keep && isFirst && groups[at]?.message.role === "assistant") {
      const isShown = groups.slice(at).every(({ message }) => message.role === "assistant");
      return storeAside(client, id, fields, isShown);
    }
    while (question !== undefined && groups[at]?.message.role === "assistant") at += 1;
  }
  const behind = groups.slice(at + (old.length > 0 ? 1 : 0)).flatMap(({ rows }) => rows);
  const own = await rowsOf(id, reply, status, { known: old, salt });
  const row = own.at(-1) ?? { id: "", content: null };
  if (written !== undefined && isOver(old, status)) return { row: undefined, isStopped: true };
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
    const from = (old[same] ?? behind[0])?.position;
    // What is stored anew loses its versions, and a part of the reply may be beside the line.
    const begin = (old[0] ?? behind[0])?.position;
    if (keep && begin !== undefined && (await hasVersionsFrom(client, id, begin))) {
      return storeAside(client, id, fields, behind.length === 0);
    }
    if (behind.length === 0 || fits(rows)) {
      await append(client, id, rows, { from }, version);
    } else {
      // What is behind the reply is too large to be stored anew in one transaction. So the reply goes to the end.
      for (const row of old.toReversed()) await client.deleteMessage(id, row.id);
      await append(client, id, own, {});
    }
  }
  return { row, isStopped: false };
}

/**
 * Stores a reply where its question is, on whichever line. A reply that is not to be shown moves the line for a moment when messages are added to
 * it. So they are added once, when the reply has ended.
 */
async function storeAside(
  client: ScrollbackClient,
  id: string,
  { reply, question, questionRow, status, wasStored, written, salt }: ReplyFields,
  isShown = false,
): Promise<StoredReply> {
  const tree = await readTree(client, id);
  const isIt = ({ message, rows }: Node<UIMessage>) =>
    written === undefined ? message.id === reply.id : rows.some((row) => row.id === written);
  const node = wasStored ? tree.nodes.findLast(isIt) : undefined;
  if (!node && wasStored) throw gone("the reply was deleted while it was written");
  const parent =
    questionRow === undefined
      ? tree.nodes.findLast(({ message }) => message.id === question)?.rows.at(-1)
      : tree.rows.find((row) => row.id === questionRow);
  if (!node && !parent) throw gone("the message that the reply answers is not stored");
  const own = await rowsOf(id, reply, status, { known: node?.rows, salt });
  if (written !== undefined && isOver(node?.rows ?? [], status)) return { row: undefined, isStopped: true };
  const stored = node?.rows ?? [];
  const isLater = !isShown && status === "in_progress";
  const now = isLater ? own.slice(0, stored.length).map((row, n) => (stored[n + 1] ? row : { ...row, status })) : own;
  await change(client, id, tree, stored, now, parent?.id ?? null, isShown);
  return { row: now.at(-1), isStopped: false };
}

/** Whether somebody has stopped a reply that is to go on. */
function isOver(stored: readonly Message[], status: Status): boolean {
  return status !== "cancelled" && stored.at(-1)?.status === "cancelled";
}
