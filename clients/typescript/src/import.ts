import { ScrollbackError } from "./errors.js";
import type { Imported } from "./types.js";

/** The API refuses a larger body. A request with very many short lines would take long, and a retry would begin it again. */
const MOST_BYTES = 4 << 20;
const MOST_LINES = 5000;

/** Sends the lines of an export while they are read, in requests of whole lines. */
export async function importLines(
  lines: Iterable<string> | AsyncIterable<string>,
  send: (body: string) => Promise<Imported>,
): Promise<Imported> {
  // The items of a text are its characters.
  if (typeof lines === "string") throw new TypeError("lines must be an iterable of lines, and not one text");
  const total: Imported = { conversations: 0, messages: 0, skipped: 0, expired: 0 };
  const encoder = new TextEncoder();
  let waiting: string[] = [];
  // The numbers that the waiting lines have in the import: empty lines are left out.
  let numbers: number[] = [];
  let bytes = 0;
  let number = 0;

  const store = async () => {
    if (waiting.length === 0) return;
    try {
      const stored = await send(`${waiting.join("\n")}\n`);
      total.conversations += stored.conversations;
      total.messages += stored.messages;
      total.skipped += stored.skipped;
      total.expired += stored.expired;
    } catch (error) {
      throw error instanceof ScrollbackError ? renumbered(error, numbers) : error;
    }
    [waiting, numbers, bytes] = [[], [], 0];
  };

  for await (const item of lines) {
    number += 1;
    const line = item.replace(/\r?\n$/, "");
    if (line.includes("\n")) throw new TypeError(`line ${String(number)} has a line break in it`);
    if (line.trim() === "") continue;
    const size = encoder.encode(line).length + 1;
    if (waiting.length === MOST_LINES || bytes + size > MOST_BYTES) await store();
    waiting.push(line);
    numbers.push(number);
    bytes += size;
  }
  await store();
  return total;
}

/** The error, with the number that the line has in the import instead of that in the request. */
function renumbered(error: ScrollbackError, numbers: readonly number[]): ScrollbackError {
  const param = error.param?.replace(/^line (\d+)/, (found, index) => {
    const number = numbers[Number(index) - 1];
    return number === undefined ? found : `line ${String(number)}`;
  });
  const { code, detail, status, requestId, maybeDone } = error;
  return new ScrollbackError({ code, detail, status, param, requestId, maybeDone });
}
