import type { RunRow } from "../../gen/shared/idl/platform/v1/run_pb";
import { phaseOfWord, sortCounts } from "../../model/run";
import { msOf } from "../../model/time";
import { PhaseBar, Tag, To, Took } from "../../parts/basics";
import { type Place, placePath } from "../../shell/url";

/** How many of a run's actions are in which phase. */
export function Actions({ run }: { run: RunRow }) {
  const counts = sortCounts(
    run.actions.map(({ phase, count }) => [phaseOfWord(phase), Number(count)]),
  );
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  return (
    <span className="actions-cell">
      <PhaseBar counts={counts} />
      <span className="quiet num">
        {total.toLocaleString("en")}
        {run.partial && "+"}
      </span>
    </span>
  );
}

/** The first error of a run in one line, or who stopped it. */
export function Problem({ run }: { run: RunRow }) {
  const error = run.firstError;
  if (error !== undefined) {
    return (
      <span className="error-line" title={error.message}>
        <strong>{error.code}</strong> {error.message}
      </span>
    );
  }
  if (run.abortReason === "" && run.abortedBy === "") return null;
  return (
    <span className="quiet">
      stopped by {run.abortedBy}
      {run.abortReason && `: ${run.abortReason}`}
    </span>
  );
}

/** How long a run waited for its start, and then ran. */
export function WaitedRan({ run }: { run: RunRow }) {
  const [created, started, ended] = [msOf(run.createdAt), msOf(run.startedAt), msOf(run.endedAt)];
  return (
    <span className="num">
      <span className="quiet">
        <Took from={created} until={started ?? ended} />
        {started !== undefined && " + "}
      </span>
      {started !== undefined && <Took from={started} until={ended} />}
    </span>
  );
}

export function TaskName({ run, place }: { run: RunRow; place: Place }) {
  return <To to={placePath(place, `tasks/${encodeURIComponent(run.task)}`)}>{run.task}</To>;
}

export function sourceOf(run: RunRow): string {
  const words = run.source === "unspecified" ? "" : run.source.replaceAll("_", " ");
  return run.trigger ? `${words} ${run.trigger}` : words;
}

export function Labels({ run, choose }: { run: RunRow; choose: (label: string) => void }) {
  const entries = Object.entries(run.labels);
  return (
    <span className="tags">
      {entries.slice(0, 2).map(([key, value]) => (
        <button
          key={key}
          type="button"
          className="tag-button"
          onClick={() => choose(`${key}=${value}`)}
        >
          <Tag>
            {key}={value}
          </Tag>
        </button>
      ))}
      {entries.length > 2 && (
        <span
          className="quiet"
          title={entries
            .map(([key, value]) => `${key}=${value}`)
            .slice(2, 60)
            .join("\n")}
        >
          +{entries.length - 2}
        </span>
      )}
    </span>
  );
}
