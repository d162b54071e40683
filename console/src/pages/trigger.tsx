import { useQuery } from "@tanstack/react-query";
import { runs } from "../api/clients";
import { usePaged } from "../api/paged";
import {
  type TriggerDetails,
  type TriggerRevision,
  TriggerRevisionAction,
} from "../gen/flyteidl2/trigger/trigger_definition_pb";
import { nameOfIdentity } from "../model/people";
import { msOf } from "../model/time";
import { pythonOf, readValue } from "../model/values";
import { Act } from "../parts/Act";
import { Ago, Fields, Instant, To } from "../parts/basics";
import { List } from "../parts/List";
import { Page } from "../parts/Page";
import { RunTicks } from "../parts/RunTicks";
import { Empty, Loaded } from "../parts/states";
import { useMay } from "../shell/session";
import { type Place, placePath, runPath, usePath } from "../shell/url";
import { Active, Switch, triggers, whenOf } from "./triggers";

/** One trigger: when it fires, with what, the runs that it started, and who changed it. */
export default function TriggerPage() {
  const { project, domain, task, trigger } = usePath<"project" | "domain" | "task" | "trigger">();
  const place = { project, domain };
  const name = { org: "", project, domain, taskName: task, name: trigger };
  const query = useQuery<TriggerDetails>({
    queryKey: ["trigger", place, task, trigger],
    refetchInterval: 5000,
    queryFn: async ({ signal }) => {
      const answer = await triggers.getTriggerDetails({ name }, { signal });
      if (answer.trigger === undefined) throw new Error("the answer has no trigger");
      return answer.trigger;
    },
  });
  const found = query.data;
  const may = useMay();
  const canWrite = may("task:deploy") && may("run:create");
  return (
    <Page
      title={trigger}
      lede={<To to={placePath(place, `tasks/${encodeURIComponent(task)}`)}>{task}</To>}
      actions={
        found?.spec && (
          <>
            <Active isActive={found.spec.active} />
            {canWrite && <Switch trigger={{ id: found.id, active: found.spec.active }} />}
            {canWrite && (
              <Act
                label="Delete"
                verb="Delete"
                title={`Delete ${trigger}?`}
                says="It starts no more runs. The runs that it has started stay."
                run={() => triggers.deleteTriggers({ names: [name] })}
              />
            )}
          </>
        )
      }
    >
      <Loaded query={query}>
        {(details) => <Details place={place} details={details} name={name} />}
      </Loaded>
    </Page>
  );
}

type Name = { org: string; project: string; domain: string; taskName: string; name: string };

function Details({ place, details, name }: { place: Place; details: TriggerDetails; name: Name }) {
  const started = useQuery({
    queryKey: ["runs of trigger", name],
    refetchInterval: 5000,
    queryFn: ({ signal }) =>
      runs.listRuns(
        { request: { limit: 40 }, scopeBy: { case: "triggerName", value: name } },
        { signal },
      ),
  });
  const revisions = usePaged<TriggerRevision>(["revisions", name], async (token, signal) => {
    const answer = await triggers.getTriggerRevisionHistory(
      { name, request: { limit: 50, token } },
      { signal },
    );
    return { rows: answer.triggers, next: answer.token };
  });
  const inputs =
    details.spec?.inputWrapper.case === "inputs" ? details.spec.inputWrapper.value.literals : [];
  return (
    <div className="stack">
      <div className="split">
        <section className="card" aria-label="Schedule">
          <h2>Schedule</h2>
          <Fields
            rows={[
              ["When", <code key="when">{whenOf(details.automationSpec)}</code>],
              ["Last fired", <Instant key="last" at={msOf(details.status?.triggeredAt)} />],
              ["Deployed", <Ago key="deployed" at={msOf(details.status?.deployedAt)} />],
              ["Task version", <code key="version">{details.spec?.taskVersion}</code>],
              ["About", details.spec?.description],
            ]}
          />
        </section>
        <section className="card" aria-label="Inputs">
          <h2>Inputs</h2>
          {inputs.length === 0 ? (
            <p className="quiet">Those of the task.</p>
          ) : (
            <Fields
              rows={inputs.map(({ name: input, value }) => [
                input,
                <code key={input}>{pythonOf(readValue(value))}</code>,
              ])}
            />
          )}
        </section>
      </div>
      <section aria-label="Runs" className="stack">
        <h2>Runs that it started</h2>
        <Loaded query={started}>
          {({ runs: found }) =>
            found.length === 0 ? (
              <Empty title="It has not fired yet" />
            ) : (
              <RunTicks runs={found} pathOf={(run) => runPath(place, run)} />
            )
          }
        </Loaded>
      </section>
      <section aria-label="Revisions" className="stack">
        <h2>Revisions</h2>
        <List
          label="Revisions"
          list={revisions}
          keyOf={(each) => String(each.id?.revision)}
          empty={<Empty title="No revision" />}
          columns={[
            { name: "Revision", align: "right", cell: (each) => String(each.id?.revision) },
            { name: "What", cell: (each) => TriggerRevisionAction[each.action]?.toLowerCase() },
            { name: "When", cell: (each) => <Ago at={msOf(each.createdAt)} /> },
            {
              name: "By",
              cell: (each) => nameOfIdentity(each.metadata?.updatedBy ?? each.metadata?.deployedBy),
            },
          ]}
        />
      </section>
    </div>
  );
}
