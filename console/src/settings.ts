/** What a browser remembers. A browser that remembers nothing works, too. */
function read(storage: () => Storage, name: string): string | undefined {
  try {
    return storage().getItem(`scrollback.${name}`) ?? undefined;
  } catch {
    return undefined;
  }
}

function write(storage: () => Storage, name: string, value: string): void {
  try {
    storage().setItem(`scrollback.${name}`, value);
  } catch {
    // Then it is forgotten.
  }
}

const local = () => localStorage;
const session = () => sessionStorage;

/** The user ids that were looked at last, the newest first. */
export function recentUsers(): string[] {
  try {
    const users: unknown = JSON.parse(read(local, "users") ?? "[]");
    return Array.isArray(users) ? users.filter((user) => typeof user === "string") : [];
  } catch {
    return [];
  }
}

export function rememberUser(user: string): void {
  write(local, "users", JSON.stringify([user, ...recentUsers().filter((other) => other !== user)].slice(0, 8)));
}

export function forgetUser(user: string): void {
  write(local, "users", JSON.stringify(recentUsers().filter((other) => other !== user)));
}

export type Theme = "system" | "light" | "dark";

export function theme(): Theme {
  const value = read(local, "theme");
  return value === "light" || value === "dark" ? value : "system";
}

export function setTheme(value: Theme): void {
  write(local, "theme", value);
  applyTheme();
}

export function applyTheme(): void {
  const value = theme();
  if (value === "system") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = value;
}

/** The bearer token, for an API that wants one. It is gone with the tab. */
export const token = (): string | undefined => read(session, "token");
export const setToken = (value: string): void => write(session, "token", value);
