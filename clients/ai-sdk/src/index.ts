export {
  chatHistory,
  chatStore,
  type ChatHistory,
  type ChatOptions,
  type ChatRequest,
  type ChatStore,
  type SaveFields,
} from "./chat.js";
export { conversationId } from "./ids.js";
export { generateMessageId, prepareReconnectToStreamRequest, prepareSendMessagesRequest } from "./page.js";
export type { StoreOptions, Storing } from "./reply.js";
export type { ChatTree, TreeItem } from "./tree.js";
