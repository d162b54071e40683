import { toJson } from "@bufbuild/protobuf";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { client, runs } from "../../api/clients";
import { problemOf } from "../../api/errors";
import { ArtifactType, DataProxyService } from "../../gen/flyteidl2/dataproxy/dataproxy_service_pb";
import { TaskSpecSchema } from "../../gen/flyteidl2/task/task_definition_pb";
import type { ActionDetails } from "../../gen/flyteidl2/workflow/run_definition_pb";
import { formatInstant, msOf } from "../../model/time";
import { formatJson, readValue } from "../../model/values";
import { Copy, Phase } from "../../parts/basics";
import { Empty, Loaded } from "../../parts/states";
import { FileActions, JsonTree, NamedValues } from "../../parts/ValueView";
import { usePreferences } from "../../shell/preferences";
import type { Place } from "../../shell/url";
import { Download } from "./Download";
import { actionId } from "./ids";

export const data = client(DataProxyService);

/** Inputs and outputs, by name. */
export function InOut(props: { place: Place; run: string; action: string; phase: number }) {
  const query = useQuery({
    queryKey: ["data", props.place, props.run, props.action, props.phase],
    queryFn: ({ signal }) =>
      data.getActionData({ actionId: actionId(props.place, props.run, props.action) }, { signal }),
  });
  if (query.isError && problemOf(query.error).code === "ResourceExhausted") {
    return <TooLarge {...props} message={problemOf(query.error).message} />;
  }
  return (
    <FileActions value={(uri) => <Download uri={uri} />}>
      <Loaded query={query}>
        {(answer) => (
          <div className="stack">
            <section aria-label="Inputs">
              <h3>Inputs</h3>
              <NamedValues
                values={(answer.inputs?.literals ?? []).map(({ name, value }) => [
                  name,
                  readValue(value),
                ])}
                none="It takes none."
              />
            </section>
            <section aria-label="Outputs">
              <h3>Outputs</h3>
              <NamedValues
                values={(answer.outputs?.literals ?? []).map(({ name, value }) => [
                  name,
                  readValue(value),
                ])}
                none="There are none yet, or it returns none."
              />
            </section>
            {answer.outputsUri && (
              <p className="hint">
                In the bucket: <code className="break">{answer.outputsUri}</code>{" "}
                <Copy text={answer.outputsUri} />
              </p>
            )}
          </div>
        )}
      </Loaded>
    </FileActions>
  );
}

/** Links to values that are too large to be shown, as they lie in the bucket. */
function TooLarge(props: { place: Place; run: string; action: string; message: string }) {
  const uris = useQuery({
    queryKey: ["data uris", props.place, props.run, props.action],
    queryFn: ({ signal }) =>
      runs.getActionDataURIs(
        { actionId: actionId(props.place, props.run, props.action) },
        { signal },
      ),
  });
  return (
    <div className="stack">
      <p className="note-box">{props.message}</p>
      <Loaded query={uris}>
        {(answer) => (
          <p className="actions">
            {answer.inputsUri && <Download uri={answer.inputsUri} label="Download the inputs" />}
            {answer.outputsUri && <Download uri={answer.outputsUri} label="Download the outputs" />}
          </p>
        )}
      </Loaded>
    </div>
  );
}

/**
 * The report of an attempt. It is a stranger's page: it runs in a sandbox of its own origin, without
 * cookies, and cannot reach the console.
 */
export function Report(props: { place: Place; run: string; action: string; attempt: number }) {
  const [isFull, setFull] = useState(false);
  const query = useQuery({
    queryKey: ["report", props],
    staleTime: 5 * 60_000,
    retry: false,
    queryFn: async ({ signal }) => {
      const source = {
        case: "actionAttemptId" as const,
        value: { actionId: actionId(props.place, props.run, props.action), attempt: props.attempt },
      };
      const answer = await data.createDownloadLink(
        { artifactType: ArtifactType.REPORT, source },
        { signal },
      );
      return answer.preSignedUrls?.signedUrl[0] ?? "";
    },
  });
  return (
    <Loaded query={query}>
      {(url) =>
        url === "" ? (
          <Empty title="This attempt wrote no report" />
        ) : (
          <div className={isFull ? "report report-full" : "report"}>
            <p className="actions">
              <button type="button" className="small" onClick={() => setFull(!isFull)}>
                {isFull ? "Smaller" : "Full screen"}
              </button>
              <button type="button" className="small" onClick={() => void query.refetch()}>
                Read again
              </button>
            </p>
            <iframe title="Report" sandbox="allow-scripts" referrerPolicy="no-referrer" src={url} />
          </div>
        )
      }
    </Loaded>
  );
}

type Happening = { at: number; attempt: number; text: string; phase?: number; kind: string };

/** Phases and events of the cluster, in one list with the time between them. */
export function Events({ details }: { details: ActionDetails }) {
  const { zone } = usePreferences();
  const all: Happening[] = details.attempts
    .flatMap((attempt): Happening[] => [
      ...attempt.phaseTransitions.map((each) => ({
        at: msOf(each.startTime) ?? 0,
        attempt: attempt.attempt,
        text: "",
        phase: each.phase,
        kind: "phase",
      })),
      ...attempt.clusterEvents.map((each) => ({
        at: msOf(each.occurredAt) ?? 0,
        attempt: attempt.attempt,
        text: [each.reason, each.message].filter(Boolean).join(": "),
        kind: each.sourceComponent || "cluster",
      })),
    ])
    .sort((a, b) => a.at - b.at);
  if (all.length === 0) return <Empty title="Nothing has happened yet" />;
  return (
    <table className="plain">
      <thead>
        <tr>
          <th scope="col">At</th>
          <th scope="col">After</th>
          <th scope="col">#</th>
          <th scope="col">What</th>
        </tr>
      </thead>
      <tbody>
        {all.map((each, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: events have no names
          <tr key={index}>
            <td className="num" title={formatInstant(each.at, zone)}>
              {formatInstant(each.at, zone).slice(11, 19)}
            </td>
            <td className="num quiet">
              +{((each.at - (all[index - 1]?.at ?? each.at)) / 1000).toFixed(2)} s
            </td>
            <td>{each.attempt}</td>
            <td className="wrap">
              {each.phase === undefined ? each.text : <Phase phase={each.phase} />}{" "}
              <span className="quiet">{each.kind}</span>
            </td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}

/** What runs: the task's specification as JSON. */
export function Spec({ details }: { details: ActionDetails }) {
  if (details.spec.case !== "task") return <Empty title="It has no specification of a task" />;
  const json = toJson(TaskSpecSchema, details.spec.value);
  return (
    <div className="stack">
      <p className="actions">
        <Copy text={formatJson(json)} label="Copy as JSON" />
      </p>
      <JsonTree json={json} depth={0} />
    </div>
  );
}
