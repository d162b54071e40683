import { type Run, RunSource } from "../../gen/flyteidl2/workflow/run_definition_pb";
import { nameOfIdentity } from "../../model/people";
import { isTerminal } from "../../model/phases";
import { formatDuration, msOf } from "../../model/time";
import { Tag, To, Took } from "../../parts/basics";
import { type Place, placePath } from "../../shell/url";

export function nameOf(run: Run): string {
  return run.action?.id?.run?.name ?? "";
}

export function TaskName({ run, place }: { run: Run; place: Place }) {
  const spec = run.action?.metadata?.spec;
  if (spec?.case !== "task") return null;
  const name = spec.value.id?.name ?? "";
  return <To to={placePath(place, `tasks/${encodeURIComponent(name)}`)}>{name}</To>;
}

export function RunTook({ run }: { run: Run }) {
  const status = run.action?.status;
  if (status === undefined) return null;
  if (status.durationMs !== undefined && isTerminal(status.phase)) {
    return <span className="num">{formatDuration(Number(status.durationMs))}</span>;
  }
  return <Took from={msOf(status.startTime)} until={msOf(status.endTime)} />;
}

export function byOf(run: Run): string {
  return nameOfIdentity(run.action?.metadata?.executedBy);
}

const SOURCES: Partial<Record<RunSource, string>> = {
  [RunSource.WEB]: "console",
  [RunSource.CLI]: "cli",
  [RunSource.SCHEDULE_TRIGGER]: "schedule",
  [RunSource.ARTIFACT_TRIGGER]: "artifact",
  [RunSource.TRACKED]: "tracked",
};

export function sourceOf(run: Run) {
  const { metadata } = run.action ?? {};
  const words = SOURCES[metadata?.source ?? RunSource.UNSPECIFIED] ?? "";
  return metadata?.triggerName ? `${words} ${metadata.triggerName}` : words;
}

export function Labels({ run, choose }: { run: Run; choose: (label: string) => void }) {
  const entries = Object.entries(run.labels);
  return (
    <span className="tags">
      {entries.slice(0, 3).map(([key, value]) => (
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
      {entries.length > 3 && (
        <span
          className="quiet"
          title={entries
            .map(([key, value]) => `${key}=${value}`)
            .slice(3, 60)
            .join("\n")}
        >
          +{entries.length - 3}
        </span>
      )}
    </span>
  );
}
