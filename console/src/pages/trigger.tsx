import { useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { runs } from "../api/clients";
import { usePaged } from "../api/paged";
import {
  type TriggerDetails,
  type TriggerRevision,
  TriggerRevisionAction,
} from "../gen/flyteidl2/trigger/trigger_definition_pb";
import { nameOfIdentity } from "../model/people";
import { msOf } from "../model/time";
import { oneOf } from "../model/url";
import { pythonOf, readValue } from "../model/values";
import { Act } from "../parts/Act";
import { Ago, Fields, Instant, To } from "../parts/basics";
import { Confirm } from "../parts/Confirm";
import { List } from "../parts/List";
import { Page } from "../parts/Page";
import { RunTicks } from "../parts/RunTicks";
import { Empty, Loaded } from "../parts/states";
import { useMay } from "../shell/session";
import { type Place, placePath, runPath, usePath, useUrl } from "../shell/url";
import { Firings, platformTriggers } from "./trigger/Firings";
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
            {may("run:create") && <Fire name={name} />}
            {canWrite && (
              <Switch className="button" trigger={{ id: found.id, active: found.spec.active }} />
            )}
            {canWrite && (
              <Act
                label="Delete"
                className="button danger"
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

const URL_STATE = { outcome: oneOf(["", "started", "skipped"], "") };

const OVERLAPS: Record<string, string> = {
  allow: "another one starts beside it",
  skip: "no other one starts",
  replace: "it is aborted for the next one",
};

/** Starts a run now, with the trigger's inputs, and leads to it. */
function Fire({ name }: { name: Name }) {
  const [isOpen, setOpen] = useState(false);
  // A repeated call with the same name starts no second run.
  const [run, setRun] = useState("");
  const navigate = useNavigate();
  return (
    <>
      <button
        type="button"
        onClick={() => {
          setRun(`fired-${crypto.randomUUID().slice(0, 13)}`);
          setOpen(true);
        }}
      >
        Fire now
      </button>
      {isOpen && (
        <Confirm
          title={`Fire ${name.name} now?`}
          verb="Fire"
          command={`volary trigger fire ${name.taskName} ${name.name}`}
          onClose={() => setOpen(false)}
          run={async () => {
            const answer = await platformTriggers.fireTrigger({ ...name, run });
            await navigate({ to: runPath(name, answer.run) });
          }}
        >
          <p>
            It starts one run of {name.taskName} with the trigger's inputs, beside its schedule.
          </p>
        </Confirm>
      )}
    </>
  );
}

type Name = { org: string; project: string; domain: string; taskName: string; name: string };

function Details({ place, details, name }: { place: Place; details: TriggerDetails; name: Name }) {
  const { values, set } = useUrl(URL_STATE);
  const next = useQuery({
    queryKey: ["next instants", name],
    refetchInterval: 10_000,
    queryFn: async ({ signal }) =>
      (await platformTriggers.getTrigger(name, { signal })).trigger ?? null,
  });
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
              ["While a run goes on", OVERLAPS[next.data?.overlap ?? ""]],
              ["Last fired", <Instant key="last" at={msOf(details.status?.triggeredAt)} />],
              ["Deployed", <Ago key="deployed" at={msOf(details.status?.deployedAt)} />],
              ["Task version", <code key="version">{details.spec?.taskVersion}</code>],
              ["About", details.spec?.description],
            ]}
          />
        </section>
        <section className="card" aria-label="Next instants">
          <h2>Next instants</h2>
          <Loaded query={next}>
            {(trigger) =>
              trigger === null || trigger.nextInstants.length === 0 ? (
                <p className="quiet">
                  {details.spec?.active ? "None." : "None: it is switched off."}
                </p>
              ) : (
                <ol className="instants">
                  {trigger.nextInstants.map(({ at, local }) => (
                    <li key={local}>
                      <Instant at={msOf(at)} />{" "}
                      <span className="quiet">
                        {trigger.cron && `${local.slice(11, 16)} in ${trigger.timeZone || "UTC"}`}
                      </span>
                    </li>
                  ))}
                </ol>
              )
            }
          </Loaded>
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
      <section aria-label="What became of each instant" className="stack">
        <h2>What became of each instant</h2>
        {next.data?.error && (
          <p className="warn-box">
            The last instant started no run: {next.data.error}{" "}
            <span className="quiet">
              <Ago at={msOf(next.data.errorAt)} />
            </span>
          </p>
        )}
        <Firings
          trigger={name}
          outcome={values.outcome}
          setOutcome={(outcome) => set({ outcome })}
        />
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
