export { ScrollbackClient } from "./client.js";
export { isProblem, ScrollbackError, type ErrorCode, type ErrorFacts } from "./errors.js";
export { newId } from "./ids.js";
export type { Page, Pages } from "./pages.js";
export type { FollowOptions, Reply, ReplyEnd, ReplyFields, ReplyOptions } from "./reply.js";
export type { ClientOptions, Retry, Token } from "./transport.js";
export type * from "./types.js";
export type { components, operations, paths } from "./openapi.js";
