/** What a model would be sent of a conversation, live. */
import { Slider } from "radix-ui";
import type { ContextFields, ContextFormat, Conversation, Message, Versioned } from "@scrollback/client";
import { reason, useContextOf } from "./api.js";
import { CopyButton, Plain } from "./markdown.js";
import type { Fate } from "./message.js";
import { setPanel, togglePanel, usePanel, type Panel } from "./place.js";
import { token } from "./settings.js";
import { count, curl } from "./text.js";

export type Asked = Pick<ContextFields, keyof typeof STOPS | "unanswered"> & { format: ContextFormat };

/** The stops of the sliders. The last one of a limit is none. */
const STOPS = {
  max_messages: [1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 75, 100, 150, 200, 300, 500, 1000, undefined],
  max_tokens: [100, 250, 500, 1000, 2000, 4000, 8000, 16_000, 32_000, 64_000, 128_000, 200_000, 1_000_000, undefined],
  step: [undefined, 2, 5, 10, 20, 50, 100, 500, 1000],
  tool_results: [0, 1, 2, 3, 5, 10, 20, 50, undefined],
} as const;

const LABELS = {
  max_messages: "Messages at most",
  max_tokens: "Tokens at most",
  step: "Step",
  tool_results: "Tool results in full",
} as const;
const NONE = { max_messages: "no limit", max_tokens: "no limit", step: "none", tool_results: "all" } as const;
const LIMITS = Object.keys(STOPS) as (keyof typeof STOPS)[];
const FORMATS = [
  ["messages", "Scrollback"],
  ["openai", "OpenAI Chat"],
  ["anthropic", "Anthropic"],
  ["responses", "OpenAI Responses"],
  ["gemini", "Google Gemini"],
  ["converse", "Amazon Bedrock Converse"],
] as const;

/** What the URL asks for. What it does not say in the API's words is left out. */
export function useAsked(): Asked | undefined {
  const panel = usePanel();
  if (panel === undefined) return undefined;
  const asked: Asked = { format: FORMATS.find(([format]) => format === panel.format)?.[0] ?? "openai" };
  for (const name of LIMITS) if (/^\d+$/.test(panel[name] ?? "")) asked[name] = Number(panel[name]);
  if (panel.unanswered === "drop") asked.unanswered = "drop";
  return asked;
}

/** Asks for something else, with the same URL but for that. */
function ask(asked: Asked, change: Partial<Record<keyof Panel, string | number | undefined>>): void {
  const all = Object.entries({ ...asked, ...change }).filter(([, value]) => value !== undefined);
  setPanel(Object.fromEntries(all.map(([name, value]) => [name, String(value)])));
}

/** For each message whether it is sent, and why not. */
export function useFates(
  conversation: Versioned<Conversation>,
  asked: Asked | undefined,
): (message: Message) => Fate | undefined {
  const fields = { ...asked, format: "messages" } as const;
  const { data } = useContextOf(conversation.id, fields, asked !== undefined);
  if (asked === undefined || data === undefined) return () => undefined;
  const repair = asked.unanswered === "drop" ? "an unanswered call is left out" : "a call got no result";
  const sent = new Map(data.messages.map((message) => [message.position, message]));
  const repaired = new Set(data.repaired);
  return ({ position, status, tool_calls, content }) => {
    if (status !== "complete") return { kind: "omitted", reason: "not sent: it is not complete" };
    if (sent.has(position))
      return repaired.has(position) ? { kind: "repaired", reason: `repaired: ${repair}` } : undefined;
    if (repaired.has(position)) return { kind: "omitted", reason: "not sent: its call and result do not match" };
    const written = JSON.stringify([tool_calls, content]);
    if (data.open_calls.some((call) => written.includes(JSON.stringify(call))))
      return { kind: "omitted", reason: "not sent: a tool is still running" };
    if (data.summary !== null && position <= data.summary.through)
      return { kind: "omitted", reason: "not sent: the summary stands for it" };
    return { kind: "omitted", reason: "not sent: over the limit" };
  };
}

export function ContextPanel({ conversation, asked }: { conversation: Versioned<Conversation>; asked: Asked }) {
  const { data, error, isPlaceholderData } = useContextOf(conversation.id, asked);
  const { messages, input, contents, system, instructions, systemInstruction } = (data ?? {}) as {
    messages?: unknown[];
    input?: unknown[];
    contents?: unknown[];
    system?: unknown;
    instructions?: unknown;
    systemInstruction?: unknown;
  };
  const sent = JSON.stringify({ system, instructions, systemInstruction, messages, input, contents }, null, 2);
  const command = curl(`/conversations/${conversation.id}/context`, asked, token() !== undefined);
  return (
    <aside className="panel" aria-label="What the model sees">
      <header className="heading">
        <h2>What the model sees</h2>
        <span className="space" />
        <button type="button" className="quiet" aria-label="Close the panel" onClick={togglePanel}>
          ✕
        </button>
      </header>
      <div className="scroll">
        <div className="limits">
          {LIMITS.map((name) => (
            <Stops key={name} name={name} value={asked[name]} onChange={(value) => ask(asked, { [name]: value })} />
          ))}
          <label className="field">
            Unanswered calls
            <select
              value={asked.unanswered ?? "answer"}
              onChange={(event) => ask(asked, { unanswered: event.target.value === "drop" ? "drop" : undefined })}
            >
              <option value="answer">get a result</option>
              <option value="drop">are left out</option>
            </select>
          </label>
          <label className="field">
            Format
            <select value={asked.format} onChange={(event) => ask(asked, { format: event.target.value })}>
              {FORMATS.map(([name, label]) => (
                <option key={name} value={name}>
                  {label}
                </option>
              ))}
            </select>
          </label>
        </div>
        {error !== null && (
          <p className="problem" role="alert">
            {reason(error)}
          </p>
        )}
        {data && (
          <>
            <dl className="numbers" aria-live="polite">
              <div>
                <dt>sent</dt>
                <dd>{count((messages ?? input ?? contents ?? []).length)}</dd>
              </div>
              <div>
                <dt>omitted</dt>
                <dd>{count(data.omitted)}</dd>
              </div>
              <div>
                <dt>{data.estimated ? "tokens, estimated" : "tokens"}</dt>
                <dd>{count(data.tokens)}</dd>
              </div>
              <div>
                <dt>repaired</dt>
                <dd>{count(data.repaired.length)}</dd>
              </div>
              <div>
                <dt>shortened</dt>
                <dd>{count(data.elided)}</dd>
              </div>
            </dl>
            <div className="row">
              <h3>The request</h3>
              <span className="space" />
              <CopyButton text={command} label="Copy as curl" />
              <CopyButton text={sent} label="Copy JSON" />
            </div>
            <div className={isPlaceholderData ? "stale" : ""}>
              <Plain text={sent} label="What is sent, as JSON" />
            </div>
          </>
        )}
      </div>
    </aside>
  );
}

/** The stop for a limit. A limit that a link brought may be between two. */
function stopOf(stops: readonly (number | undefined)[], value: number | null | undefined): number {
  const exact = stops.indexOf(value ?? undefined);
  if (exact >= 0) return exact;
  let below = 0;
  for (const [at, stop] of stops.entries()) if (stop !== undefined && stop <= Number(value)) below = at;
  return below;
}

function Stops({
  name,
  value,
  onChange,
}: {
  name: keyof typeof STOPS;
  value: number | null | undefined;
  onChange: (value: number | undefined) => void;
}) {
  const stops: readonly (number | undefined)[] = STOPS[name];
  const text = value === undefined || value === null ? NONE[name] : count(value);
  return (
    <div className="stops">
      <span id={`label-${name}`}>{LABELS[name]}</span>
      <output>{text}</output>
      <Slider.Root
        className="slider"
        min={0}
        max={stops.length - 1}
        value={[stopOf(stops, value)]}
        onValueChange={([index]) => onChange(stops[index ?? 0])}
      >
        <Slider.Track className="track">
          <Slider.Range className="range" />
        </Slider.Track>
        <Slider.Thumb className="thumb" aria-labelledby={`label-${name}`} aria-valuetext={text} />
      </Slider.Root>
    </div>
  );
}
