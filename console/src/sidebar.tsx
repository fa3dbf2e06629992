/** A user's conversations: a list with filters, and a search in titles and messages. */
import { Fragment, useDeferredValue, useEffect, useState } from "react";
import type { ListedConversation } from "@scrollback/client";
import { api, FILTERS, queries, reason, refresh, useConversations, useSearch, type Filter } from "./api.js";
import { Confirm, Problem } from "./dialogs.js";
import { Menu } from "./menu.js";
import { follow, go, hrefOf } from "./place.js";
import { forgetUser } from "./settings.js";
import { brief, count, exact, titleOf, visible } from "./text.js";
import { useToast } from "./toasts.js";

/** Waits for a pause in the typing. */
function useSettled(value: string): string {
  const [settled, setSettled] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), 200);
    return () => clearTimeout(timer);
  }, [value]);
  return settled;
}

export function Sidebar({ user, conversation }: { user: string; conversation: string | undefined }) {
  const [filter, setFilter] = useState<Filter>("active");
  const [text, setText] = useState("");
  const [erasing, setErasing] = useState(false);
  const toast = useToast();
  const q = useDeferredValue(useSettled(text.trim()));
  const list = useConversations(user, filter, q);
  const found = useSearch(user, q);
  const conversations = list.data?.pages.flatMap((page) => page.items) ?? [];

  const download = async () => {
    try {
      const lines = await api.exportUser(user).all();
      const url = URL.createObjectURL(new Blob(lines, { type: "application/x-ndjson" }));
      const link = document.createElement("a");
      link.href = url;
      link.download = `${user.replace(/[^\w.-]+/g, "_")}.ndjson`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(url), 10_000);
      toast(`Exported ${count(lines.length, "line")}.`);
    } catch (error) {
      toast(`The export failed. ${reason(error)}`, { bad: true });
    }
  };

  return (
    <nav className="sidebar" aria-label={`Conversations of ${user}`}>
      <div className="row">
        <input
          id="search"
          type="search"
          aria-label="Search titles and messages"
          placeholder="Search titles and messages"
          value={text}
          onChange={(event) => setText(event.target.value)}
        />
        <Menu
          label="This user"
          items={[
            { label: "Export everything", onSelect: () => void download() },
            null,
            { label: "Erase the user …", onSelect: () => setErasing(true), danger: true },
          ]}
        >
          ⋯
        </Menu>
      </div>
      <div className="filters" role="group" aria-label="Filter">
        {(Object.keys(FILTERS) as Filter[]).map((name) => (
          <button key={name} type="button" aria-pressed={filter === name} onClick={() => setFilter(name)}>
            {FILTERS[name]}
          </button>
        ))}
      </div>
      <div className="scroll">
        {list.error !== null && <Problem error={list.error} />}
        <ul className="conversations" aria-label="Conversations">
          {conversations.map((item) => (
            <Entry key={item.id} user={user} item={item} current={item.id === conversation} />
          ))}
        </ul>
        {list.isSuccess && conversations.length === 0 && !list.hasNextPage && (
          <p className="dim pad">{q === "" ? "No conversations here." : "No such title."}</p>
        )}
        {list.hasNextPage && (
          <button type="button" className="small" disabled={list.isFetching} onClick={() => void list.fetchNextPage()}>
            Show more
          </button>
        )}
        {q !== "" && (
          <section aria-label="Messages found">
            <h2>Messages</h2>
            {found.error !== null && <p className="problem">{reason(found.error)}</p>}
            {found.data?.length === 0 && <p className="dim pad">No message has these words.</p>}
            <ul className="hits">
              {found.data?.map(({ message, snippet, highlights, title }) => {
                const place = { user, conversation: message.conversation_id, message: message.id };
                return (
                  <li key={message.id}>
                    <a href={hrefOf(place)} onClick={(event) => follow(event, place)}>
                      <span className="title">{titleOf({ title, id: message.conversation_id })}</span>
                      <span className="snippet">
                        <Marked text={snippet} highlights={highlights} />
                      </span>
                    </a>
                  </li>
                );
              })}
            </ul>
          </section>
        )}
      </div>
      {erasing && <Erase user={user} onClose={() => setErasing(false)} />}
    </nav>
  );
}

function Entry({ user, item, current }: { user: string; item: ListedConversation; current: boolean }) {
  const place = { user, conversation: item.id };
  const time = item.last_message_at ?? item.created_at;
  return (
    <li>
      <a href={hrefOf(place)} aria-current={current ? "page" : undefined} onClick={(event) => follow(event, place)}>
        <span className="title" dir="auto">
          {titleOf(item)}
        </span>
        <span className="facts">
          {item.pinned_at !== null && <span className="badge">pinned</span>}
          {item.archived_at !== null && <span className="badge">archived</span>}
          {item.forked_from !== null && <span className="badge">fork</span>}
          <span>{count(item.message_count, "message")}</span>
          <time dateTime={time} title={exact(time)}>
            {brief(time)}
          </time>
        </span>
      </a>
    </li>
  );
}

/** A snippet. The hits in it are marked, and the two asterisks on each side of a hit are left out. */
function Marked({ text, highlights }: { text: string; highlights: number[][] }) {
  const characters = Array.from(text);
  const part = (start: number, end?: number) => visible(characters.slice(start, end).join(""));
  let before = 0;
  return (
    <>
      {highlights.map(([start = 0, end = 0]) => {
        const plain = part(before, start - 2);
        before = end + 2;
        return (
          <Fragment key={start}>
            {plain}
            <mark>{part(start, end)}</mark>
          </Fragment>
        );
      })}
      {part(before)}
    </>
  );
}

function Erase({ user, onClose }: { user: string; onClose: () => void }) {
  const [total, setTotal] = useState<{ conversations: number; messages: number }>();
  const toast = useToast();
  useEffect(() => {
    const stop = new AbortController();
    void (async () => {
      const sum = { conversations: 0, messages: 0 };
      const all = api.getUserConversations(user, {}, { signal: stop.signal });
      for await (const { message_count, kept_count } of all) {
        sum.conversations += 1;
        sum.messages += message_count + kept_count;
      }
      setTotal(sum);
    })().catch((error: unknown) => {
      if (!stop.signal.aborted) toast(reason(error), { bad: true });
    });
    return () => stop.abort();
  }, [user, toast]);
  const what = total && `${count(total.conversations, "conversation")} and ${count(total.messages, "message")}`;
  return (
    <Confirm
      title="Erase this user?"
      action={what && `Erase ${what}`}
      onClose={onClose}
      onConfirm={async () => {
        const erased = await api.eraseUser(user);
        forgetUser(user);
        queries.clear();
        go({});
        await refresh();
        toast(`Erased ${count(erased.conversations, "conversation")} and ${count(erased.messages, "message")}.`);
      }}
    >
      <p>
        Everything that is stored about <strong>{visible(user)}</strong> is deleted at once. Nothing brings it back. An
        export first keeps a copy.
      </p>
    </Confirm>
  );
}
