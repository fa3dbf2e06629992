import type { components } from "./openapi.js";

/**
 * What went wrong, for programs: a code of the API's, or one of the client's for what the API has no code for.
 *
 * - `not_modified`: nothing has changed since the version in `ifNoneMatch`.
 * - `too_many_requests`: the API's throttle refused the request.
 * - `server_error`: a 5xx without a code.
 * - `no_response`: there was no connection, it was lost, or the time was over.
 * - `invalid_response`: the answer is not one of Scrollback's. Is the base URL right?
 * - `unknown`: any other status without a code.
 */
export type ErrorCode =
  | components["schemas"]["Problem"]["code"]
  | "not_modified"
  | "too_many_requests"
  | "server_error"
  | "no_response"
  | "invalid_response"
  | "unknown"
  // A newer server may have a code that this release does not know.
  | (string & Record<never, never>);

/** The facts of a `ScrollbackError`. */
export interface ErrorFacts {
  code: ErrorCode;
  detail: string;
  status?: number | undefined;
  param?: string | undefined;
  requestId?: string | undefined;
  length?: number | undefined;
  maybeDone?: boolean;
}

/**
 * A request that did not succeed. It never holds what a user or a model said, so its text can be logged.
 *
 * The reason of an `AbortSignal` that was aborted is thrown as it is, and not as a `ScrollbackError`.
 */
export class ScrollbackError extends Error {
  override readonly name = "ScrollbackError";
  /** What went wrong, for programs. */
  readonly code: ErrorCode;
  /** What was wrong and what would be right, for people. */
  readonly detail: string;
  /** The HTTP status. `undefined` if there was no response. */
  readonly status: number | undefined;
  /** The field at fault, such as `messages[3].role`. */
  readonly param: string | undefined;
  /** The id under which the server's log has the request. */
  readonly requestId: string | undefined;
  /** How many characters the content has that a piece of a reply did not fit. Only with the code `conflict`. */
  readonly length: number | undefined;
  /** Whether an attempt of this write may have taken effect. It is true after an attempt that got no answer, or a 5xx. */
  readonly maybeDone: boolean;

  constructor({ code, detail, status, param, requestId, length, maybeDone = false }: ErrorFacts) {
    const facts = [status, code, param, requestId && `request ${requestId}`].filter(Boolean);
    super(`${detail} (${facts.join(", ")})`);
    this.code = code;
    this.detail = detail;
    this.status = status;
    this.param = param;
    this.requestId = requestId;
    this.length = length;
    this.maybeDone = maybeDone;
  }
}

/** Whether something that was caught is a `ScrollbackError`, with this code if one is given. */
export function isProblem(error: unknown, code?: ErrorCode): error is ScrollbackError {
  return error instanceof ScrollbackError && (code === undefined || error.code === code);
}
