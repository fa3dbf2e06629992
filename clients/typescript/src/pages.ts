import type { Answer, Operation } from "./transport.js";

/** The items of one response. */
export interface Page<T> {
  items: T[];
  /** Where the next page begins, for `Pages.page`. `undefined` if this is the last one. */
  next: string | undefined;
  /** The conversation's version, where the list belongs to a conversation. */
  version: string | undefined;
}

/** The API refuses a larger `limit`. */
export const LARGEST_PAGE = 1000;

/**
 * A list that is requested page by page, while you iterate with `for await`. Iterating again requests it again.
 *
 * `page` is for programs that request one page at a time, such as a list that loads more when it is scrolled.
 */
export class Pages<T> implements AsyncIterable<T> {
  readonly #run: (operation: Operation<Page<T>>) => Promise<Page<T>>;
  readonly #first: Operation<Page<T>>;
  readonly #limit: number;

  constructor(
    run: (operation: Operation<Page<T>>) => Promise<Page<T>>,
    first: Operation<Page<T>>,
    limit: number | undefined,
  ) {
    this.#run = run;
    this.#first = first;
    this.#limit = limit ?? Infinity;
  }

  /** One page: the first one, or the one that the page before names in `next`. */
  page(next?: string): Promise<Page<T>> {
    if (next === undefined) return this.#run(this.#first);
    // The token goes along, so a link must not lead to another host.
    if (!next.startsWith("/")) return Promise.reject(new TypeError("next must be the next of a page"));
    // A condition is about the first page only.
    return this.#run({ ...this.#first, target: next, headers: { ...this.#first.headers, "if-none-match": undefined } });
  }

  /** The pages, one response each. */
  async *pages(): AsyncGenerator<Page<T>, void, undefined> {
    let left = this.#limit;
    let next: string | undefined;
    do {
      const page = await this.page(next);
      yield page.items.length > left ? { ...page, items: page.items.slice(0, left) } : page;
      left -= page.items.length;
      next = page.next;
    } while (next !== undefined && left > 0);
  }

  /** The items, one by one. */
  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    for await (const page of this.pages()) yield* page.items;
  }

  /** All items: as many requests as there are pages. */
  async all(): Promise<T[]> {
    const items: T[] = [];
    for await (const page of this.pages()) items.push(...page.items);
    return items;
  }
}

/** Where a response says that its list goes on (RFC 8288). */
export function nextOf(answer: Answer): string | undefined {
  const next = /<([^<>]*)>\s*;\s*rel="?next"?/.exec(answer.headers.get("link") ?? "")?.[1];
  if (next !== undefined && !next.startsWith("/")) throw new TypeError("the next link is not a path");
  return next;
}
