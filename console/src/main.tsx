import { QueryClientProvider } from "@tanstack/react-query";
import { createRoot } from "react-dom/client";
import { queries } from "./api.js";
import { App } from "./app.js";
import { Gate } from "./gate.js";
import { applyTheme } from "./settings.js";
import { configuration, finish, isSignedIn, SignInError } from "./signin.js";
import { ToastProvider } from "./toasts.js";
import "./styles.css";

applyTheme();
const root = document.getElementById("root");
let failure: string | undefined;
try {
  if (configuration !== undefined) await finish(configuration);
} catch (error) {
  failure = error instanceof SignInError ? error.message : "The sign-in failed.";
}
if (root !== null)
  createRoot(root).render(
    configuration !== undefined && !isSignedIn() ? (
      <Gate config={configuration} failure={failure} />
    ) : (
      <QueryClientProvider client={queries}>
        <ToastProvider>
          <App />
        </ToastProvider>
      </QueryClientProvider>
    ),
  );
