/** All versions of a conversation, as an outline. Each entry leads to its line. */
import { useOutline } from "./api.js";
import { Dialog, Problem } from "./dialogs.js";
import { ROLES } from "./message.js";
import type { Run } from "./outline.js";
import { count, visible } from "./text.js";

export function VersionsDialog({
  id,
  onSelect,
  onClose,
}: {
  id: string;
  onSelect: (run: Run) => void;
  onClose: () => void;
}) {
  const { data, error } = useOutline(id);
  return (
    <Dialog title="Versions" onClose={onClose} wide>
      <p className="dim">The current line is marked. Choose another version to see its line.</p>
      {error !== null && <Problem error={error} />}
      <div className="outline">
        {data === undefined ? error === null && <p>Loading …</p> : <Runs runs={data} onSelect={onSelect} />}
      </div>
    </Dialog>
  );
}

function Runs({ runs, onSelect }: { runs: Run[]; onSelect: (run: Run) => void }) {
  return (
    <ul>
      {runs.map((run) => (
        <li key={run.first.id}>
          <button type="button" aria-current={run.onLine ? "true" : undefined} onClick={() => onSelect(run)}>
            <span className="title" dir="auto">
              <strong>{ROLES[run.first.role]}</strong> {words(run)}
            </span>
            <span className="facts">
              #{run.first.position}
              {run.count > 1 && ` and ${count(run.count - 1)} more`}
            </span>
          </button>
          {run.below.length > 0 && <Runs runs={run.below} onSelect={onSelect} />}
        </li>
      ))}
    </ul>
  );
}

/** How a run begins, in a line. */
function words({ first: { content, tool_calls } }: Run): string {
  const texts = typeof content === "string" ? [content] : (content ?? []).map((part) => part["text"]);
  const text = texts.filter((part) => typeof part === "string").join(" ");
  return visible((text || JSON.stringify(tool_calls ?? content)).slice(0, 120));
}
