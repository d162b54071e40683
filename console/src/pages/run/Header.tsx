import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import type { ReactNode } from "react";
import { runs } from "../../api/clients";
import type { TreeRow } from "../../gen/shared/idl/platform/v1/run_tree_pb";
import { isTerminal } from "../../model/phases";
import { phaseOfWord } from "../../model/run";
import { formatDuration, msOf } from "../../model/time";
import type { Known } from "../../model/tree";
import { Ago, Copy, Phase, Tag, To, useNow } from "../../parts/basics";
import { useMay } from "../../shell/session";
import { type Place, placePath } from "../../shell/url";
import { actionId } from "./ids";

/** What state, why, for how long, and what to do. */
export function RunHeader(props: {
  place: Place;
  run: string;
  known: Known;
  state: ReactNode;
  onAbort: () => void;
  onRetention: () => void;
}) {
  const { place, run, known } = props;
  const root = known.root!;
  const phase = phaseOfWord(root.phase);
  const enqueued = msOf(root.enqueuedAt) ?? 0;
  const now = useNow(!isTerminal(phase));
  const started = msOf(root.startedAt);
  const ended = msOf(root.endedAt) ?? now;
  const navigate = useNavigate();
  const may = useMay();
  const details = useQuery({
    queryKey: ["run", place, run, root.phase],
    placeholderData: keepPreviousData,
    queryFn: async ({ signal }) =>
      (await runs.getRunDetails({ runId: actionId(place, run, "").run }, { signal })).details ??
      null,
  });
  const task = details.data?.action?.metadata?.spec;
  const taskId = task?.case === "task" ? task.value.id : undefined;
  const by = details.data?.action?.metadata?.executedBy?.principal;
  const labels = Object.entries(details.data?.runSpec?.labels?.values ?? {});
  return (
    <header className="run-head">
      <nav className="crumbs" aria-label="Breadcrumbs">
        <To to={placePath(place)}>
          {place.project} / {place.domain}
        </To>
        <span aria-hidden="true">▸</span>
        <To to={placePath(place)}>runs</To>
        <span aria-hidden="true">▸</span>
        <span className="mono">{run}</span>
        <Copy text={run} />
        {props.state}
      </nav>
      <div className="run-title">
        <h1>
          <Phase phase={phase} /> <span className="run-task">{root.title}</span>
        </h1>
        <p className="run-facts">
          <span className="num">{formatDuration(ended - enqueued)}</span>
          {started !== undefined && (
            <span className="quiet num">
              = {formatDuration(started - enqueued)} waited + {formatDuration(ended - started)} ran
            </span>
          )}
          <span className="quiet">
            started <Ago at={enqueued} />
          </span>
          {by?.case === "user" && (
            <span className="quiet">by {by.value.spec?.email || by.value.id?.subject}</span>
          )}
          {by?.case === "application" && (
            <span className="quiet">by {by.value.spec?.name || by.value.id?.subject}</span>
          )}
          {labels.slice(0, 6).map(([key, value]) => (
            <Tag key={key}>
              {key}={value}
            </Tag>
          ))}
          {labels.length > 6 && <span className="quiet">+{labels.length - 6} labels</span>}
        </p>
        <div className="actions">
          {taskId !== undefined && may("run:create") && (
            <button
              type="button"
              onClick={() =>
                void navigate({ to: placePath(place, "launch"), search: { run } as never })
              }
            >
              Rerun
            </button>
          )}
          <button
            type="button"
            onClick={() =>
              void navigate({ to: placePath(place, "compare"), search: { a: run } as never })
            }
          >
            Compare
          </button>
          {isTerminal(phase) && (
            <button type="button" onClick={props.onRetention}>
              Retention
            </button>
          )}
          {!isTerminal(phase) && may("run:abort") && (
            <button type="button" className="danger" onClick={props.onAbort}>
              Abort
            </button>
          )}
        </div>
      </div>
      {!isTerminal(phase) && root.message !== "" && <p className="run-why">{root.message}</p>}
    </header>
  );
}

/** The failure that the others follow from, in one line. */
export function FailureLine(props: {
  failures: readonly TreeRow[];
  total: number;
  onShow: (name: string) => void;
  onAll: () => void;
}) {
  const [first] = props.failures;
  if (first === undefined) return null;
  const kinds = new Set(props.failures.map((row) => row.errorCode)).size;
  return (
    <div className="run-error" role="status">
      <span className="phase-failed" aria-hidden="true">
        ✕
      </span>
      <p>
        <strong>{first.errorCode || "Failed"}</strong> in {first.title}
        {first.attempts > 1 && ` (after ${first.attempts} attempts)`}
        {first.latestAttempts.at(-1)?.cluster && ` on ${first.latestAttempts.at(-1)?.cluster}`}:{" "}
        {first.error}
      </p>
      <button type="button" className="small" onClick={() => props.onShow(first.name)}>
        Show
      </button>
      {props.total > 0 && (
        <button type="button" className="small" onClick={props.onAll}>
          {props.total} failed, {kinds} {kinds === 1 ? "kind" : "kinds"}
        </button>
      )}
    </div>
  );
}
