/** Where the reader is. The URL holds it, so that every place can be linked to. */
import { useSyncExternalStore } from "react";

export interface Place {
  user?: string | undefined;
  conversation?: string | undefined;
  message?: string | undefined;
}

/** What the panel beside a conversation asks `get-context` for. It is open while the URL names a format. */
const PANEL = ["format", "max_messages", "max_tokens", "step", "tool_results", "unanswered"] as const;
export type Panel = Partial<Record<(typeof PANEL)[number], string>>;

const OPENED: Panel = { format: "openai", max_messages: "50" };

const MOVED = "scrollback:moved";

function subscribe(listener: () => void): () => void {
  addEventListener("popstate", listener);
  addEventListener(MOVED, listener);
  return () => {
    removeEventListener("popstate", listener);
    removeEventListener(MOVED, listener);
  };
}

function placeIn(query: string): Place {
  const search = new URLSearchParams(query);
  const value = (name: string) => search.get(name) ?? undefined;
  return { user: value("user"), conversation: value("conversation"), message: value("message") };
}

function panelIn(query: string): Panel | undefined {
  const search = new URLSearchParams(query);
  if (!search.has("format")) return undefined;
  return Object.fromEntries([...search].filter(([name]) => (PANEL as readonly string[]).includes(name)));
}

const useQueryOfPage = () => useSyncExternalStore(subscribe, () => location.search);
export const usePlace = (): Place => placeIn(useQueryOfPage());
export const usePanel = (): Panel | undefined => panelIn(useQueryOfPage());

/** A conversation is linked to with the panel as it is now. */
export function hrefOf(place: Place, panel = panelIn(location.search)): string {
  const search = new URLSearchParams();
  const fields = place.conversation === undefined ? place : { ...place, ...panel };
  for (const [name, value] of Object.entries(fields) as [string, string | undefined][])
    if (value !== undefined) search.set(name, value);
  const query = search.toString();
  return query === "" ? location.pathname : `${location.pathname}?${query}`;
}

/** Goes to a place. `replace` leaves no step for the browser's back button. */
export function go(place: Place, replace = false, panel?: Panel): void {
  const href = hrefOf(place, panel);
  if (replace) history.replaceState(null, "", href);
  else history.pushState(null, "", href);
  dispatchEvent(new Event(MOVED));
}

/** Leads to a message of a conversation, unless the reader has gone elsewhere. */
export function show(conversation: string, message: string | undefined): void {
  const place = placeIn(location.search);
  if (place.conversation === conversation) go({ ...place, message }, true);
}

/** A click moves within the page. With a modifier it is the browser's. */
export function follow(event: React.MouseEvent, place: Place): void {
  if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  event.preventDefault();
  go(place);
}

/** Changes what the panel asks for, or closes it. */
export function setPanel(panel: Panel | undefined): void {
  go(placeIn(location.search), true, panel ?? {});
}

export function togglePanel(): void {
  setPanel(panelIn(location.search) === undefined ? OPENED : undefined);
}
