/** What stands before the page until somebody has signed in. */
import { useState } from "react";
import { signIn, SignInError, signOut, type Configuration } from "./signin.js";

export function Gate({ config, failure }: { config: Configuration; failure?: string | undefined }) {
  return (
    <div className="page">
      <main className="empty">
        <h1>Scrollback</h1>
        <SignInButton config={config} failure={failure} />
      </main>
    </div>
  );
}

export function SignInButton({ config, failure }: { config: Configuration; failure?: string | undefined }) {
  const [reason, setReason] = useState(failure);
  const [busy, setBusy] = useState(false);
  const start = () => {
    setBusy(true);
    signIn(config).catch((error: unknown) => {
      setReason(error instanceof SignInError ? error.message : "The sign-in could not be started.");
      setBusy(false);
    });
  };
  return (
    <>
      {reason !== undefined && (
        <p className="problem" role="alert">
          {reason}
        </p>
      )}
      <button type="button" className="primary" disabled={busy} onClick={start}>
        Sign in
      </button>
    </>
  );
}

export function SignOutButton({ config }: { config: Configuration }) {
  return (
    <button type="button" className="quiet" onClick={() => void signOut(config)}>
      Sign out
    </button>
  );
}
