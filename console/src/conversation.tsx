/** A conversation. Only the messages on screen are loaded and laid out, so a hundred thousand of them scroll. */
import { useVirtualizer } from "@tanstack/react-virtual";
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import type { Conversation, Message, Versioned } from "@scrollback/client";
import { api, CHUNK, queries, reason, refresh, useLastPosition, useMessage, useMessages } from "./api.js";
import { fold } from "./calls.js";
import { ContextPanel, useAsked, useFates, type Asked } from "./context.js";
import { Confirm, EditDialog, RawDialog } from "./dialogs.js";
import { Menu, type Item } from "./menu.js";
import { MessageView, type Step } from "./message.js";
import { follow, go, hrefOf, show, togglePanel, usePlace } from "./place.js";
import { token } from "./settings.js";
import { count, curl, exact, pretty, titleOf } from "./text.js";
import { copy, useToast } from "./toasts.js";
import { VersionsDialog } from "./versions.js";

/** How high a message is that nobody has measured. */
const USUAL_HEIGHT = 110;

type Asking =
  | { what: "edit" | "rewind"; message: Message }
  | { what: "raw"; title: string; value: unknown; command: string }
  | { what: "delete" | "versions" };

export function ConversationView({ conversation }: { conversation: Versioned<Conversation> }) {
  const { id, version } = conversation;
  const place = usePlace();
  const toast = useToast();
  const [asking, setAsking] = useState<Asking>();
  const asked = useAsked();
  const last = useLastPosition(id);

  // Somebody has written: what is on screen is read again.
  const seen = useRef(version);
  useEffect(() => {
    if (seen.current === version) return;
    seen.current = version;
    for (const key of ["messages", "context", "conversations"])
      void queries.invalidateQueries({ queryKey: key === "conversations" ? [key] : [key, id] });
  }, [id, version]);

  const attempt = async (work: () => Promise<unknown>, done: string, undo?: () => Promise<unknown>) => {
    try {
      await work();
      await refresh(id);
      const takeBack =
        undo &&
        (async () => {
          await undo();
          await refresh(id);
        });
      toast(done, takeBack && { undo: takeBack });
    } catch (error) {
      toast(reason(error), { bad: true });
      await refresh(id);
    }
  };
  const endOfLine = async () => (await api.getChatHistory(id, { last: 1 }).page()).items[0]?.id ?? null;
  const parentOf = async ({ position }: Message) =>
    (await api.getChatHistory(id, { before: position, order: "desc", limit: 1 }).page()).items[0]?.id ?? null;
  /** Goes on with the line that ended with that message. */
  const backTo = (end: string | null) => async () => {
    await api.selectLine(id, { message_id: end });
    await refresh(id);
    show(id, undefined);
  };
  const regenerate = async (message: Message) => {
    let end: string | null = null;
    await attempt(
      async () => {
        const parent = await parentOf(message);
        end = await endOfLine();
        // Whatever was read above, it is of the version that the reader sees.
        await api.selectLine(id, { message_id: parent }, { ifMatch: version });
        show(id, undefined);
      },
      "The reply is kept. The next message is another version of it.",
      () => backTo(end)(),
    );
  };
  /** Moves the line to a version of a message, and shows it. */
  const select = async (message: string) => {
    try {
      await api.selectLine(id, { message_id: message, newest: true });
      await refresh(id);
      show(id, message);
    } catch (error) {
      toast(reason(error), { bad: true });
      await refresh(id);
    }
  };
  const set = (fields: { archived?: boolean; pinned?: boolean }, done: string) => {
    const back = Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, !value]));
    void attempt(
      () => api.updateConversation(id, fields),
      done,
      () => api.updateConversation(id, back),
    );
  };
  const fork = async (through?: number) => {
    try {
      const made = await api.forkConversation(id, through === undefined ? {} : { through });
      await refresh();
      go({ user: made.user_id, conversation: made.id });
      toast(`Forked: ${count(made.message_count, "message")} copied.`, {
        undo: async () => {
          await api.deleteConversation(made.id);
          go({ user: made.user_id, conversation: id });
          await refresh();
        },
      });
    } catch (error) {
      toast(reason(error), { bad: true });
    }
  };
  const raw = (message: Message) => {
    const command = curl(`/conversations/${id}/messages/${message.id}`, {}, token() !== undefined);
    setAsking({ what: "raw", title: `Message ${String(message.position)}`, value: message, command });
  };
  const itemsOf = (message: Message): (Item | null)[] => [
    { label: "Edit …", onSelect: () => setAsking({ what: "edit", message }) },
    { label: "Fork from here", onSelect: () => void fork(message.position) },
    ...(message.role === "assistant"
      ? [{ label: "Regenerate from here", onSelect: () => void regenerate(message) }]
      : []),
    { label: "Rewind to here …", onSelect: () => setAsking({ what: "rewind", message }), danger: true },
    null,
    {
      label: "Copy link",
      onSelect: () => void copy(location.origin + hrefOf({ ...place, message: message.id }), toast),
    },
    {
      label: "Copy text",
      onSelect: () => void copy(typeof message.content === "string" ? message.content : pretty(message.content), toast),
    },
    {
      label: "Copy as curl",
      onSelect: () => void copy(curl(`/conversations/${id}/messages/${message.id}`, {}, token() !== undefined), toast),
    },
    { label: "Raw JSON", onSelect: () => raw(message) },
  ];

  const pinned = conversation.pinned_at !== null;
  const archived = conversation.archived_at !== null;
  return (
    <>
      <main className="conversation">
        <header className="heading">
          <div>
            <h1 dir="auto">{titleOf(conversation)}</h1>
            <p className="facts">
              <span>{count(conversation.message_count, "message")}</span>
              {conversation.kept_count > 0 && (
                <button type="button" className="small" onClick={() => setAsking({ what: "versions" })}>
                  {count(conversation.kept_count)} more in versions
                </button>
              )}
              <time dateTime={conversation.created_at}>begun {exact(conversation.created_at)}</time>
              {pinned && <span className="badge">pinned</span>}
              {archived && <span className="badge">archived</span>}
              {conversation.forked_from && (
                <a
                  href={hrefOf({ conversation: conversation.forked_from.conversation_id })}
                  onClick={(event) => follow(event, { conversation: conversation.forked_from?.conversation_id })}
                >
                  forked at #{conversation.forked_from.position}
                </a>
              )}
            </p>
          </div>
          <span className="space" />
          <button type="button" aria-pressed={asked !== undefined} onClick={togglePanel}>
            What the model sees
          </button>
          <Menu
            label="Actions for the conversation"
            items={[
              {
                label: pinned ? "Unpin" : "Pin",
                onSelect: () => set({ pinned: !pinned }, pinned ? "Unpinned." : "Pinned."),
              },
              {
                label: archived ? "Unarchive" : "Archive",
                onSelect: () => set({ archived: !archived }, archived ? "Unarchived." : "Archived."),
              },
              { label: "Fork", onSelect: () => void fork() },
              null,
              {
                label: "Copy as curl",
                onSelect: () => void copy(curl(`/conversations/${id}/messages`, {}, token() !== undefined), toast),
              },
              {
                label: "Raw JSON",
                onSelect: () =>
                  setAsking({
                    what: "raw",
                    title: "Conversation",
                    value: conversation,
                    command: curl(`/conversations/${id}`, {}, token() !== undefined),
                  }),
              },
              null,
              { label: "Delete …", onSelect: () => setAsking({ what: "delete" }), danger: true },
            ]}
          >
            ⋯
          </Menu>
        </header>
        {last.data === undefined ? (
          <p className="dim pad">{last.error === null ? "Loading …" : reason(last.error)}</p>
        ) : last.data === 0 ? (
          <p className="dim pad">
            {conversation.kept_count > 0 ? "No version is chosen." : "Nobody has said anything yet."}
          </p>
        ) : (
          <Messages
            conversation={conversation}
            last={last.data}
            asked={asked}
            itemsOf={itemsOf}
            onRaw={raw}
            onEdit={(message) => setAsking({ what: "edit", message })}
            onSelect={select}
          />
        )}
      </main>
      {asked && <ContextPanel conversation={conversation} asked={asked} />}
      {asking?.what === "edit" && (
        <EditDialog
          content={asking.message.content}
          onClose={() => setAsking(undefined)}
          onSave={async (content, keep) => {
            const { message } = asking;
            const fields = { content: content as NonNullable<Message["content"]> };
            if (!keep) {
              await api.updateMessage(id, message.id, fields, { ifMatch: version });
              await refresh(id);
              toast("Saved.", {
                undo: async () => {
                  await api.updateMessage(id, message.id, { content: message.content });
                  await refresh(id);
                },
              });
              return;
            }
            const { role, name, tool_calls, tool_call_id, metadata, extra } = message;
            const [parent_id, end] = [await parentOf(message), await endOfLine()];
            const edited = { role, name, tool_calls, tool_call_id, metadata, ...extra, ...fields, parent_id };
            const made = await api.addMessage(id, edited, { ifMatch: version });
            await refresh(id);
            show(id, made.id);
            toast("Saved as another version.", { undo: backTo(end) });
          }}
        />
      )}
      {asking?.what === "rewind" && (
        <Rewind conversation={conversation} message={asking.message} onClose={() => setAsking(undefined)} />
      )}
      {asking?.what === "versions" && (
        <VersionsDialog
          id={id}
          onClose={() => setAsking(undefined)}
          onSelect={({ first, onLine }) => {
            setAsking(undefined);
            if (onLine) show(id, first.id);
            else void select(first.id);
          }}
        />
      )}
      {asking?.what === "raw" && <RawDialog {...asking} onClose={() => setAsking(undefined)} />}
      {asking?.what === "delete" && (
        <Confirm
          title="Delete this conversation?"
          action={`Delete ${count(conversation.message_count + conversation.kept_count, "message")}`}
          onClose={() => setAsking(undefined)}
          onConfirm={async () => {
            await api.deleteConversation(id, { ifMatch: version });
            go({ user: conversation.user_id });
            await refresh();
            toast("Deleted.");
          }}
        >
          <p>The conversation and its messages are deleted. Nothing brings them back.</p>
        </Confirm>
      )}
    </>
  );
}

/** Deletes a message and all after it. */
function Rewind({
  conversation,
  message,
  onClose,
}: {
  conversation: Versioned<Conversation>;
  message: Message;
  onClose: () => void;
}) {
  const { id, version } = conversation;
  const [copyFirst, setCopyFirst] = useState(false);
  const [deleted, setDeleted] = useState<number>();
  const toast = useToast();
  useEffect(() => {
    const stop = new AbortController();
    void (async () => {
      // Kept messages are deleted with the message that they are below.
      const gone = new Set<string | null>();
      const after = api.tree(id, { after: message.position - 1 }, { signal: stop.signal });
      for await (const one of after) if (one.on_line || gone.has(one.parent_id)) gone.add(one.id);
      setDeleted(gone.size);
    })().catch((error: unknown) => {
      if (!stop.signal.aborted) toast(reason(error), { bad: true });
    });
    return () => stop.abort();
  }, [id, message.position, version, toast]);
  return (
    <Confirm
      title="Rewind to here?"
      action={deleted === undefined ? undefined : `Delete ${count(deleted, "message")}`}
      onClose={onClose}
      onConfirm={async () => {
        if (copyFirst)
          await api.forkConversation(id, { title: `${conversation.title ?? "Untitled"} (copy)`.slice(-512) });
        const { deleted } = await api.rewindConversation(id, { from: message.position }, { ifMatch: version });
        await refresh(id);
        toast(`Deleted ${count(deleted, "message")}.`);
      }}
    >
      <p>
        Message {message.position} and all after it are deleted
        {conversation.kept_count > 0 && ", with the versions of what comes after it"}. Nothing brings them back.
      </p>
      <label className="check">
        <input type="checkbox" checked={copyFirst} onChange={(event) => setCopyFirst(event.target.checked)} />
        Keep a copy of this line: fork it first
      </label>
    </Confirm>
  );
}

function Messages({
  conversation,
  last,
  asked,
  itemsOf,
  onRaw,
  onEdit,
  onSelect,
}: {
  conversation: Versioned<Conversation>;
  last: number;
  asked: Asked | undefined;
  itemsOf: (message: Message) => (Item | null)[];
  onRaw: (message: Message) => void;
  onEdit: (message: Message) => void;
  onSelect: (message: string) => Promise<void>;
}) {
  const { id } = conversation;
  const place = usePlace();
  const linked = useMessage(id, place.message);
  const scroller = useRef<HTMLDivElement>(null);
  // Where the view stays while messages load and are measured, until the reader scrolls.
  const anchor = useRef<number | "start" | "end" | undefined>(place.message === undefined ? "end" : undefined);
  const virtualizer = useVirtualizer({
    count: last,
    getScrollElement: () => scroller.current,
    estimateSize: () => USUAL_HEIGHT,
    getItemKey: (index) => index + 1,
    overscan: 8,
  });
  const rows = virtualizer.getVirtualItems();
  const from = Math.floor((rows[0]?.index ?? 0) / CHUNK);
  const to = Math.floor((rows.at(-1)?.index ?? 0) / CHUNK);
  const chunks = useMemo(() => Array.from({ length: to - from + 1 }, (_, n) => from + n), [from, to]);
  const { messages, loaded, error } = useMessages(id, chunks);
  const { results, hidden } = useMemo(() => fold(messages), [messages]);
  const fates = useFates(conversation, asked);

  const target = linked.data?.position;
  useLayoutEffect(() => {
    if (target !== undefined) anchor.current = target;
  }, [target, place.message]);
  const total = virtualizer.getTotalSize();
  const settle = useCallback(() => {
    const at = anchor.current;
    if (at === "start") virtualizer.scrollToOffset(0);
    else if (at === "end") virtualizer.scrollToIndex(last - 1, { align: "end" });
    else if (at !== undefined) virtualizer.scrollToIndex(at - 1, { align: "center" });
  }, [virtualizer, last]);
  useLayoutEffect(settle, [settle, total, target, loaded]);

  const before = useRef(0);
  const free = () => (anchor.current = undefined);
  const onScroll = () => {
    const { scrollTop, scrollHeight, clientHeight } = scroller.current ?? new HTMLDivElement();
    // A reader who scrolls down to the end stays there. One who leaves it begins there, too.
    const down = scrollTop > before.current;
    before.current = scrollTop;
    if (anchor.current === undefined && down && scrollHeight - scrollTop - clientHeight < 4) anchor.current = "end";
  };
  const onKey = (event: React.KeyboardEvent<HTMLDivElement>) => {
    if (/^(Page|Arrow| )/.test(event.key)) free();
    // The browser's own way there is an animation, which stops at the first message that is measured.
    if (event.key === "Home" || event.key === "End") {
      anchor.current = event.key === "Home" ? "start" : "end";
      settle();
      event.preventDefault();
    }
    const article = (event.target as HTMLElement).closest("article");
    const position = Number(article?.dataset["position"] ?? 0);
    if (event.ctrlKey || event.metaKey || event.altKey || (event.target as HTMLElement).role === "menuitem") return;
    if (event.key === "e" && article !== null) {
      const message = messages.get(position);
      if (message) onEdit(message);
      event.preventDefault();
    }
  };
  // From anywhere on the page: the next message, or the first one on screen.
  useEffect(() => {
    const onJump = (event: KeyboardEvent) => {
      const element = event.target as HTMLElement;
      if (event.ctrlKey || event.metaKey || event.altKey || !/^[jk]$/.test(event.key)) return;
      if (/^(INPUT|TEXTAREA|SELECT)$/.test(element.tagName) || document.querySelector("dialog[open], [role=menu]"))
        return;
      free();
      const articles = [...(scroller.current?.querySelectorAll<HTMLElement>("article") ?? [])];
      const at = articles.findIndex((article) => article.contains(document.activeElement));
      const top = scroller.current?.getBoundingClientRect().top ?? 0;
      const next =
        at === -1
          ? articles.find((article) => article.getBoundingClientRect().bottom > top + 20)
          : articles[at + (event.key === "j" ? 1 : -1)];
      next?.focus();
      event.preventDefault();
    };
    addEventListener("keydown", onJump);
    return () => removeEventListener("keydown", onJump);
  }, []);

  // The versions of a message have places of their own: the focus follows the reader to the one that was chosen.
  const stepping = useRef<{ message: string; by: Step }>(undefined);
  const onVersion = (message: string, by: Step) => {
    stepping.current = { message, by };
    void onSelect(message);
  };
  useEffect(() => {
    if (stepping.current === undefined || stepping.current.message !== place.message) return;
    const button = `article.current [data-step="${String(stepping.current.by)}"]`;
    const next = scroller.current?.querySelector<HTMLElement>(button);
    if (next === undefined || next === null) return;
    next.focus({ preventScroll: true });
    stepping.current = undefined;
  });

  const elsewhere =
    linked.error === null &&
    target !== undefined &&
    loaded.has(Math.floor((target - 1) / CHUNK)) &&
    !messages.has(target);
  return (
    <div
      ref={scroller}
      className="messages"
      role="feed"
      aria-label="Messages"
      aria-busy={loaded.size < chunks.length}
      tabIndex={0}
      onWheel={free}
      onPointerDown={free}
      onKeyDown={onKey}
      onScroll={onScroll}
    >
      {error !== null && (
        <p className="problem" role="alert">
          {reason(error)}
        </p>
      )}
      {linked.error !== null && (
        <p className="problem" role="alert">
          The message of this link is not here any more.
        </p>
      )}
      {elsewhere && (
        <p className="elsewhere" role="status">
          The message of this link is not on the current line.{" "}
          <button type="button" className="small" onClick={() => void onSelect(place.message ?? "")}>
            Show its line
          </button>
        </p>
      )}
      <div className="sizer" style={{ height: total }}>
        {rows.map((row) => {
          const position = row.index + 1;
          const message = messages.get(position);
          const waiting = !loaded.has(Math.floor(row.index / CHUNK));
          return (
            <div
              key={row.key}
              className="place"
              data-index={row.index}
              ref={virtualizer.measureElement}
              style={{ transform: `translateY(${String(row.start)}px)` }}
            >
              {message !== undefined && (!hidden.has(position) || (message.versions ?? []).length > 1) && (
                <MessageView
                  message={message}
                  results={results.get(position)}
                  fate={fates(message)}
                  items={itemsOf(message)}
                  current={place.message === message.id}
                  onRaw={onRaw}
                  onVersion={onVersion}
                />
              )}
              {waiting && <div className="skeleton" />}
            </div>
          );
        })}
      </div>
    </div>
  );
}
