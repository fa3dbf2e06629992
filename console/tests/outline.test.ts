/** The outline of a tree, of random trees above all. */
import type { TreeMessage } from "@scrollback/client";
import { expect, test } from "vitest";
import { MOST_DEEP, outline, type Run } from "../src/outline.js";

const message = (id: number, parent: number | null, onLine: boolean) =>
  ({
    id: String(id),
    position: id,
    parent_id: parent === null ? null : String(parent),
    on_line: onLine,
  }) as TreeMessage;

/** The runs in the order of the page, each with its depth. */
function flat(runs: Run[], depth = 1): { run: Run; depth: number }[] {
  return runs.flatMap((run) => [{ run, depth }, ...flat(run.below, depth + 1)]);
}

test("a run ends where there is a choice, and where the line ends", () => {
  const tree = [
    message(1, null, true),
    message(2, 1, true),
    message(3, 2, false),
    message(4, 3, false),
    message(5, 2, true),
    message(6, 5, false),
  ];
  const shown = flat(outline(tree)).map(({ run, depth }) => [depth, run.first.position, run.count, run.onLine]);
  expect(shown).toEqual([
    [1, 1, 2, true],
    [2, 3, 2, false],
    [2, 5, 1, true],
    [3, 6, 1, false],
  ]);
  expect(outline([])).toEqual([]);
});

test("random trees: each message is in one run, below its parent, and no list is too deep", () => {
  for (let round = 0; round < 500; round++) {
    const size = 1 + Math.floor(Math.random() * 60);
    const parents = [...Array(size).keys()].map((at) =>
      Math.random() < 0.7 && at > 0 ? at : Math.random() < 0.9 && at > 0 ? 1 + Math.floor(Math.random() * at) : null,
    );
    const line = new Set<number | null>();
    for (let at: number | null = Math.floor(Math.random() * (size + 1)); at; at = parents[at - 1] ?? null) line.add(at);
    const runs = flat(outline(parents.map((parent, at) => message(at + 1, parent, line.has(at + 1)))));
    expect(runs.reduce((sum, { run }) => sum + run.count, 0)).toBe(size);
    expect(new Set(runs.map(({ run }) => run.first.id)).size).toBe(runs.length);
    expect(runs.filter(({ run }) => run.onLine).reduce((sum, { run }) => sum + run.count, 0)).toBe(line.size);
    expect(Math.max(...runs.map(({ depth }) => depth))).toBeLessThanOrEqual(MOST_DEEP);
    // A run is listed after the one that holds its parent.
    const listed = new Map(runs.map(({ run }, at) => [run.first.id, at]));
    for (const { run } of runs) {
      let above = run.first.parent_id;
      while (above !== null && !listed.has(above)) above = String(parents[Number(above) - 1] ?? null);
      if (above !== null) expect(listed.get(above)).toBeLessThan(listed.get(run.first.id) ?? 0);
    }
    // Every version at a choice has a run of its own.
    const beside = new Map<number | null, number[]>();
    parents.forEach((parent, at) => beside.set(parent, [...(beside.get(parent) ?? []), at + 1]));
    for (const versions of beside.values())
      if (versions.length > 1) for (const id of versions) expect(listed.has(String(id))).toBe(true);
  }
});

test("a hundred thousand versions of versions do not exhaust the stack", () => {
  const tree = [...Array(100_000).keys()].map((at) =>
    message(at + 1, at === 0 ? null : Math.max(1, at - (at % 2)), false),
  );
  expect(flat(outline(tree)).reduce((sum, { run }) => sum + run.count, 0)).toBe(100_000);
});
