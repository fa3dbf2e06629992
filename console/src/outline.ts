/** A tree of messages as a short outline: an entry stands for a run of messages without a choice. */
import type { TreeMessage } from "@scrollback/client";

export interface Run {
  first: TreeMessage;
  /** How many messages the run has. They are all on the line, or none of them is. */
  count: number;
  onLine: boolean;
  below: Run[];
}

/** Below this depth, the list is not indented any more: runs follow the one that they are below. */
export const MOST_DEEP = 6;

/** The runs that begin the conversation. Messages come with their parents before them, as the API sends them. */
export function outline(messages: TreeMessage[]): Run[] {
  const children = new Map<string | null, TreeMessage[]>();
  for (const message of messages) {
    const beside = children.get(message.parent_id);
    if (beside === undefined) children.set(message.parent_id, [message]);
    else beside.push(message);
  }
  const top: Run[] = [];
  // A list instead of recursion, because a tree may be as deep as it has messages.
  const open = (children.get(null) ?? []).map((first) => ({ first, into: top, depth: 1 })).reverse();
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { first, into, depth } = next;
    const run: Run = { first, count: 1, onLine: first.on_line, below: [] };
    into.push(run);
    let last = first;
    let after = children.get(last.id) ?? [];
    while (after.length === 1 && after[0]?.on_line === run.onLine) {
      last = after[0];
      run.count += 1;
      after = children.get(last.id) ?? [];
    }
    const flat = depth >= MOST_DEEP;
    open.push(
      ...after
        .map((child) => ({ first: child, into: flat ? into : run.below, depth: flat ? depth : depth + 1 }))
        .reverse(),
    );
  }
  return top;
}
