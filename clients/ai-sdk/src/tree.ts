/** The tree of a chat's messages: the versions of questions and replies, and the line that is shown. */
import { isProblem, type ScrollbackClient, type TreeMessage } from "@scrollback/client";
import type { UIMessage } from "ai";
import { continues, isStored, toGroups } from "./mapping.js";
import { append, patch, rowsOf, settled, type Own } from "./store.js";

/** How often a message is stored again when another writer has stored it at the same time. */
const ATTEMPTS = 3;

/** A message of a chat's tree. */
export interface TreeItem<M extends UIMessage = UIMessage> {
  message: M;
  /** The message that it follows. `null`: none. */
  parentId: string | null;
}

/** All messages of a chat, each behind its parent. */
export interface ChatTree<M extends UIMessage = UIMessage> {
  /** The last message of the line that is shown. `null`: the line is empty. */
  headId: string | null;
  /** A parent comes before the messages that follow it, and an older version before a newer one. */
  messages: TreeItem<M>[];
}

/** Stored messages that are one UI message. The last one is where others follow. */
export interface Node<M extends UIMessage> {
  /** Its id in the tree. Another node may have the same message's id. */
  id: string;
  message: M;
  rows: TreeMessage[];
  parent: Node<M> | undefined;
  inProgress: boolean;
}

export interface Tree<M extends UIMessage> {
  rows: TreeMessage[];
  nodes: Node<M>[];
  /** Which UI message each stored one belongs to. */
  nodeOf: Map<string, Node<M>>;
  /** The last stored message of the line. */
  head: TreeMessage | undefined;
}

/** All stored messages of a chat, and what they are. */
export async function readTree<M extends UIMessage>(client: ScrollbackClient, id: string): Promise<Tree<M>> {
  const rows = await client.tree(id).all();
  return { rows, ...nodesOf<M>(rows), head: rows.findLast((row) => row.on_line) };
}

/**
 * The UI messages of a tree. A question that was edited may have the id of the one before, and the tree may fork inside of a reply. Then the
 * oldest has the id, and the others have the positions of their ends behind it, so that an id stays what it is.
 */
function nodesOf<M extends UIMessage>(
  rows: readonly TreeMessage[],
): { nodes: Node<M>[]; nodeOf: Map<string, Node<M>> } {
  /** The rows of the same UI message up to each one, and the row before them. */
  const paths = new Map<string, TreeMessage[]>();
  const parents = new Map<string, string>();
  const ends = new Set<TreeMessage>();
  for (const row of rows) {
    const parentId = row.parent_id ?? "";
    const before = paths.get(parentId);
    const end = before?.at(-1);
    const goesOn = before !== undefined && end !== undefined && continues(before, row);
    paths.set(row.id, goesOn ? [...before, row] : [row]);
    parents.set(row.id, goesOn ? (parents.get(parentId) ?? "") : parentId);
    if (goesOn) ends.delete(end);
    ends.add(row);
  }
  const nodeOf = new Map<string, Node<M>>();
  const taken = new Set<string>();
  const nodes = rows.flatMap((row): Node<M>[] => {
    const path = paths.get(row.id) ?? [];
    const [group] = ends.has(row) ? toGroups<M>(path) : [];
    if (!group) return [];
    const own = group.message.id;
    const id = taken.has(own) ? `${own}@${String(row.position)}` : own;
    taken.add(own);
    const node = { id, message: group.message, rows: path, parent: undefined, inProgress: group.inProgress };
    for (const one of path) if (!nodeOf.has(one.id)) nodeOf.set(one.id, node);
    return [node];
  });
  for (const node of nodes) node.parent = nodeOf.get(parents.get(node.rows[0]?.id ?? "") ?? "");
  nodes.sort((a, b) => (a.rows[0]?.position ?? 0) - (b.rows[0]?.position ?? 0));
  return { nodes, nodeOf };
}

/** The messages that are not being written. */
export async function loadTree<M extends UIMessage>(client: ScrollbackClient, id: string): Promise<ChatTree<M>> {
  const { nodes, nodeOf, head } = await readTree<M>(client, id);
  const shown = (node: Node<M> | undefined): Node<M> | undefined => (node?.inProgress ? shown(node.parent) : node);
  return {
    headId: shown(nodeOf.get(head?.id ?? ""))?.id ?? null,
    messages: nodes
      .filter(({ inProgress }) => !inProgress)
      .map(({ id, message, parent }) => ({ message: { ...message, id }, parentId: shown(parent)?.id ?? null })),
  };
}

/**
 * Stores a message behind its parent, or changes one that is stored already. `replaceOnLine` does the latter in one transaction, which may
 * not delete versions.
 */
export async function saveMessage<M extends UIMessage>(
  client: ScrollbackClient,
  id: string,
  { message, parentId }: { message: M; parentId?: string | null | undefined },
  replaceOnLine: (message: M) => Promise<void>,
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const tree = await readTree<M>(client, id);
    const node = tree.nodes.find((one) => one.id === message.id);
    try {
      if (node) {
        const named = { ...message, id: node.message.id };
        const first = node.rows[0];
        if (node.rows.at(-1)?.on_line === true && !hasVersions(tree.rows, first?.position ?? 0)) {
          await replaceOnLine(named);
        } else {
          const own = await rowsOf(id, named, "complete", { known: node.rows });
          await change(client, id, tree, node.rows, own, first?.parent_id ?? null);
        }
      } else {
        const parent = tree.nodes.find((one) => one.id === parentId);
        // Somebody may have deleted the parent.
        const place = { parent_id: parentId === null ? null : parent?.rows.at(-1)?.id };
        await append(client, id, await rowsOf(id, message, "complete"), place);
      }
      return;
    } catch (error) {
      if (!isProblem(error, "conflict") || attempt === ATTEMPTS) throw error;
    }
  }
}

/**
 * Changes the stored messages of a UI message, which may have followers and versions. What is missing is added behind the last one, or behind
 * the parent. The line stays where it is, unless what is added is to be shown.
 */
export async function change(
  client: ScrollbackClient,
  id: string,
  { head }: Pick<Tree<UIMessage>, "head">,
  stored: readonly TreeMessage[],
  own: readonly Own[],
  parentId: string | null,
  isShown = false,
): Promise<void> {
  let same = 0;
  while (own[same] && stored[same]?.role === own[same]?.role) same += 1;
  for (const [n, row] of own.slice(0, same).entries()) {
    const old = stored[n];
    if (!old || (isStored(old, row) && settled([old], row.status ?? "complete"))) continue;
    await client.updateMessage(id, old.id, patch(old, row));
  }
  for (const row of stored.slice(same).toReversed()) await client.deleteMessage(id, row.id);
  if (same === own.length) return;
  const behind = stored[same - 1]?.id ?? parentId;
  const { version } = await append(client, id, own.slice(same), { parent_id: behind });
  if (isShown || !head || head.id === behind) return;
  try {
    await client.selectLine(id, { message_id: head.id }, { ifMatch: version });
  } catch (error) {
    // Somebody has written behind it meanwhile, and goes on there.
    if (!isProblem(error, "precondition_failed")) throw error;
  }
}

/** Whether a message of the line at this position or behind it has versions. */
export async function hasVersionsFrom(client: ScrollbackClient, id: string, position: number): Promise<boolean> {
  return hasVersions(await client.tree(id, { after: position - 1 }).all(), position);
}

function hasVersions(rows: readonly TreeMessage[], from: number): boolean {
  const line = new Set(rows.filter((row) => row.on_line && row.position >= from).map((row) => row.id));
  return rows.some((row) => !row.on_line && line.has(row.parent_id ?? ""));
}

/** Shows a message, and the newest ones behind it. */
export async function selectMessage(client: ScrollbackClient, id: string, messageId: string): Promise<boolean> {
  const { nodes } = await readTree(client, id);
  let node = nodes.find((one) => one.id === messageId);
  for (let next = node; next; next = nodes.findLast(({ parent }) => parent === next)) node = next;
  const end = node?.rows.at(-1);
  if (end) await client.selectLine(id, { message_id: end.id });
  return end !== undefined;
}

/** Makes a message of the tree the last one of the line. Returns the id that it has there, or `undefined` if there is no such message. */
export async function goTo(client: ScrollbackClient, id: string, messageId: string): Promise<string | undefined> {
  const { nodes } = await readTree(client, id);
  const node = nodes.find((one) => one.id === messageId);
  const end = node?.rows.at(-1);
  if (end) await client.selectLine(id, { message_id: end.id });
  return node?.message.id;
}

/** The stored messages of UI messages, but for those that are also a part of others. */
export async function rowsToDelete(
  client: ScrollbackClient,
  id: string,
  messageIds: readonly string[],
): Promise<TreeMessage[]> {
  const { nodes } = await readTree(client, id);
  const isWanted = (node: Node<UIMessage>) => messageIds.includes(node.id);
  const others = new Set(nodes.filter((node) => !isWanted(node)).flatMap(({ rows }) => rows));
  return nodes.filter(isWanted).flatMap(({ rows }) => rows.filter((row) => !others.has(row)));
}
