import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense } from "react";
import { runs } from "../../api/clients";
import type { ActionDetails } from "../../gen/flyteidl2/workflow/run_definition_pb";
import { isTerminal } from "../../model/phases";
import { Boundary, Loaded, Skeleton } from "../../parts/states";
import { type Tab, Tabs } from "../../parts/Tabs";
import { useKeys } from "../../shell/keys";
import { useMay } from "../../shell/session";
import type { Place } from "../../shell/url";
import { actionId } from "./ids";
import { Summary, Why } from "./Summary";
import type { TabId } from "./tabs";

// What a tab needs is loaded with it: the first visit of a run needs its summary alone.
const Attempts = lazy(async () => ({ default: (await import("./Analysis")).Attempts }));
const Condition = lazy(async () => ({ default: (await import("./Condition")).Condition }));
const Logs = lazy(async () => ({ default: (await import("./Logs")).Logs }));
const InOut = lazy(async () => ({ default: (await import("./Data")).InOut }));
const Files = lazy(async () => ({ default: (await import("./Files")).Files }));
const Report = lazy(async () => ({ default: (await import("./Data")).Report }));
const Events = lazy(async () => ({ default: (await import("./Data")).Events }));
const Spec = lazy(async () => ({ default: (await import("./Data")).Spec }));

const NAMES: readonly Tab<TabId>[] = [
  { id: "summary", name: "Summary" },
  { id: "logs", name: "Logs" },
  { id: "data", name: "In / Out" },
  { id: "files", name: "Files" },
  { id: "report", name: "Report" },
  { id: "attempts", name: "Attempts" },
  { id: "events", name: "Events" },
  { id: "why", name: "Why" },
  { id: "spec", name: "Spec" },
];

/** Everything about one action, in tabs. It is read again when the tree says that the action changed. */
export function Details(props: {
  place: Place;
  run: string;
  action: string;
  title: string;
  changed: string;
  tab: TabId;
  attempt: number;
  line: number;
  set: (changes: { tab?: TabId; attempt?: number; line?: number }) => void;
  onAbort: () => void;
}) {
  const { place, run, action } = props;
  const query = useQuery<ActionDetails>({
    queryKey: ["action", place, run, action, props.changed],
    placeholderData: (before, previous) => (previous?.queryKey[3] === action ? before : undefined),
    queryFn: async ({ signal }) => {
      const answer = await runs.getActionDetails(
        { actionId: actionId(place, run, action) },
        { signal },
      );
      if (answer.details === undefined) throw new Error("the answer has no details");
      return answer.details;
    },
    // Nothing says that an action changed which is in no window of the tree.
    refetchInterval: ({ state }) =>
      props.changed === "" && !isTerminal(state.data?.status?.phase ?? 0) ? 3000 : false,
  });
  const canAbort = useMay()("run:abort");
  const last = query.data?.attempts.at(-1)?.attempt ?? 1;
  const attempt = props.attempt > 0 ? props.attempt : last;
  useKeys([
    ...NAMES.map((tab, index) => ({
      key: String(index + 1),
      does: `show ${tab.name}`,
      run: () => props.set({ tab: tab.id }),
    })),
    {
      key: "[",
      does: "previous attempt",
      run: () => props.set({ attempt: Math.max(1, attempt - 1) }),
    },
    {
      key: "]",
      does: "next attempt",
      run: () => props.set({ attempt: Math.min(last, attempt + 1) }),
    },
  ]);
  return (
    <section className="pane" aria-label={`Details of ${action}`}>
      <header className="pane-head">
        <h2 className="mono" title={action}>
          {props.title || titleOf(query.data) || action}
        </h2>
        {last > 1 && (
          <label className="attempt">
            attempt{" "}
            <select
              value={attempt}
              onChange={(event) => props.set({ attempt: Number(event.target.value) })}
            >
              {Array.from({ length: last }, (_, index) => index + 1).map((number) => (
                <option key={number} value={number}>
                  {number} of {last}
                </option>
              ))}
            </select>
          </label>
        )}
        {query.data &&
          !isTerminal(query.data.status?.phase ?? 0) &&
          action !== "a0" &&
          canAbort && (
            <button type="button" className="small" onClick={props.onAbort}>
              Abort this
            </button>
          )}
      </header>
      <Tabs label="Details" tabs={NAMES} chosen={props.tab} onChoose={(tab) => props.set({ tab })}>
        <Boundary
          name={NAMES.find(({ id }) => id === props.tab)?.name ?? ""}
          reset={`${action}${props.tab}`}
        >
          <Suspense fallback={<Skeleton />}>
            <Loaded query={query}>
              {(details) => {
                const phase = details.status?.phase ?? 0;
                const isOver = isTerminal(phase);
                switch (props.tab) {
                  case "summary":
                    return (
                      <>
                        {details.spec.case === "condition" && (
                          <Condition place={place} run={run} action={action} details={details} />
                        )}
                        <Summary
                          place={place}
                          run={run}
                          details={details}
                          chooseAttempt={(number) => props.set({ attempt: number, tab: "logs" })}
                        />
                      </>
                    );
                  case "logs":
                    return (
                      <Logs
                        key={`${action}/${attempt}`}
                        place={place}
                        run={run}
                        action={action}
                        attempt={attempt}
                        line={props.line}
                        isOver={isOver || attempt < last}
                        onLine={(line) => props.set({ line })}
                      />
                    );
                  case "data":
                    return <InOut place={place} run={run} action={action} phase={phase} />;
                  case "files":
                    return (
                      <Files
                        key={`${action}/${attempt}`}
                        place={place}
                        run={run}
                        action={action}
                        attempt={details.attempts.length > 0 ? attempt : 0}
                        phase={phase}
                      />
                    );
                  case "report":
                    return <Report place={place} run={run} action={action} attempt={attempt} />;
                  case "attempts":
                    return (
                      <Attempts place={place} run={run} action={action} changed={props.changed} />
                    );
                  case "events":
                    return <Events details={details} />;
                  case "why":
                    return <Why place={place} run={run} action={action} isOver={isOver} />;
                  case "spec":
                    return <Spec details={details} />;
                }
              }}
            </Loaded>
          </Suspense>
        </Boundary>
      </Tabs>
    </section>
  );
}

function titleOf(details: ActionDetails | undefined): string {
  const spec = details?.metadata?.spec;
  return spec?.case === "task" ? spec.value.shortName : "";
}
