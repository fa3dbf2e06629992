/** Dialogs, and what has gone wrong. The browser's own element keeps the focus inside and closes with Escape. */
import { isProblem } from "@scrollback/client";
import { useEffect, useRef, useState, type ReactNode, type SyntheticEvent } from "react";
import { reason } from "./api.js";
import { SignInButton } from "./gate.js";
import { CopyButton, Plain } from "./markdown.js";
import { setToken } from "./settings.js";
import { configuration } from "./signin.js";

export function Dialog({
  title,
  onClose,
  children,
  wide = false,
}: {
  title: string;
  onClose: () => void;
  children: ReactNode;
  wide?: boolean;
}) {
  const element = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = element.current;
    dialog?.showModal();
    return () => dialog?.close();
  }, []);
  return (
    <dialog
      ref={element}
      className={wide ? "wide" : ""}
      aria-labelledby="dialog-title"
      onCancel={onClose}
      onClose={onClose}
    >
      <header>
        <h2 id="dialog-title">{title}</h2>
        <button type="button" className="quiet" aria-label="Close" onClick={onClose}>
          ✕
        </button>
      </header>
      {children}
    </dialog>
  );
}

/** Does what a dialog is for, and closes the dialog. If that fails, the dialog stays, and `failure` says why. */
function useAttempt(action: () => Promise<void>, onDone: () => void) {
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<string>();
  const run = async () => {
    setBusy(true);
    try {
      await action();
      onDone();
    } catch (error) {
      setFailure(reason(error));
      setBusy(false);
    }
  };
  return { busy, failure, attempt: () => void run() };
}

/** The end of a dialog: what failed, a button that cancels, and the button that does it. */
function Choice({
  failure,
  onCancel,
  children,
}: {
  failure: string | undefined;
  onCancel: () => void;
  children: ReactNode;
}) {
  return (
    <>
      {failure !== undefined && (
        <p className="problem" role="alert">
          {failure}
        </p>
      )}
      <footer>
        <button type="button" onClick={onCancel}>
          Cancel
        </button>
        {children}
      </footer>
    </>
  );
}

/** Asks before something that cannot be taken back. `action` is a verb with its counts. */
export function Confirm({
  title,
  action,
  onConfirm,
  onClose,
  children,
}: {
  title: string;
  /** Undefined while it is still being counted. */
  action: string | undefined;
  onConfirm: () => Promise<void>;
  onClose: () => void;
  children: ReactNode;
}) {
  const { busy, failure, attempt } = useAttempt(onConfirm, onClose);
  return (
    <Dialog title={title} onClose={onClose}>
      {children}
      <Choice failure={failure} onCancel={onClose}>
        <button type="button" className="danger" disabled={busy || action === undefined} onClick={attempt}>
          {action ?? "Counting …"}
        </button>
      </Choice>
    </Dialog>
  );
}

export function RawDialog({
  title,
  value,
  command,
  onClose,
}: {
  title: string;
  value: unknown;
  command: string;
  onClose: () => void;
}) {
  const json = JSON.stringify(value, null, 2);
  return (
    <Dialog title={title} onClose={onClose} wide>
      <Plain text={json} label="JSON" />
      <footer>
        <CopyButton text={command} label="Copy as curl" />
        <CopyButton text={json} label="Copy JSON" />
      </footer>
    </Dialog>
  );
}

export function EditDialog({
  content,
  onSave,
  onClose,
}: {
  content: unknown;
  /** `keep`: the edited message becomes another version, beside the old one. */
  onSave: (content: unknown, keep: boolean) => Promise<void>;
  onClose: () => void;
}) {
  const isText = typeof content === "string";
  const [text, setText] = useState(isText ? content : JSON.stringify(content, null, 2));
  const [keep, setKeep] = useState(true);
  const save = async () => onSave(isText ? text : (JSON.parse(text) as unknown), keep);
  const { busy, failure, attempt } = useAttempt(save, onClose);
  return (
    <Dialog title="Edit the message" onClose={onClose} wide>
      <label className="field">
        {isText ? "Content" : "Content, as JSON"}
        <textarea
          value={text}
          rows={14}
          dir="auto"
          spellCheck={isText}
          onChange={(event) => setText(event.target.value)}
          onKeyDown={(event) => {
            if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) attempt();
          }}
        />
      </label>
      <label className="check">
        <input type="checkbox" checked={keep} onChange={(event) => setKeep(event.target.checked)} />
        Keep the old version, with what followed it
      </label>
      <Choice failure={failure} onCancel={onClose}>
        <button type="button" className="primary" disabled={busy} onClick={attempt}>
          Save
        </button>
      </Choice>
    </Dialog>
  );
}

export function Problem({ error }: { error: unknown }) {
  const [value, setValue] = useState("");
  const wantsToken = isProblem(error, "unauthenticated") || isProblem(error, "forbidden");
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    setToken(value.trim());
    location.reload();
  };
  return (
    <div className="problem" role="alert">
      <p>
        {isProblem(error) ? reason(error) : "Something went wrong."}
        {isProblem(error, "no_response") && configuration === undefined && " Is cargo dev running?"}
      </p>
      {configuration !== undefined && isProblem(error, "unauthenticated") && <SignInButton config={configuration} />}
      {configuration === undefined && wantsToken && (
        <form onSubmit={submit}>
          <label className="field">
            A token for this API. On this machine, <code>cargo xtask token USER_ID</code> prints one.
            <input
              value={value}
              type="password"
              autoComplete="off"
              onChange={(event) => setValue(event.target.value)}
            />
          </label>
          <button type="submit">Use it</button>
        </form>
      )}
    </div>
  );
}
