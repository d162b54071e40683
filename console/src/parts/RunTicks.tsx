import type { Run } from "../gen/flyteidl2/workflow/run_definition_pb";
import { isFailure, lookOf } from "../model/phases";
import { formatDuration, msOf } from "../model/time";
import { To } from "./basics";

/** The length of a run in milliseconds; undefined while it runs. */
export function lengthOf(run: Run): number | undefined {
  const { status } = run.action ?? {};
  if (status?.durationMs !== undefined) return Number(status.durationMs);
  const [from, until] = [msOf(status?.startTime), msOf(status?.endTime)];
  return from === undefined || until === undefined ? undefined : until - from;
}

/** The last runs of a task as bars, newest at the right: height is their length, colour their end. */
export function RunTicks({
  runs,
  pathOf,
}: {
  runs: readonly Run[];
  pathOf: (run: string) => string;
}) {
  const shown = [...runs].slice(0, 40).reverse();
  const lengths = shown.map((run) => lengthOf(run) ?? 0);
  const longest = Math.max(1, ...lengths);
  const failed = shown.filter((run) => isFailure(run.action?.status?.phase ?? 0)).length;
  const sorted = lengths.filter((each) => each > 0).sort((a, b) => a - b);
  const at = (share: number) =>
    formatDuration(sorted[Math.floor((sorted.length - 1) * share)] ?? 0);
  if (shown.length === 0) return <p className="quiet">It has never run.</p>;
  return (
    <figure className="ticks">
      <div className="ticks-bars">
        {shown.map((run, index) => {
          const name = run.action?.id?.run?.name ?? "";
          const look = lookOf(run.action?.status?.phase ?? 0);
          const length = lengths[index] ?? 0;
          return (
            <span
              key={name}
              className="tick"
              title={`${name}: ${look.word}, ${formatDuration(length)}`}
            >
              <To to={pathOf(name)}>
                <span className="sr">
                  {name}: {look.word}
                </span>
                <span
                  className={`bar-${look.name}`}
                  style={{ height: `${Math.max(6, (length / longest) * 100)}%` }}
                />
              </To>
            </span>
          );
        })}
      </div>
      <figcaption className="quiet">
        The last {shown.length} runs: {failed === 0 ? "none failed" : `${failed} failed`}; half took
        at most {at(0.5)}, 95 % at most {at(0.95)}.
      </figcaption>
    </figure>
  );
}
