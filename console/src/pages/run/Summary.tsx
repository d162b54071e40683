import { useQuery } from "@tanstack/react-query";
import type { ReactNode } from "react";
import { client } from "../../api/clients";
import { CatalogCacheStatus } from "../../gen/flyteidl2/core/catalog_pb";
import type { ActionAttempt, ActionDetails } from "../../gen/flyteidl2/workflow/run_definition_pb";
import { ExplanationService } from "../../gen/shared/idl/platform/v1/explanation_pb";
import { isTerminal } from "../../model/phases";
import { formatDuration, msOf } from "../../model/time";
import { Copy, Fields, Instant, Phase, To, Took } from "../../parts/basics";
import { type Place, placePath, runPath } from "../../shell/url";

const explanations = client(ExplanationService);

/** Why an action waits, runs or ended; read again every two seconds until it has ended. */
export function useExplanation(place: Place, run: string, action: string, isOver: boolean) {
  return useQuery({
    queryKey: ["explanation", place, run, action, isOver],
    refetchInterval: isOver ? false : 2000,
    queryFn: async ({ signal }) =>
      (await explanations.explainAction({ ...place, run, action }, { signal })).explanation,
  });
}

/** The state of an action, in the order of questions: what, why, for how long, where, with what. */
export function Summary(props: {
  place: Place;
  run: string;
  details: ActionDetails;
  chooseAttempt: (attempt: number) => void;
}) {
  const { details, place, run } = props;
  const name = details.id?.name ?? "";
  const phase = details.status?.phase ?? 0;
  const isOver = isTerminal(phase);
  const explanation = useExplanation(place, run, name, isOver);
  const task = details.spec.case === "task" ? details.spec.value.taskTemplate : undefined;
  const last = details.attempts.at(-1);
  const container = task?.target.case === "container" ? task.target.value : undefined;
  const id = details.metadata?.spec.case === "task" ? details.metadata.spec.value.id : undefined;
  const recovered = details.metadata?.recoveredFrom;
  return (
    <div className="stack">
      <div>
        <p className="headline">
          <Phase phase={phase} />
          <span className="quiet">
            <Took from={msOf(details.status?.startTime)} until={msOf(details.status?.endTime)} />
          </span>
        </p>
        {explanation.data && !isOver && <p>{explanation.data.message}</p>}
        {explanation.data?.reason && !isOver && (
          <p className="hint">reason {explanation.data.reason}</p>
        )}
      </div>
      {details.result.case === "errorInfo" && (
        <ErrorBox code={details.result.value.code} message={details.result.value.message} />
      )}
      {details.result.case === "abortInfo" && (
        <p className="warn-box">
          Stopped by{" "}
          {details.result.value.abortedBy?.principal.case === "user"
            ? details.result.value.abortedBy.principal.value.id?.subject
            : "a program"}
          {details.result.value.reason && `: ${details.result.value.reason}`}
        </p>
      )}
      {details.attempts.length > 0 && (
        <section aria-label="Attempts">
          <h3>Attempts</h3>
          <table className="plain">
            <thead>
              <tr>
                <th scope="col">#</th>
                <th scope="col">State</th>
                <th scope="col">Cluster</th>
                <th scope="col">Took</th>
                <th scope="col">Error</th>
              </tr>
            </thead>
            <tbody>
              {details.attempts.map((attempt) => (
                <AttemptRow key={attempt.attempt} attempt={attempt} choose={props.chooseAttempt} />
              ))}
            </tbody>
          </table>
        </section>
      )}
      <Fields
        rows={[
          [
            "Name",
            <span key="name" className="mono">
              {name} <Copy text={name} />
            </span>,
          ],
          [
            "Task",
            id && <To to={placePath(place, `tasks/${encodeURIComponent(id.name)}`)}>{id.name}</To>,
          ],
          ["Version", id?.version && <span className="mono">{id.version}</span>],
          ["Created", <Instant key="created" at={msOf(details.status?.startTime)} />],
          ["Ended", details.status?.endTime && <Instant at={msOf(details.status.endTime)} />],
          ["Cluster", last?.cluster],
          ["Pod", last?.logContext?.primaryPodName],
          ["Cache", cacheWords(last?.cacheStatus)],
          [
            "Parent",
            details.metadata?.parent && details.metadata.parent !== name && details.metadata.parent,
          ],
          ["Group", details.metadata?.group],
          ["Environment", details.metadata?.environmentName],
          ["Image", container?.image && <span className="mono">{container.image}</span>],
          ["Requests", resources(container?.resources?.requests)],
          ["Limits", resources(container?.resources?.limits)],
          [
            "Recovered from",
            recovered?.run && (
              <To to={runPath(place, recovered.run.name, `?i=${recovered.name}`)}>
                {recovered.run.name}
              </To>
            ),
          ],
          ["Links", links(last)],
        ]}
      />
    </div>
  );
}

/** An error, its code first; long messages fold. */
export function ErrorBox({ code, message }: { code: string; message: string }) {
  const [first = "", ...rest] = message.trim().split("\n");
  return (
    <div className="error-box">
      <p>
        <strong>{code || "Error"}</strong> {rest.length === 0 && first}
      </p>
      {rest.length > 0 && <pre className="trace">{message.trim()}</pre>}
      <p className="actions">
        <Copy text={`${code}: ${message}`} label="Copy the error" />
      </p>
    </div>
  );
}

function AttemptRow({
  attempt,
  choose,
}: {
  attempt: ActionAttempt;
  choose: (attempt: number) => void;
}) {
  return (
    <tr>
      <td>
        <button
          type="button"
          className="small"
          onClick={() => choose(attempt.attempt)}
          aria-label={`Logs of attempt ${attempt.attempt}`}
        >
          {attempt.attempt}
        </button>
      </td>
      <td>
        <Phase phase={attempt.phase} />
      </td>
      <td>{attempt.cluster}</td>
      <td>
        <Took from={msOf(attempt.startTime)} until={msOf(attempt.endTime)} />
      </td>
      <td className="wrap">{attempt.errorInfo?.code}</td>
    </tr>
  );
}

function cacheWords(status: CatalogCacheStatus | undefined): string | undefined {
  if (status === undefined || status === CatalogCacheStatus.CACHE_DISABLED) return undefined;
  return CatalogCacheStatus[status].replace("CACHE_", "").toLowerCase().replaceAll("_", " ");
}

const RESOURCES = ["", "CPU", "GPU", "memory", "storage", "ephemeral storage"];

function resources(entries: { name: number; value: string }[] | undefined): string | undefined {
  const words = entries?.map(({ name, value }) => `${RESOURCES[name] ?? name} ${value}`);
  return words && words.length > 0 ? words.join(", ") : undefined;
}

function links(attempt: ActionAttempt | undefined): ReactNode {
  const shown = (attempt?.logInfo ?? []).filter(({ uri }) => /^https?:\/\//.test(uri));
  if (shown.length === 0) return undefined;
  return (
    <ul>
      {shown.map(({ uri, name }) => (
        <li key={uri}>
          <a href={uri} target="_blank" rel="noreferrer">
            {name || uri}
          </a>
        </li>
      ))}
    </ul>
  );
}

/** The life of an action, each second with its reason, longest in view. */
export function Why(props: { place: Place; run: string; action: string; isOver: boolean }) {
  const query = useExplanation(props.place, props.run, props.action, props.isOver);
  const explanation = query.data;
  if (explanation === undefined) return null;
  const intervals = explanation.timeline.map((each) => ({
    ...each,
    from: msOf(each.startedAt) ?? 0,
    took: (msOf(each.endedAt) ?? 0) - (msOf(each.startedAt) ?? 0),
  }));
  const whole = Math.max(
    1,
    intervals.reduce((sum, { took }) => sum + took, 0),
  );
  return (
    <div className="stack">
      {!props.isOver && (
        <p className="note-box">
          {explanation.message} <span className="quiet">({explanation.reason})</span>
        </p>
      )}
      <table className="plain why">
        <caption className="sr">Reasons, from the enqueue until now</caption>
        <thead>
          <tr>
            <th scope="col">From</th>
            <th scope="col">For</th>
            <th scope="col">Share</th>
            <th scope="col">Why</th>
          </tr>
        </thead>
        <tbody>
          {intervals.map((each) => (
            <tr key={`${each.reason}${each.from}`}>
              <td className="num">+{formatDuration(each.from - (intervals[0]?.from ?? 0))}</td>
              <td className="num">{formatDuration(each.took)}</td>
              <td>
                <span className="share">
                  <span
                    className={`reason-${each.reason}`}
                    style={{ width: `${(each.took / whole) * 100}%` }}
                  />
                </span>
                <span className="num quiet">{Math.round((each.took / whole) * 100)} %</span>
              </td>
              <td className="wrap">
                {each.message} <span className="quiet">{each.reason}</span>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
