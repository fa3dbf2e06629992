/** How requests are sent, and sent again. */
import { ScrollbackError, type ErrorCode } from "./errors.js";
import type { CallOptions } from "./types.js";

/** A bearer token, or a function that returns the current one. The function is called for each attempt. */
export type Token = string | (() => string | Promise<string>);

/**
 * How a request is sent again after a connection error, a time-out, or a 429, 500, 502, 503 or 504. Times are milliseconds.
 *
 * The wait before the nth retry is random, between 0 and `base * 2 ** (n - 1)`, and at most `cap`. After a response with `Retry-After`, that
 * time is added.
 */
export interface Retry {
  /** How many times the request is sent at most. 6 by default. */
  attempts: number;
  /** 100 by default. */
  base: number;
  /** 5,000 by default. */
  cap: number;
  /** For all attempts and waits together. No attempt starts after it. 60,000 by default. */
  deadline: number;
}

/** What a client is told. */
export interface ClientOptions {
  /** A bearer token, or a function that returns the current one. The function is called for each attempt. */
  token?: Token | undefined;
  /** How many milliseconds an attempt may take. 30,000 by default. */
  timeout?: number | undefined;
  /** How often and how long a failed request is sent again. */
  retry?: Partial<Retry> | undefined;
  /** Another `fetch` than the global one. */
  fetch?: typeof fetch | undefined;
}

/** A response that arrived whole. */
export interface Answer {
  status: number;
  headers: Headers;
  text: string;
}

/** No response arrived. `maybeSent` is false where the request cannot have reached the server. */
interface Lost {
  happened: string;
  maybeSent: boolean;
}

/** One call of an endpoint. The body is made once, so that every attempt sends the same bytes. */
export interface Operation<T> {
  method: "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
  target: string;
  read: (answer: Answer) => T;
  body?: string;
  headers?: Record<string, string | undefined>;
  /** A rewind without a version would also delete what was appended between two attempts, so it is not sent again. */
  repeatable?: boolean;
  /** After an attempt that may have deleted it, a 404 means that it has. */
  goneIsDone?: boolean;
  /** How many milliseconds the server may take in addition to the time of an attempt, because the call asks it to wait. */
  wait?: number;
}

const RETRIED = new Set([429, 500, 502, 503, 504]);

/** The codes of responses that API Gateway sends itself, or that have no body. */
const CODES: Record<number, ErrorCode> = {
  304: "not_modified",
  401: "unauthenticated",
  403: "forbidden",
  404: "not_found",
  412: "precondition_failed",
  413: "payload_too_large",
  415: "unsupported_media_type",
  429: "too_many_requests",
};

/** What a connection ends with before the request was sent, in Node. Browsers do not say. */
const UNSENT = new Set(["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "UND_ERR_CONNECT_TIMEOUT"]);

export class Transport {
  readonly #origin: string;
  readonly #prefix: string;
  readonly #options: ClientOptions;
  readonly #retry: Retry;

  constructor(baseUrl: string, options: ClientOptions) {
    // A parser's exception would hold the URL, and with it a password.
    const url = URL.canParse(baseUrl) ? new URL(baseUrl) : undefined;
    if (!url || !/^https?:$/.test(url.protocol)) {
      throw new TypeError("the base URL must be an http or https URL, such as http://127.0.0.1:9000");
    }
    if (url.username || url.password || url.search || url.hash) {
      throw new TypeError("the base URL must have no user name, password, query or fragment");
    }
    this.#origin = url.origin;
    this.#prefix = url.pathname.replace(/\/+$/, "");
    this.#options = options;
    this.#retry = { attempts: 6, base: 100, cap: 5000, deadline: 60_000, ...options.retry };
  }

  /** Sends an operation until it has a final answer, or until the attempts or the time are used up. */
  async run<T>(operation: Operation<T>, options: CallOptions = {}, retries?: Partial<Retry>): Promise<T> {
    const retry = { ...this.#retry, ...retries };
    const timeout = (options.timeout ?? this.#options.timeout ?? 30_000) + (operation.wait ?? 0);
    const began = performance.now();
    const writes = operation.method !== "GET";
    let maybeDone = false;
    for (let attempt = 1; ; attempt++) {
      const left = retry.deadline - (performance.now() - began);
      const outcome = await this.#attempt(operation, Math.max(1, Math.min(timeout, left)), options.signal);
      let wait = Math.random() * Math.min(retry.cap, retry.base * 2 ** (attempt - 1));
      if ("status" in outcome) {
        if (!RETRIED.has(outcome.status)) return result(operation, outcome, maybeDone);
        // API Gateway answers 429 before any function runs, so nothing was done.
        maybeDone ||= writes && outcome.status !== 429;
        wait += retryAfter(outcome.headers.get("retry-after"));
      } else {
        maybeDone ||= writes && outcome.maybeSent;
      }
      const late = performance.now() - began + wait >= retry.deadline;
      if (attempt >= retry.attempts || late || (maybeDone && operation.repeatable === false)) {
        if ("status" in outcome) throw problem(outcome, maybeDone);
        const detail = `no response after ${String(attempt)} ${attempt === 1 ? "attempt" : "attempts"}: ${outcome.happened}`;
        throw new ScrollbackError({ code: "no_response", detail, maybeDone });
      }
      await sleep(wait, options.signal);
    }
  }

  async #attempt(operation: Operation<unknown>, timeout: number, signal?: AbortSignal): Promise<Answer | Lost> {
    const headers = await this.#headers(operation);
    signal?.throwIfAborted();
    const controller = new AbortController();
    const abort = () => {
      controller.abort();
    };
    signal?.addEventListener("abort", abort);
    const timer = setTimeout(abort, timeout);
    try {
      const response = await (this.#options.fetch ?? fetch)(this.#url(operation.target), {
        method: operation.method,
        headers,
        body: operation.body ?? null,
        // A redirect could take the request, and what is said in it, to another host.
        redirect: "manual",
        signal: controller.signal,
      });
      return { status: response.status, headers: response.headers, text: await response.text() };
    } catch (error) {
      signal?.throwIfAborted();
      const happened = controller.signal.aborted ? "the time is over" : nameOf(error);
      return { happened, maybeSent: !UNSENT.has(happened) };
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    }
  }

  #url(target: string): string {
    // A link to the next page has the prefix already, if the server knows of it.
    const known = this.#prefix !== "" && target.startsWith(`${this.#prefix}/`);
    return this.#origin + (known ? "" : this.#prefix) + target;
  }

  async #headers(operation: Operation<unknown>): Promise<Record<string, string>> {
    const headers: Record<string, string> = { accept: "application/json" };
    if (operation.body !== undefined) headers["content-type"] = "application/json";
    for (const [name, value] of Object.entries(operation.headers ?? {})) {
      if (value !== undefined) headers[name] = value;
    }
    const { token } = this.#options;
    const current = typeof token === "function" ? await token() : token;
    if (current !== undefined) {
      // The exception of `fetch` for a header that cannot be sent would hold the token, so the token is checked here.
      if (!/^[!-~]+( +[!-~]+)*$/.test(current)) {
        throw new TypeError("the token must be a text of printable ASCII characters, without spaces around it");
      }
      headers["authorization"] = `Bearer ${current}`;
    }
    return headers;
  }
}

function result<T>(operation: Operation<T>, answer: Answer, maybeDone: boolean): T {
  const { status } = answer;
  const gone = operation.goneIsDone === true && maybeDone && status === 404;
  if (!(status >= 200 && status < 300) && !gone) throw problem(answer, maybeDone);
  try {
    return operation.read(answer);
  } catch {
    // The cause is dropped, because a parser's exception holds the text that it could not read.
    throw invalid(status, maybeDone);
  }
}

function invalid(status: number, maybeDone: boolean): ScrollbackError {
  const detail = "the response is not one of Scrollback's; check the base URL";
  return new ScrollbackError({ code: "invalid_response", detail, status, maybeDone });
}

/** The error for a response that is one: a problem document, or API Gateway's `{"message": ...}`. */
function problem(answer: Answer, maybeDone: boolean): ScrollbackError {
  const { status, headers } = answer;
  if (status < 400 && status !== 304) return invalid(status, maybeDone);
  let members: Record<string, unknown> = {};
  try {
    const document: unknown = JSON.parse(answer.text);
    if (isObject(document)) members = document;
  } catch {
    // A load balancer's page, for example.
  }
  const text = (name: string) => (typeof members[name] === "string" ? members[name] : undefined);
  return new ScrollbackError({
    code: text("code") ?? CODES[status] ?? (status >= 500 ? "server_error" : "unknown"),
    detail:
      text("detail") ??
      text("message") ??
      (status === 304 ? "nothing has changed since this version" : "the server answered without saying why"),
    status,
    param: text("param"),
    requestId: text("request_id") ?? headers.get("apigw-requestid") ?? undefined,
    length: typeof members["length"] === "number" ? members["length"] : undefined,
    maybeDone,
  });
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** What an exception of `fetch` says, without its text: that may hold the URL, and URLs hold user ids and what is searched for. */
function nameOf(error: unknown): string {
  const cause = isObject(error) && isObject(error["cause"]) ? error["cause"] : {};
  const own: Record<string, unknown> = isObject(error) ? error : {};
  const name = cause["code"] ?? own["code"] ?? own["name"];
  return typeof name === "string" && /^\w+$/.test(name) ? name : "no connection";
}

/** The milliseconds that `Retry-After` asks for: a number of seconds or a date (RFC 9110). 0 without it. */
function retryAfter(value: string | null): number {
  if (value === null) return 0;
  if (/^\s*\d+\s*$/.test(value)) return Number(value) * 1000;
  return Math.max(0, Date.parse(value) - Date.now()) || 0;
}

/** Waits. An aborted signal ends it with the signal's reason. */
export function sleep(milliseconds: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      try {
        signal?.throwIfAborted();
        resolve();
      } catch (reason) {
        // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- The caller chose the reason.
        reject(reason);
      }
    };
    const timer = setTimeout(done, milliseconds);
    signal?.addEventListener("abort", done);
    if (signal?.aborted) done();
  });
}
