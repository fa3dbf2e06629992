/** How text, times and numbers are shown. */
import { configuration } from "./signin.js";

// Characters that a reader does not see: what they hide is shown by their numbers. `clients/python/src/scrollback/_terminal.py` has the same
// list.
const UNSEEN = new RegExp(
  // eslint-disable-next-line no-misleading-character-class -- Each of them is meant alone.
  "[" +
    "\\0-\\x08\\x0b-\\x1f\\x7f-\\x9f\\u2028\\u2029" + // controls, and separators of lines
    "\\u061c\\u200e\\u200f\\u202a-\\u202e\\u2066-\\u2069" + // the direction of the text around them
    "\\xad\\u034f\\u115f\\u1160\\u17b4\\u17b5\\u180e\\u200b\\u2060-\\u2065\\u206a-\\u206f\\u3164\\ufeff\\uffa0\\ufff0-\\ufffb" + // invisible
    "\\u{1bca0}-\\u{1bca3}\\u{1d173}-\\u{1d17a}\\u{e0000}-\\u{e00ff}\\u{e01f0}-\\u{e0fff}" + // invisible; tags, which spell a text
    "]" +
    // Joiners and variation selectors belong to emoji and to scripts. A row of them is a code.
    "|(?<=[\\u200c\\u200d])[\\u200c\\u200d\\ufe00-\\ufe0f\\u{e0100}-\\u{e01ef}]" +
    "|(?<=[\\ufe00-\\ufe0f\\u{e0100}-\\u{e01ef}])[\\ufe00-\\ufe0f\\u{e0100}-\\u{e01ef}]",
  "gu",
);

/** Text in which characters that turn or hide other text are shown by their numbers. */
export function visible(text: string): string {
  return text.replace(/\r\n/g, "\n").replace(UNSEEN, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
  });
}

/** What a conversation is called. */
export function titleOf({ title, id }: { title: string | null; id: string }): string {
  return title === null || title === "" ? `Untitled ${id.slice(-6)}` : visible(title);
}

/** JSON with indentation. Text of JSON that is none stays as it is. */
export function pretty(value: unknown): string {
  if (typeof value !== "string") return JSON.stringify(value, null, 2);
  try {
    const parsed: unknown = JSON.parse(value);
    return typeof parsed === "object" && parsed !== null ? JSON.stringify(parsed, null, 2) : value;
  } catch {
    return value;
  }
}

const NUMBER = new Intl.NumberFormat("en");

export function count(n: number, noun?: string): string {
  if (noun === undefined) return NUMBER.format(n);
  return `${NUMBER.format(n)} ${noun}${n === 1 ? "" : "s"}`;
}

const EXACT = new Intl.DateTimeFormat("en", { dateStyle: "medium", timeStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", hour12: false });
const DAY = new Intl.DateTimeFormat("en", { day: "numeric", month: "short" });
const YEAR = new Intl.DateTimeFormat("en", { day: "numeric", month: "short", year: "numeric" });

export function exact(time: string): string {
  return EXACT.format(new Date(time));
}

/** The clock for today, else the day. */
export function brief(time: string): string {
  const [date, now] = [new Date(time), new Date()];
  if (date.toDateString() === now.toDateString()) return CLOCK.format(date);
  return (date.getFullYear() === now.getFullYear() ? DAY : YEAR).format(date);
}

/** Quoted for a POSIX shell. */
function quoted(text: string): string {
  return /^[\w./:=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

/** A read of the API as a command. */
export function curl(path: string, fields: object = {}, token = false): string {
  const given = Object.entries(fields).filter(([, value]) => value !== undefined) as [string, string | number][];
  const query = given.map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`).join("&");
  const bearer = token || configuration !== undefined ? ` -H "authorization: Bearer $token"` : "";
  return `curl ${quoted(`${configuration?.api ?? location.origin}${path}${query === "" ? "" : `?${query}`}`)}${bearer}`;
}
