/** The messages of a thread. */
import type {
  GenericThreadHistoryAdapter,
  MessageFormatAdapter,
  MessageFormatItem,
  ThreadHistoryAdapter,
} from "@assistant-ui/react";
import { chatHistory } from "@scrollback/ai-sdk";
import type { ScrollbackClient } from "@scrollback/client";

/** assistant-ui's name for the AI SDK's UI messages. It has no other name for those of release 7. */
const FORMAT = "ai-sdk/v6";

/** What the history uses of a thread. assistant-ui's `threadListItem` has it. */
export interface Thread {
  getState: () => { remoteId?: string | undefined };
  /** Creates the conversation if there is none. */
  initialize: () => Promise<{ remoteId: string }>;
}

/** Options of `historyAdapter`. */
export interface HistoryOptions {
  /** Your server stores the messages with `@scrollback/ai-sdk`. The page only loads them. */
  readOnly?: boolean | undefined;
}

/** The history of one thread for assistant-ui. `thread` returns the thread that the page shows at the time of the call. */
export function historyAdapter(
  client: ScrollbackClient,
  thread: () => Thread,
  options: HistoryOptions = {},
): ThreadHistoryAdapter {
  const unsupported = () => Promise.reject(new TypeError(`use withFormat with the format "${FORMAT}": ${RUNTIMES}`));
  return {
    load: unsupported,
    append: unsupported,
    withFormat: (adapter) => {
      if (adapter.format !== FORMAT) {
        throw new TypeError(`the format "${adapter.format}" cannot be stored, only "${FORMAT}": ${RUNTIMES}`);
      }
      return formattedHistory(client, thread, adapter, options);
    },
  };
}

const RUNTIMES = "useChatRuntime and useAISDKRuntime have it";

function formattedHistory<Message, Stored extends Record<string, unknown>>(
  client: ScrollbackClient,
  thread: () => Thread,
  adapter: MessageFormatAdapter<Message, Stored>,
  { readOnly = false }: HistoryOptions,
): GenericThreadHistoryAdapter<Message> {
  const chats = chatHistory(client);
  type Item = MessageFormatItem<Message>;
  type UIMessage = Awaited<ReturnType<typeof chats.loadChat>>[number];

  let pinned: Thread | undefined;
  const pin = () => (pinned = thread());
  /** Whether the page knows a message of the conversation. */
  let knows = false;

  const save = async (item: Item): Promise<void> => {
    if (readOnly) return;
    const message = { ...adapter.encode(item), id: adapter.getId(item.message) } as unknown as UIMessage;
    const { remoteId } = await (pinned ?? pin()).initialize();
    // A page that could not load the messages does not know where the beginning is. Its first message goes to the end.
    const parentId = item.parentId === null && !knows ? undefined : item.parentId;
    await inOrder(client, remoteId, () => chats.saveMessage({ id: remoteId, message, parentId }));
    knows = true;
  };

  return {
    pin: () => void pin(),
    load: async () => {
      const { remoteId } = pin().getState();
      if (remoteId === undefined) return { headId: null, messages: [] };
      const { headId, messages } = await chats.loadTree(remoteId);
      knows = messages.length > 0;
      return {
        headId,
        messages: messages.map(({ parentId, message: { id, ...content } }) =>
          adapter.decode({ id, parent_id: parentId, format: FORMAT, content: content as unknown as Stored }),
        ),
      };
    },
    append: save,
    update: save,
    delete: async (items) => {
      // A thread without a conversation has nothing to delete, and does not get one.
      const { remoteId } = (pinned ?? pin()).getState();
      if (readOnly || remoteId === undefined) return;
      const ids = items.map(({ message }) => adapter.getId(message));
      await inOrder(client, remoteId, () => chats.deleteMessages(remoteId, ids));
    },
  };
}

/** The last write of each conversation. */
const writes = new WeakMap<ScrollbackClient, Map<string, Promise<unknown>>>();

/** Does a page's writes of a conversation one after the other: a branch that is chosen late must not undo a message that came behind it. */
function inOrder<T>(client: ScrollbackClient, id: string, write: () => Promise<T>): Promise<T> {
  const last = writes.get(client) ?? new Map<string, Promise<unknown>>();
  writes.set(client, last);
  const written = (last.get(id) ?? Promise.resolve()).then(write);
  // A write that fails does not stop the others.
  const settled = written
    .catch(() => undefined)
    .then(() => {
      if (last.get(id) === settled) last.delete(id);
    });
  last.set(id, settled);
  return written;
}

/** Makes the branch that ends with this message the conversation's current line. */
export async function selectBranch(client: ScrollbackClient, thread: Thread, headId: string | null): Promise<void> {
  const { remoteId } = thread.getState();
  if (remoteId === undefined || headId === null) return;
  // A message that is not stored yet brings its branch along.
  await inOrder(client, remoteId, () => chatHistory(client).selectMessage({ id: remoteId, messageId: headId }));
}
