/** The names of the API's types. Their fields are spelled as in the API. */
import type { components, operations } from "./openapi.js";

type Schemas = components["schemas"];
type Query<Name extends keyof operations> = NonNullable<operations[Name]["parameters"]["query"]>;
/** Fields that may be left out by `undefined`, too. */
type Fields<T> = { [Name in keyof T]: T[Name] | undefined };
type Optional<T> = Fields<Partial<T>>;

/** A conversation, without its messages. */
export type Conversation = Schemas["Conversation"];
/** A conversation of a list. It has `last_message` if the list was asked for it. */
export type ListedConversation = Schemas["ListedConversation"];
/** A stored message. */
export type Message = Schemas["Message"];
/** A message of a conversation's tree: the message that it follows (`null`: none), and whether it is on the current line. */
export type TreeMessage = Message & { parent_id: string | null; on_line: boolean };
/** Who speaks. */
export type Role = Schemas["Role"];
/** Text, or content parts. */
export type Content = Schemas["Content"];
/** An object with a `type`, or a part of Gemini or Converse, which has none. */
export type ContentPart = Schemas["ContentPart"];
/** A model's calls to tools: JSON that comes back as it went in. */
export type ToolCalls = Schemas["ToolCalls"];
/** A message that a search has found. */
export type SearchHit = Schemas["SearchHit"];
/** A summary with its text, which stands for the messages up to the position `through`. */
export type Summary = Schemas["Summary"];
/** How many messages a rewind has deleted. */
export type Rewound = Schemas["Rewound"];
/** How much an erasure has deleted. */
export type Erased = Schemas["Erased"];
/** How many conversations have become another user's. */
export type Transferred = Schemas["Transferred"];
/** What an import has stored, and how many lines were stored before. */
export type Imported = Schemas["Imported"];
/** A message as the Chat Completions API takes it. */
export type ChatCompletionsMessage = Schemas["ChatCompletionsMessage"];
/** A message as Anthropic's Messages API takes it. */
export type AnthropicMessage = Schemas["AnthropicMessage"];
/** An item of OpenAI's Responses API. */
export type ResponsesItem = Schemas["ResponsesItem"];
/** A content of Google's Gemini API. */
export type GeminiContent = Schemas["GeminiContent"];
/** A message as the Converse API of Amazon Bedrock takes it. Bytes are base64. */
export type ConverseMessage = Schemas["ConverseMessage"];

/** A message to store. Without an `id`, the client makes one. */
export type NewMessage = { role: Role } & Optional<
  Omit<Schemas["MessageFields"], "role" | "from" | "parent_id" | "messages">
>;
/** Fields of `getOrCreateConversation`. */
export type ConversationFields = Optional<Schemas["NewConversation"]>;
/** Fields of `updateConversation`. `null` clears a field. */
export type ConversationPatch = Optional<Schemas["ConversationPatch"]>;
/** Fields of `forkConversation`. */
export type ForkFields = Optional<Schemas["NewFork"]>;
/** Fields of `updateMessage`. `null` clears a field. */
export type MessagePatch = Optional<Schemas["MessagePatch"]>;
/** Fields of `summarizeConversation`. */
export type SummaryFields = { through: number; content: string } & Optional<Pick<Schemas["NewSummary"], "token_count">>;
/** Where new messages go. Without either field, behind the last message. */
export interface Place {
  /** The message at this position and all after it are replaced, and deleted. */
  from?: number | undefined;
  /** The messages follow this one, or with `null` they are at the beginning. What followed it is kept: the new ones are another version. */
  parent_id?: string | null | undefined;
}
/** Fields of `addMessages`. */
export interface MessagesFields extends Place {
  messages: readonly NewMessage[];
}
/** Fields of `selectLine`. */
export type LineFields = { message_id: string | null } & Optional<{ newest: boolean }>;
/** Fields of `getChatHistory`. */
export type HistoryFields = Optional<Query<"get-chat-history">>;
/** Fields of `tree`. */
export type TreeFields = Omit<HistoryFields, "all" | "line" | "include">;
/** Fields of `getContext`, without the format. */
export type ContextFields = Optional<Omit<Query<"get-context">, "format">>;
/** Fields of `turn`: one message or several, and what else is done in the same request. */
export type TurnFields<Format extends ContextFormat = "messages"> = (NewMessage | Pick<MessagesFields, "messages">) &
  Place & {
    /** An empty reply with this id is stored behind the messages, `in_progress`. `true`: the client makes the id. */
    reply_id?: string | true | undefined;
    /** The conversation is created with these fields, if it is not there. */
    conversation?: Optional<Schemas["TurnConversation"]> | undefined;
    /** The fields of `getContext`. */
    context?: (Omit<ContextFields, "line"> & { format?: Format | undefined }) | undefined;
  };
/** Fields of `getUserConversations`. `metadata`: members of the conversation's metadata that have these values, compared as text. */
export type ListFields = Optional<
  Omit<Query<"get-user-conversations">, "cursor" | "ids" | "metadata.KEY"> & {
    ids: readonly string[];
    metadata: Readonly<Record<string, string | number | boolean>>;
  }
>;
/** Fields of `searchMessages`. */
export type SearchFields = { q: string } & Optional<Pick<Query<"search-messages">, "limit">>;

/** For which API `getContext` spells the messages. */
export type ContextFormat = "messages" | "openai" | "anthropic" | "responses" | "gemini" | "converse";

interface ContextMessages {
  messages: { messages: Message[] };
  openai: { messages: ChatCompletionsMessage[] };
  anthropic: { messages: AnthropicMessage[]; system?: ContentPart[] };
  responses: { input: ResponsesItem[]; instructions?: string };
  gemini: { contents: GeminiContent[]; systemInstruction?: { parts: ContentPart[] } };
  converse: { messages: ConverseMessage[]; system?: ContentPart[] };
}

/** What to send to a model. */
export type Context<Format extends ContextFormat = "messages"> = ContextMessages[Format] &
  Omit<Schemas["Context"], "messages" | "system" | "input" | "instructions" | "contents" | "systemInstruction">;

/** A turn that has begun. If it was begun before, `replayed` is true, and the context and the reply are as they are now. */
export interface Turn<Format extends ContextFormat = "messages"> extends Omit<Schemas["Turn"], "context"> {
  context: Context<Format>;
  replayed: boolean;
}

/** A result with the version (the ETag) of its conversation, for `ifMatch` and `ifNoneMatch`. */
export type Versioned<T> = T & { version: string };

/** Options of every call. They are the client's, and not sent as fields. */
export interface CallOptions {
  /** Ends the call, its retries included. Its reason is thrown. */
  signal?: AbortSignal | undefined;
  /** How many milliseconds an attempt may take. Without it, the client's. */
  timeout?: number | undefined;
}

/** Options of a read. */
export interface ReadOptions extends CallOptions {
  /** A version that the caller has. If it is still the current one, a `ScrollbackError` with the code `not_modified` is thrown. */
  ifNoneMatch?: string | undefined;
}

/** Options of a write. */
export interface WriteOptions extends CallOptions {
  /** Write only if the conversation still has this version. Otherwise the code is `precondition_failed`. */
  ifMatch?: string | undefined;
}

/** Options of a list. */
export interface ListOptions extends CallOptions {
  /** How many items a request asks for, 1 to 1000. Without it, as many as fit in a response. */
  pageSize?: number | undefined;
}

/** Options of a conversation's messages. */
export interface HistoryOptions extends ListOptions, ReadOptions {}
