import { isProblem, type Message, type ScrollbackClient } from "@scrollback/client";
import type { UIMessage, UIMessageChunk } from "ai";
import { followChat, stopReply, storeStream, type Storing, type StoreOptions } from "./reply.js";
import { conversationId } from "./ids.js";
import { isSame, type Group } from "./mapping.js";
import { goTo, loadTree, rowsToDelete, saveMessage, selectMessage, type ChatTree } from "./tree.js";
import {
  again,
  append,
  beginTurn,
  branchesAt,
  isFresh,
  readChat,
  readEnd,
  remember,
  replace,
  rowsOf,
} from "./store.js";

/** What `useChat` sends with `prepareSendMessagesRequest`. */
export interface ChatRequest<M extends UIMessage = UIMessage> {
  /** The conversation. */
  id: string;
  /** The last message of the page: what the user has written, or a reply whose tool calls the page has answered. */
  message?: M | undefined;
  trigger?: "submit-message" | "regenerate-message" | undefined;
  /** The reply that is to be generated anew, or the user's message that `message` takes the place of. */
  messageId?: string | undefined;
}

/** What `saveChat` stores: the chat's id with an event of `onEnd` or `onFinish`. */
export interface SaveFields<M extends UIMessage = UIMessage> {
  id: string;
  /** The reply. If a reply goes on, it comes again with the same id, and has grown. */
  responseMessage?: M | undefined;
  isContinuation?: boolean | undefined;
  /** The whole history. Only what is new or changed is stored. */
  messages?: readonly M[] | undefined;
}

/** Stores the chats of the AI SDK in Scrollback. `conversationId` says which conversation a chat is. Every method can be called alone. */
export interface ChatStore<M extends UIMessage = UIMessage> {
  /** The messages of a chat, as they were stored. A reply that is being written is left out: `resumeStream` brings it as a whole. */
  loadChat: (id: string) => Promise<M[]>;
  /** Stores a reply, or the whole history. It can be called again, and stores nothing twice. */
  saveChat: (fields: SaveFields<M>) => Promise<void>;
  /**
   * Stores what the page has sent, and returns the whole history for the model. With the id of a stored user message, it is another version of
   * that one, and what came after that is kept with it. Of a reply, only the outputs and approvals of tool calls are taken over that are still open.
   */
  appendUserMessage: (request: { id: string; message: M; messageId?: string | undefined }) => Promise<M[]>;
  /**
   * Puts a reply and all after it beside the history, or the last reply, and returns the history before it. They are kept as another version. A
   * reply that is still written is stopped.
   */
  regenerate: (request: { id: string; messageId?: string | undefined }) => Promise<M[]>;
  /** `appendUserMessage` or `regenerate`, as the page's request says. */
  beginReply: (request: ChatRequest<M>) => Promise<M[]>;
  /**
   * Stores what `change` makes of the stored messages. Only what is new or changed is written, in one transaction with what it replaces. A
   * beginning of what is stored changes nothing. If another writer comes first, `change` is called again. A reply that
   * is being written is the last of the stored messages. If `change` leaves it there as it is, its writer goes on.
   */
  updateChat: (id: string, change: (stored: M[]) => readonly M[]) => Promise<void>;
  /**
   * All messages of a chat with their versions, each behind its parent, for a page that shows "2 of 3". Messages with the same parent are
   * versions of each other.
   */
  loadTree: (id: string) => Promise<ChatTree<M>>;
  /**
   * Stores a message behind another one of the tree, or at the beginning if `parentId` is `null`. What followed is kept as another version.
   * Without `parentId`, or if the parent is not there, the message is put at the end. A message that is stored is changed in its place.
   */
  saveMessage: (request: { id: string; message: M; parentId?: string | null | undefined }) => Promise<void>;
  /**
   * Shows a version: the line then goes through this message, and on to the newest ones behind it. The id is one of `loadTree`. Returns whether
   * there is such a message.
   */
  selectMessage: (request: { id: string; messageId: string }) => Promise<boolean>;
  /**
   * Deletes these messages. The others stay, those behind them, too. What is stored of a message is deleted from its end, one by one. If that
   * fails in the middle, the same call deletes the rest.
   */
  deleteMessages: (id: string, messageIds: readonly string[]) => Promise<void>;
  /** Stores a reply while it is streamed. */
  storeWhileStreaming: (
    fields: { id: string; messages: readonly M[]; stream: ReadableStream<UIMessageChunk> },
    options?: StoreOptions,
  ) => Storing;
  /**
   * Stops the reply that is being written, or the one with this id, whichever process writes it. Its writer learns of it with the next write,
   * and calls `onStop`. The reply keeps what the page was shown. A reply that has not begun is waited for, five seconds at most. Returns
   * whether a reply was stopped.
   */
  stopReply: (request: { id: string; messageId?: string | undefined }) => Promise<boolean>;
  /**
   * The reply that is being written, from its beginning to its end, for a page that was loaded again. `undefined` if there is none. `after` is
   * the last message that the page has: a reply behind it that has ended in the meantime comes, too.
   */
  resumeStream: (
    request: { id: string; after?: string | undefined },
    options?: { interval?: number | undefined; signal?: AbortSignal | undefined },
  ) => Promise<ReadableStream<UIMessageChunk> | undefined>;
}

/** What an interface needs that stores its histories itself. */
export type ChatHistory<M extends UIMessage = UIMessage> = Pick<
  ChatStore<M>,
  "loadChat" | "loadTree" | "saveMessage" | "selectMessage" | "updateChat" | "deleteMessages"
>;

/** A part of `chatStore`, for a page: without the replies that are streamed, it is half as large. */
export function chatHistory<M extends UIMessage = UIMessage>(client: ScrollbackClient): ChatHistory<M> {
  const loadChat = async (id: string): Promise<M[]> => {
    const { groups } = await readChat<M>(client, await conversationId(id));
    return groups.filter(({ inProgress }) => !inProgress).map(({ message }) => message);
  };

  const updateChat: ChatStore<M>["updateChat"] = (chat, change) =>
    again(async () => {
      const id = await conversationId(chat);
      const stored = await readChat<M>(client, id);
      const messages = change(stored.groups.map(({ message }) => message));
      const last = stored.groups.at(-1);
      // A reply that was abandoned is not complete because it is handed back.
      const isOpen = last?.rows.some(({ status }) => status === "in_progress" || status === "incomplete") === true;
      const goesOn = isOpen && isSame(last.message, messages.at(-1));
      await replace(client, id, stored, messages, goesOn ? "in_progress" : "complete");
    });

  const deleteMessages: ChatStore<M>["deleteMessages"] = async (chat, messageIds) => {
    const id = await conversationId(chat);
    const rows = await rowsToDelete(client, id, messageIds);
    // The last first: a result goes before its call.
    for (const row of rows.reverse()) {
      await client.deleteMessage(id, row.id).catch((error: unknown) => {
        if (!isProblem(error, "not_found")) throw error;
      });
    }
  };

  return {
    loadChat,
    loadTree: async (chat) => loadTree(client, await conversationId(chat)),
    saveMessage: async ({ id, message, parentId }) =>
      saveMessage(client, await conversationId(id), { message, parentId }, (message) =>
        updateChat(id, (stored) => stored.map((one) => (one.id === message.id ? message : one))),
      ),
    selectMessage: async ({ id, messageId }) => selectMessage(client, await conversationId(id), messageId),
    updateChat,
    deleteMessages,
  };
}

/** Options of `chatStore`. */
export interface ChatOptions {
  /** Whether what is edited or generated anew is kept as another version. Otherwise it is deleted. `true` by default. */
  keep?: boolean | undefined;
}

/** The functions that store chats by this client. The client needs a token that may write all roles. */
export function chatStore<M extends UIMessage = UIMessage>(
  client: ScrollbackClient,
  { keep = true }: ChatOptions = {},
): ChatStore<M> {
  const chats = chatHistory<M>(client);
  const saveChat = ({ id: chat, responseMessage, messages }: SaveFields<M>): Promise<void> =>
    again(async () => {
      const id = await conversationId(chat);
      if (responseMessage) {
        const { groups, version } = await readEnd<M>(client, id, 2);
        const last = groups.at(-1)?.message.id;
        const before = messages?.at(-2)?.id;
        const known = messages === undefined || before === undefined || before === last;
        if (last === responseMessage.id) {
          await replace(client, id, { groups: groups.slice(-1), version }, [responseMessage]);
          return;
        }
        if (known) {
          await replace(client, id, { groups: [], version }, [responseMessage]);
          return;
        }
      }
      const history = messages ?? [];
      const stored = await readChat<M>(client, id);
      const at = keep ? branchesAt(stored, history) : undefined;
      if (at === undefined) {
        await replace(client, id, stored, history);
        return;
      }
      const versions = history.slice(at);
      try {
        const rows = (await Promise.all(versions.map((message) => rowsOf(id, message, "complete")))).flat();
        await append(client, id, rows, { parent_id: endOfLast(stored.groups.slice(0, at)) }, stored.version);
      } catch (error) {
        // A kept message has changed.
        if (!isProblem(error, "conflict")) throw error;
        for (const [n, message] of versions.entries()) {
          await chats.saveMessage({ id: chat, message, parentId: history[at + n - 1]?.id ?? null });
        }
      }
    });

  const appendUserMessage: ChatStore<M>["appendUserMessage"] = async ({ id: chat, message, messageId }) => {
    const id = await conversationId(chat);
    const isNew = message.role === "user" && messageId === undefined;
    const begun = isNew ? await beginTurn(client, id, message) : undefined;
    if (begun) return begun;
    return again(async () => {
      const stored = await readChat<M>(client, id);
      const { groups, version } = stored;
      const history = groups.map((group) => group.message);
      const at = history.findIndex((one) => one.id === (messageId ?? message.id));
      if (message.role === "assistant") {
        const known = history[at];
        if (!known || at < history.length - 1) throw new TypeError("only the last reply can be answered");
        const merged = answered(known, message);
        await replace(client, id, { groups: groups.slice(at), version }, [merged]);
        return [...history.slice(0, at), merged];
      }
      if (message.role !== "user")
        throw new TypeError("the message must be a user's, or a reply with answered tool calls");
      if (keep && at < 0 && messageId !== undefined) {
        // It is on another line: the page has another version, or somebody has gone to one.
        const there = await goTo(client, id, messageId);
        const edited = message.id === messageId && there !== undefined ? { ...message, id: there } : message;
        if (there !== undefined) return appendUserMessage({ id: chat, message: edited, messageId: there });
      }
      const kept = at < 0 ? history : history.slice(0, at);
      if (keep && groups[at] && !isSame(groups[at].message, JSON.parse(JSON.stringify(message)))) {
        // The page gives an edited message the id of the one before. The same edit again is stored once.
        const own = await rowsOf(id, message, "complete", { salt: JSON.stringify(message) });
        const before = groups.slice(0, at);
        const { rows, version: written } = await append(client, id, own, { parent_id: endOfLast(before) }, version);
        // This version was there before, and does not come back by itself.
        const line = isFresh(written, version) ? undefined : await client.selectLine(id, { message_id: endOf(rows) });
        const cancelled = await cancelOpen(client, id, groups.slice(at));
        const end = {
          groups: [...before, { message, rows, inProgress: false }],
          version: cancelled ?? line?.version ?? written,
        };
        return remember([...kept, message], end);
      }
      const written = await replace(client, id, { groups: at < 0 ? [] : groups.slice(at), version }, [message]);
      const found = [...kept, message];
      return !written && at === groups.length - 1 ? remember(found, stored) : found;
    });
  };

  const regenerate: ChatStore<M>["regenerate"] = ({ id: chat, messageId }) =>
    again(async () => {
      const id = await conversationId(chat);
      const { groups, version } = await readChat<M>(client, id);
      const history = groups.map(({ message }) => message);
      let at = messageId === undefined ? history.length - 1 : history.findIndex((one) => one.id === messageId);
      if (keep && at < 0 && messageId !== undefined) {
        const there = await goTo(client, id, messageId);
        if (there !== undefined) return regenerate({ id: chat, messageId: there });
      }
      // The reply may not have been stored.
      if (at < 0) at = history.length;
      // As the SDK does: a reply goes, and a user's message stays.
      if (history[at]?.role !== "assistant") at += 1;
      const from = groups[at]?.rows[0]?.position;
      const before = groups.slice(0, at);
      let ended = version;
      if (from !== undefined && keep) {
        const line = await client.selectLine(id, { message_id: endOfLast(before) }, { ifMatch: version });
        ended = (await cancelOpen(client, id, groups.slice(at))) ?? line.version;
      } else if (from !== undefined) {
        ended = (await client.rewindConversation(id, { from }, { ifMatch: version })).version;
      }
      return remember(history.slice(0, at), { groups: before, version: ended });
    });

  return {
    ...chats,
    saveChat,
    appendUserMessage,
    regenerate,
    beginReply: ({ id, message, trigger, messageId }) => {
      if (trigger === "regenerate-message") return regenerate({ id, messageId });
      if (!message) throw new TypeError("the request has no message");
      return appendUserMessage({ id, message, messageId });
    },
    storeWhileStreaming: (fields, options) => storeStream(client, fields, options ?? {}, keep),
    stopReply: (request) => stopReply(client, request),
    resumeStream: (request, options) => followChat(client, request, options),
  };
}

/** The last stored message of the last group, or `null` for the beginning. */
function endOfLast(groups: readonly Group[]): string | null {
  return endOf(groups.at(-1)?.rows ?? []);
}

function endOf(rows: readonly Message[]): string | null {
  return rows.at(-1)?.id ?? null;
}

/** Stops the replies that are still written, because they are not shown any more. Returns the version behind that. */
async function cancelOpen(client: ScrollbackClient, id: string, groups: readonly Group[]): Promise<string | undefined> {
  let version: string | undefined;
  for (const { id: row, status } of groups.flatMap(({ rows }) => rows)) {
    if (status !== "in_progress") continue;
    try {
      ({ version } = await client.cancelReply(id, row));
    } catch (error) {
      // It has ended or was deleted.
      if (!isProblem(error, "conflict") && !isProblem(error, "not_found")) throw error;
    }
  }
  return version;
}

/** A stored reply with the outputs and approvals that the page has for its open tool calls. A page must not write a model's words. */
function answered<M extends UIMessage>(stored: M, sent: M): M {
  const parts = stored.parts.map((part) => {
    if (!("toolCallId" in part)) return part;
    const answer = sent.parts.find((one) => "toolCallId" in one && one.toolCallId === part.toolCallId);
    if (!answer || !("state" in answer)) return part;
    const { state } = part;
    if (state === "input-available" && answer.state === "output-available") {
      return { ...part, state: answer.state, output: answer.output };
    }
    if (state === "input-available" && answer.state === "output-error") {
      return { ...part, state: answer.state, errorText: answer.errorText };
    }
    if (
      state === "approval-requested" &&
      answer.state === "approval-responded" &&
      answer.approval.id === part.approval.id
    ) {
      const { approved, reason } = answer.approval;
      return {
        ...part,
        state: answer.state,
        approval: { ...part.approval, approved, ...(reason === undefined ? {} : { reason }) },
      };
    }
    return part;
  });
  return { ...stored, parts };
}
