/** A chat's messages: reading, storing and replacing them. */
import { isProblem, type Message, type NewMessage, type ScrollbackClient } from "@scrollback/client";
import type { UIMessage } from "ai";
import { isSame, isStored, rowId, toGroups, toRows, type Group, type Row } from "./mapping.js";

/** The API takes so many messages at once. */
const MOST = 500;
/** How often a write is tried when others write to the same conversation at the same time. */
const ATTEMPTS = 5;

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

/** The newest messages of a chat: at least `count` UI messages, if there are so many. The first of them is whole. */
export async function readEnd<M extends UIMessage>(
  client: ScrollbackClient,
  id: string,
  count: number,
): Promise<Stored<M>> {
  const rows: Message[] = [];
  let version: string | undefined;
  for await (const page of client.getChatHistory(id, { order: "desc" }, { pageSize: 50 }).pages()) {
    version ??= page.version;
    rows.unshift(...page.items.reverse());
    const groups = toGroups<M>(rows);
    // Where a group begins is known once the one before it has been seen.
    if (groups.length > count) return { groups: groups.slice(1), version };
  }
  return { groups: toGroups(rows), version };
}

/** Does a write that depends on what is stored. If another writer comes first, it reads and decides again. */
export async function again<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (!isProblem(error, "precondition_failed") || attempt === ATTEMPTS) throw error;
    }
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
  status: "complete" | "in_progress" = "complete",
): Promise<boolean> {
  const stored = groups.flatMap(({ rows }) => rows);
  const rows: (Row & { id: string })[] = [];
  let from = 0;
  let behind = false;
  for (const [index, message] of messages.entries()) {
    const group = groups[index];
    // What another program has stored is compared as it was read. The status is that of the last message.
    const settles = index < messages.length - 1 || (group && settled(group, status));
    if (!behind && group && settles && isSame(group.message, clean(message))) {
      from += group.rows.length;
      continue;
    }
    const own = toRows(message);
    let same = 0;
    if (!behind && group?.message.id === message.id) {
      const rest = own.findIndex((row, n) => {
        const old = group.rows[n];
        return !old || !isStored(old, row) || (n === own.length - 1 && !settled(group, status));
      });
      same = rest < 0 ? own.length : rest;
    }
    from += same;
    behind = true;
    for (const [n, row] of own.entries()) {
      if (n >= same) rows.push({ ...row, id: await rowId(id, message.id, n) });
    }
  }
  const [first] = rows;
  const old = stored[from];
  // Fewer messages than are stored do not delete any.
  if (!first) return false;
  if (old && rows.length === 1 && stored.length === from + 1 && old.id === first.id && old.role === first.role) {
    await client.updateMessage(id, old.id, patch(old, first, status), { ifMatch: version });
    return true;
  }
  let ifMatch = version;
  for (let at = 0; at < rows.length; at += MOST) {
    const end = Math.min(rows.length, at + MOST);
    const batch = rows.slice(at, end).map((row, index): NewMessage => {
      return at + index === rows.length - 1 && status === "in_progress" ? { ...row, status } : row;
    });
    const page = await client.addMessages(
      id,
      { messages: batch, from: at === 0 ? old?.position : undefined },
      { ifMatch },
    );
    ifMatch = page.version;
  }
  return true;
}

/** Whether the message's status is the one that it is to have. */
function settled(group: Group, status: "complete" | "in_progress"): boolean {
  return group.rows.every((row) => row.status === "complete") === (status === "complete");
}

/** What changes a stored message into another one. */
function patch(
  old: Message,
  row: Row,
  status: "complete" | "in_progress",
): Parameters<ScrollbackClient["updateMessage"]>[2] {
  const note = { last: null, metadata: null, ...row.metadata.ai_sdk };
  const fields = {
    metadata: { ai_sdk: note },
    status,
    ...(isSame(old.tool_calls, row.tool_calls) ? {} : { tool_calls: row.tool_calls }),
  };
  if (isSame(old.content, row.content)) return fields;
  if (old.status !== "complete" && typeof old.content === "string" && typeof row.content === "string") {
    // A text that has grown is sent without what is there.
    if (
      old.content !== "" &&
      row.content.startsWith(old.content) &&
      !/[\uDC00-\uDFFF]/.test(row.content[old.content.length] ?? "")
    ) {
      return { ...fields, append: row.content.slice(old.content.length), at: Array.from(old.content).length };
    }
  }
  return { ...fields, content: row.content };
}

/** A message as JSON keeps it. */
function clean(message: UIMessage): UIMessage {
  return JSON.parse(JSON.stringify(message)) as UIMessage;
}
