/** Where the reader is. The URL holds it, so that every place can be linked to. */
import { useSyncExternalStore } from "react";

export interface Place {
  user?: string | undefined;
  conversation?: string | undefined;
  message?: string | undefined;
}

const MOVED = "scrollback:moved";

function subscribe(listener: () => void): () => void {
  addEventListener("popstate", listener);
  addEventListener(MOVED, listener);
  return () => {
    removeEventListener("popstate", listener);
    removeEventListener(MOVED, listener);
  };
}

export function usePlace(): Place {
  const query = useSyncExternalStore(subscribe, () => location.search);
  const search = new URLSearchParams(query);
  const value = (name: string) => search.get(name) ?? undefined;
  return { user: value("user"), conversation: value("conversation"), message: value("message") };
}

export function hrefOf(place: Place): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(place) as [string, string | undefined][])
    if (value !== undefined) search.set(name, value);
  const query = search.toString();
  return query === "" ? location.pathname : `${location.pathname}?${query}`;
}

/** Goes to a place. `replace` leaves no step for the browser's back button. */
export function go(place: Place, replace = false): void {
  const href = hrefOf(place);
  if (replace) history.replaceState(null, "", href);
  else history.pushState(null, "", href);
  dispatchEvent(new Event(MOVED));
}
