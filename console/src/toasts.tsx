/** Short reports of what was done, with what takes it back. A screen reader reads them. */
import { createContext, use, useCallback, useRef, useState, type ReactNode } from "react";
import { reason } from "./api.js";

interface Toast {
  id: number;
  text: string;
  bad: boolean;
  undo?: (() => Promise<unknown>) | undefined;
}

type Show = (text: string, more?: { bad?: boolean; undo?: () => Promise<unknown> }) => void;

const Toasts = createContext<Show>(() => undefined);
export const useToast = (): Show => use(Toasts);

export function ToastProvider({ children }: { children: ReactNode }) {
  const [toasts, setToasts] = useState<Toast[]>([]);
  const next = useRef(0);
  const close = useCallback((id: number) => setToasts((all) => all.filter((toast) => toast.id !== id)), []);
  const show = useCallback<Show>(
    (text, { bad = false, undo } = {}) => {
      const id = next.current++;
      setToasts((all) => [...all.slice(-2), { id, text, bad, undo }]);
      // What can be taken back stays until somebody closes it, or until others push it out.
      if (undo === undefined) setTimeout(() => close(id), bad ? 12_000 : 4000);
    },
    [close],
  );
  const takeBack = async ({ id, undo }: Toast) => {
    close(id);
    try {
      await undo?.();
    } catch (error) {
      show(`That could not be taken back. ${reason(error)}`, { bad: true });
    }
  };
  return (
    <Toasts value={show}>
      {children}
      <div className="toasts" role="status" aria-live="polite">
        {toasts.map((toast) => (
          <div key={toast.id} className={toast.bad ? "toast bad" : "toast"}>
            <span>{toast.text}</span>
            {toast.undo && (
              <button type="button" className="small" onClick={() => void takeBack(toast)}>
                Undo
              </button>
            )}
            <button type="button" className="quiet small" aria-label="Close" onClick={() => close(toast.id)}>
              ✕
            </button>
          </div>
        ))}
      </div>
    </Toasts>
  );
}

export async function copy(text: string, toast: Show): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    toast("Copied.");
  } catch {
    toast("The browser does not let this page copy.", { bad: true });
  }
}
