/** One message, as people read it. */
import { Fragment, useEffect, useState } from "react";
import type { Message } from "@scrollback/client";
import { api, refresh } from "./api.js";
import { callsOf, isOfATool, type Call, type Result } from "./calls.js";
import { Plain, Prose, Reference } from "./markdown.js";
import { Menu, type Item } from "./menu.js";
import { brief, count, exact, pretty, visible } from "./text.js";

export const ROLES = {
  user: "User",
  assistant: "Assistant",
  system: "System",
  developer: "Developer",
  tool: "Tool",
} as const;

/** To the version before, or to the one after. */
export type Step = -1 | 1;
const STEPS = [
  [-1, "Previous", "‹"],
  [1, "Next", "›"],
] as const;

/** What a model would be told of a message, and why. */
export interface Fate {
  kind: "omitted" | "repaired";
  reason: string;
}

export function MessageView({
  message,
  results,
  fate,
  items,
  current,
  onRaw,
  onVersion,
}: {
  message: Message;
  results: Map<string, Result> | undefined;
  fate: Fate | undefined;
  items: (Item | null)[];
  current: boolean;
  onRaw: (message: Message) => void;
  onVersion: (id: string, by: Step) => void;
}) {
  const growing = useGrowing(message);
  const calls = callsOf(message);
  const long = (message.role === "system" || message.role === "developer") && growing.length > 600;
  const [open, setOpen] = useState(false);
  const name = message.name === null ? ROLES[message.role] : `${ROLES[message.role]} · ${visible(message.name)}`;
  const versions = message.versions ?? [];
  const at = versions.indexOf(message.id);
  const which = versions.length > 1 ? `${count(at + 1)} of ${count(versions.length)}` : undefined;
  return (
    <article
      className={["message", message.role, fate?.kind, current && "current"].filter(Boolean).join(" ")}
      aria-label={`${name}, message ${String(message.position)}${which === undefined ? "" : `, version ${which}`}`}
      data-position={message.position}
      tabIndex={0}
    >
      <header>
        <span className="who">{name}</span>
        <time dateTime={message.created_at} title={exact(message.created_at)}>
          {brief(message.created_at)}
        </time>
        {message.token_count !== null && <span>{count(message.token_count, "token")}</span>}
        {message.status === "in_progress" && <span className="badge live">being written</span>}
        {(message.status === "incomplete" || message.status === "cancelled") && (
          <span className="badge">{message.status}</span>
        )}
        {fate && <span className="badge fate">{fate.reason}</span>}
        <span className="space" />
        {which !== undefined && (
          <span className="versions" role="group" aria-label="Versions">
            {STEPS.map(([by, label, sign]) => {
              const to = versions[at + by];
              // At an end, the button stays where the focus is.
              return (
                <Fragment key={by}>
                  {by === 1 && <span>{which}</span>}
                  <button
                    type="button"
                    className="quiet"
                    aria-label={`${label} version (${which})`}
                    aria-disabled={to === undefined}
                    data-step={by}
                    onClick={() => to !== undefined && onVersion(to, by)}
                  >
                    {sign}
                  </button>
                </Fragment>
              );
            })}
          </span>
        )}
        <span className="position">#{message.position}</span>
        <Menu label={`Actions for message ${String(message.position)}`} items={items}>
          ⋯
        </Menu>
      </header>
      <div className={long && !open ? "body clipped" : "body"}>
        {message.role === "tool" ? (
          <Plain text={pretty(message.content)} label="Result" />
        ) : typeof message.content === "string" ? (
          <Prose text={growing} />
        ) : (
          message.content?.map((part, index) => <Part key={index} part={part} />)
        )}
      </div>
      {long && (
        <button type="button" className="small" aria-expanded={open} onClick={() => setOpen(!open)}>
          {open ? "Show less" : `Show all ${count(growing.length)} characters`}
        </button>
      )}
      {calls.map((call, index) => (
        <CallView key={index} call={call} result={results?.get(call.id)} onRaw={onRaw} />
      ))}
      {message.tool_calls !== null && calls.length === 0 && (
        <Plain text={pretty(message.tool_calls)} label="Tool calls" />
      )}
    </article>
  );
}

/** The text of a reply, which grows while it is written. */
function useGrowing({ conversation_id, id, content, status }: Message): string {
  const stored = typeof content === "string" ? content : "";
  const [text, setText] = useState(stored);
  const live = status === "in_progress";
  useEffect(() => {
    if (!live) return;
    const stop = new AbortController();
    void (async () => {
      let read = "";
      const pieces = api.followReply(conversation_id, id, {}, { signal: stop.signal });
      for await (const piece of pieces) {
        read += piece;
        setText(read);
      }
      await refresh(conversation_id);
    })().catch(() => undefined);
    return () => stop.abort();
  }, [conversation_id, id, live]);
  return live && text.length > stored.length ? text : stored;
}

type Fields = Record<string, unknown>;

function Part({ part }: { part: Fields }) {
  if (isOfATool(part)) return null;
  if (typeof part["text"] === "string") return <Prose text={part["text"]} />;
  if (typeof part["refusal"] === "string") return <Prose text={part["refusal"]} />;
  const address = addressOf(part);
  if (address !== undefined) {
    const embedded = /^data:([\w/+.-]*)/.exec(address);
    return (
      <p>
        {embedded || !/^https?:/i.test(address) ? (
          <span className="chip">
            {embedded
              ? `${embedded[1] ?? "file"}, embedded, ${count(address.length)} characters`
              : visible(address.slice(0, 200))}
          </span>
        ) : (
          <Reference href={address}>
            <span className="chip">image: {visible(address)}</span>
          </Reference>
        )}
      </p>
    );
  }
  return (
    <details className="call">
      <summary>{visible(typeof part["type"] === "string" ? part["type"] : "part")}</summary>
      <Plain text={pretty(part)} label="Content part" />
    </details>
  );
}

/** Where a picture is, in each way that it can be stored. It is never fetched. */
function addressOf(part: Fields): string | undefined {
  const source = part["image_url"] ?? part["image"] ?? part["source"] ?? part["url"];
  if (typeof source === "string") return source;
  if (typeof source !== "object" || source === null) return undefined;
  const { url, data, media_type } = source as Fields;
  if (typeof url === "string") return url;
  return typeof data === "string"
    ? `data:${typeof media_type === "string" ? media_type : ""};base64,${data}`
    : undefined;
}

/** One line of what a call was given. */
function summary(input: unknown): string {
  const line = typeof input === "string" ? input : (JSON.stringify(input) as string | undefined);
  return visible((line ?? "").slice(0, 120));
}

function CallView({
  call,
  result,
  onRaw,
}: {
  call: Call;
  result: Result | undefined;
  onRaw: (message: Message) => void;
}) {
  const [open, setOpen] = useState(false);
  const output = result?.output ?? call.output;
  return (
    <details className="call" onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        <code>{visible(call.name) || "call"}</code>
        <span className="arguments">{summary(call.input)}</span>
        <span className="badge">{output === undefined ? "no result" : "result"}</span>
      </summary>
      {open && (
        <div className="exchange">
          <section aria-label="Arguments">
            <div className="label">Arguments</div>
            <Plain text={pretty(call.input ?? null)} label="Arguments" />
          </section>
          <section aria-label="Result">
            <div className="label">
              Result
              {result && (
                <button type="button" className="quiet small" onClick={() => onRaw(result.message)}>
                  Raw JSON
                </button>
              )}
            </div>
            {output === undefined ? (
              <p className="dim">Nobody has answered this call.</p>
            ) : (
              <Plain text={pretty(output)} label="Result" />
            )}
          </section>
        </div>
      )}
    </details>
  );
}
