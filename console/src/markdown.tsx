/** Text as people read it. No HTML in it is ever HTML, and nothing that it names is fetched. */
import { memo, useState, type ReactNode } from "react";
import Markdown, { type Components } from "react-markdown";
import remarkGfm from "remark-gfm";
import { copy, useToast } from "./toasts.js";
import { count, visible } from "./text.js";

/** A longer text is shown as it is, a piece at a time: a browser takes seconds to lay out a megabyte. */
const LONG = 20_000;

/** A link that a reader may follow, or only its text. */
export function Reference({ href, children }: { href: string | undefined; children: ReactNode }) {
  if (href === undefined || !/^(https?|mailto):/i.test(href)) return <>{children}</>;
  return (
    <a href={href} target="_blank" rel="noreferrer noopener nofollow" title={visible(href)}>
      {children}
    </a>
  );
}

export function CopyButton({ text, label = "Copy" }: { text: string; label?: string }) {
  const toast = useToast();
  return (
    <button type="button" className="quiet small" onClick={() => void copy(text, toast)}>
      {label}
    </button>
  );
}

const COMPONENTS: Components = {
  a: ({ href, children }) => <Reference href={href}>{children}</Reference>,
  // By reference: a picture could tell its server who reads it.
  img: ({ src, alt }) => {
    const href = typeof src === "string" ? src : undefined;
    const name = alt !== undefined && alt !== "" ? alt : href;
    return (
      <Reference href={href}>
        <span className="chip">image: {name ?? "without an address"}</span>
      </Reference>
    );
  },
  pre: ({ children, node }) => {
    const code = node?.children[0];
    const first = code?.type === "element" ? code.children[0] : undefined;
    return (
      <div className="code">
        <CopyButton text={first?.type === "text" ? first.value : ""} />
        <pre tabIndex={0}>{children}</pre>
      </div>
    );
  },
  // A task of a list.
  input: ({ checked }) => <span>{checked === true ? "☑" : "☐"} </span>,
  table: ({ children }) => (
    <div className="table" tabIndex={0} role="group" aria-label="Table">
      <table>{children}</table>
    </div>
  ),
};

/** Text without Markdown. A long one is shown piece by piece. */
export function Plain({ text, label }: { text: string; label?: string }) {
  const [shown, setShown] = useState(LONG);
  return (
    <div className="plain">
      <pre tabIndex={0} aria-label={label} dir="auto">
        {visible(text.slice(0, shown))}
      </pre>
      {text.length > shown && (
        <p className="more">
          <button type="button" className="small" onClick={() => setShown(shown + 5 * LONG)}>
            Show more
          </button>{" "}
          {count(shown)} of {count(text.length)} characters
        </p>
      )}
    </div>
  );
}

export const Prose = memo(function Prose({ text }: { text: string }) {
  if (text.length > LONG) return <Plain text={text} label="Long text" />;
  return (
    <div className="prose" dir="auto">
      <Markdown remarkPlugins={[remarkGfm]} components={COMPONENTS}>
        {visible(text)}
      </Markdown>
    </div>
  );
});
