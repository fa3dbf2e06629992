/** The whole page: who, which conversation, and what a model would be sent of it. */
import { useEffect, useState, type SyntheticEvent } from "react";
import { ConversationView } from "./conversation.js";
import { Dialog, Problem } from "./dialogs.js";
import { follow, go, hrefOf, togglePanel, usePanel, usePlace } from "./place.js";
import { recentUsers, rememberUser, setTheme, theme, type Theme } from "./settings.js";
import { SignOutButton } from "./gate.js";
import { Sidebar } from "./sidebar.js";
import { configuration } from "./signin.js";
import { useConversation } from "./api.js";
import { visible } from "./text.js";

const KEYS = [
  ["/", "Search"],
  ["j, k", "Next and previous message"],
  ["n, p", "Next and previous conversation"],
  ["c", "Show or hide what the model sees"],
  ["e", "Edit the message that has the focus"],
  ["?", "This list"],
] as const;

const THEMES: Record<Theme, string> = { system: "System", light: "Light", dark: "Dark" };

export function App() {
  const place = usePlace();
  const [help, setHelp] = useState(false);
  const panel = usePanel() !== undefined;

  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open], [role=menu]")) return;
      if (/^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName) || target.role === "slider") return;
      if (event.key === "/") document.getElementById("search")?.focus();
      else if (event.key === "?") setHelp(true);
      else if (event.key === "c") togglePanel();
      else if (event.key === "n" || event.key === "p") step(event.key === "n" ? 1 : -1);
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);

  return (
    <div className={panel && place.conversation !== undefined ? "page with-panel" : "page"}>
      <header className="bar">
        <a className="brand" href={hrefOf({})} onClick={(event) => follow(event, {})}>
          <img src={`${import.meta.env.BASE_URL}icon.svg`} alt="" width="22" height="22" />
          <span>Scrollback</span>
        </a>
        <UserForm key={place.user} user={place.user} />
        <span className="space" />
        <ThemeSwitch />
        {configuration !== undefined && <SignOutButton config={configuration} />}
        <button type="button" className="quiet" aria-label="Keyboard shortcuts" onClick={() => setHelp(true)}>
          ?
        </button>
      </header>
      {place.user === undefined && place.conversation === undefined ? (
        <Welcome />
      ) : (
        <>
          {place.user !== undefined && <Sidebar key={place.user} user={place.user} conversation={place.conversation} />}
          {place.conversation === undefined ? (
            <main className="empty">
              <p>Choose a conversation.</p>
            </main>
          ) : (
            <Opened key={place.conversation} id={place.conversation} />
          )}
        </>
      )}
      {help && (
        <Dialog title="Keyboard" onClose={() => setHelp(false)}>
          <dl className="keys">
            {KEYS.map(([key, what]) => (
              <div key={key}>
                <dt>
                  <kbd>{key}</kbd>
                </dt>
                <dd>{what}</dd>
              </div>
            ))}
          </dl>
        </Dialog>
      )}
    </div>
  );
}

function step(by: number): void {
  const links = [...document.querySelectorAll<HTMLAnchorElement>(".conversations a")];
  const at = links.findIndex((link) => link.getAttribute("aria-current") === "page");
  const next = links[at + by];
  next?.click();
  next?.focus();
}

/** A link may name the conversation alone. */
function Opened({ id }: { id: string }) {
  const place = usePlace();
  const { data, error } = useConversation(id);
  const owner = data?.user_id;
  useEffect(() => {
    if (owner === undefined) return;
    rememberUser(owner);
    if (place.user !== owner) go({ ...place, user: owner }, true);
  }, [owner, place]);
  if (data === undefined)
    return <main className="empty">{error === null ? <p>Loading …</p> : <Problem error={error} />}</main>;
  return <ConversationView conversation={data} />;
}

function UserForm({ user }: { user: string | undefined }) {
  const [value, setValue] = useState(user ?? "");
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    if (value !== "" && value !== user) go({ user: value });
  };
  return (
    <form className="who-form" onSubmit={submit}>
      <label htmlFor="user">User</label>
      <input
        id="user"
        value={value}
        placeholder="user id"
        list="users"
        autoComplete="off"
        spellCheck={false}
        onChange={(event) => setValue(event.target.value)}
      />
      <datalist id="users">
        {recentUsers().map((known) => (
          <option key={known} value={known} />
        ))}
      </datalist>
      {value !== "" && value !== user && <button type="submit">Open</button>}
    </form>
  );
}

function Welcome() {
  const users = recentUsers();
  return (
    <main className="empty">
      <h1>Whose conversations?</h1>
      <p>
        Enter a user id above. It is the <code>user_id</code> that your application stores with a conversation.
      </p>
      {users.length > 0 && (
        <ul className="recent" aria-label="Recent users">
          {users.map((user) => (
            <li key={user}>
              <a href={hrefOf({ user })} onClick={(event) => follow(event, { user })}>
                {visible(user)}
              </a>
            </li>
          ))}
        </ul>
      )}
      {configuration === undefined && <FirstSteps />}
    </main>
  );
}

function FirstSteps() {
  return (
    <p className="dim">
      Nobody there yet? With <code>cargo dev</code> running, paste the three requests that it prints, and open{" "}
      <code>grace</code>.
    </p>
  );
}

function ThemeSwitch() {
  const [value, setValue] = useState(theme());
  return (
    <label className="theme">
      <span className="hidden">Theme</span>
      <select
        value={value}
        onChange={(event) => {
          setTheme(event.target.value as Theme);
          setValue(event.target.value as Theme);
        }}
      >
        {Object.entries(THEMES).map(([name, label]) => (
          <option key={name} value={name}>
            {label}
          </option>
        ))}
      </select>
    </label>
  );
}
