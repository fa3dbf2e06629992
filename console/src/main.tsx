import { QueryClientProvider } from "@tanstack/react-query";
import { createRoot } from "react-dom/client";
import { queries } from "./api.js";
import { App } from "./app.js";
import { applyTheme } from "./settings.js";
import { ToastProvider } from "./toasts.js";
import "./styles.css";

applyTheme();
const root = document.getElementById("root");
if (root !== null)
  createRoot(root).render(
    <QueryClientProvider client={queries}>
      <ToastProvider>
        <App />
      </ToastProvider>
    </QueryClientProvider>,
  );
