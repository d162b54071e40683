import { useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useEffect, useMemo, useRef, useState } from "react";
import { runs } from "../api/clients";
import { serverClock } from "../api/server";
import { useLive } from "../api/stream";
import { Filter_Function } from "../gen/flyteidl2/common/list_pb";
import type { Run } from "../gen/flyteidl2/workflow/run_definition_pb";
import type { ListRunsResponse, WatchRunsResponse } from "../gen/flyteidl2/workflow/run_service_pb";
import { lookOf, PHASE_BY_NAME, PHASES } from "../model/phases";
import { wordOfPhase } from "../model/run";
import { msOf, parseSince } from "../model/time";
import { oneOf, someOf, text } from "../model/url";
import { Ago, Command, Name, Phase, To } from "../parts/basics";
import { Confirm } from "../parts/Confirm";
import { Field } from "../parts/Field";
import { Page } from "../parts/Page";
import { Empty, Light, Loaded } from "../parts/states";
import { More, Table } from "../parts/Table";
import { flyteCommand } from "../shell/command";
import { useCommands } from "../shell/commands";
import { useKeys } from "../shell/keys";
import { type Place, placePath, runPath, usePath, useUrl } from "../shell/url";
import { byOf, Labels, nameOf, RunTook, sourceOf, TaskName } from "./runs/cells";

const PAGE = 50;
const SINCE = ["", "1h", "24h", "7d", "30d"] as const;
const URL_STATE = {
  phase: someOf(PHASE_BY_NAME.keys()),
  q: text(),
  task: text(),
  by: text(),
  label: text(),
  since: oneOf(SINCE, ""),
};
const COUNTED = PHASES.filter((phase) => lookOf(phase).name !== "recovered");

/** The runs of a project, newest first, as they are now. */
export default function Runs() {
  const place = usePath<"project" | "domain">();
  const { values, set, wrong } = useUrl(URL_STATE);
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [abort, setAbort] = useState(false);
  const navigate = useNavigate();
  const find = useRef<HTMLInputElement>(null);
  const list = useRuns(place, values);
  const live = useChanges(place);
  const isFiltered = Object.entries(values).some(([, value]) => value.length > 0);
  useKeys([
    { key: "/", does: "find a run", run: () => find.current?.focus() },
    { key: "Escape", does: "clear the filters", run: () => set(NO_FILTERS) },
  ]);
  useCommands([
    { name: "Show only failed runs", run: () => set({ phase: ["failed", "timed_out"] }) },
    { name: "Clear the filters", run: () => set(NO_FILTERS) },
  ]);
  const two = [...chosen];
  return (
    <Page
      title="Runs"
      actions={
        <>
          <Light state={live} />
          {chosen.size > 0 && <span className="quiet">{chosen.size} chosen</span>}
          <button
            type="button"
            disabled={chosen.size !== 2}
            title={chosen.size === 2 ? undefined : "Choose two runs to compare"}
            onClick={() =>
              void navigate({
                to: placePath(place, "compare"),
                search: { a: two[0], b: two[1] } as never,
              })
            }
          >
            Compare
          </button>
          <button
            type="button"
            disabled={chosen.size === 0}
            title={chosen.size > 0 ? undefined : "Choose runs to abort"}
            onClick={() => setAbort(true)}
          >
            Abort
          </button>
          <To className="button primary" to={placePath(place, "launch")}>
            Launch
          </To>
        </>
      }
    >
      <Filters values={values} set={set} findRef={find} isFiltered={isFiltered} />
      {wrong.length > 0 && (
        <p className="stale">The link has a filter that cannot be: {wrong.join(", ")}.</p>
      )}
      <Loaded query={list}>
        {({ pages }) => {
          const rows = pages.flatMap((page) => page.runs);
          if (rows.length === 0)
            return <None place={place} isFiltered={isFiltered} clear={() => set(NO_FILTERS)} />;
          return (
            <>
              <Table
                label="Runs"
                rows={rows}
                keyOf={nameOf}
                columns={[
                  {
                    name: "Choose",
                    hidden: true,
                    cell: (run) => (
                      <input
                        type="checkbox"
                        aria-label={`Choose ${nameOf(run)}`}
                        checked={chosen.has(nameOf(run))}
                        onChange={() => setChosen(toggled(chosen, nameOf(run)))}
                      />
                    ),
                  },
                  {
                    name: "State",
                    cell: (run) => <Phase phase={run.action?.status?.phase ?? 0} />,
                  },
                  {
                    name: "Run",
                    cell: (run) => (
                      <To to={runPath(place, nameOf(run))}>
                        <Name>{nameOf(run)}</Name>
                      </To>
                    ),
                  },
                  { name: "Task", cell: (run) => <TaskName run={run} place={place} /> },
                  {
                    name: "Started",
                    cell: (run) => <Ago at={msOf(run.action?.status?.startTime)} />,
                  },
                  { name: "Took", align: "right", cell: (run) => <RunTook run={run} /> },
                  { name: "By", cell: byOf },
                  { name: "Source", cell: sourceOf },
                  {
                    name: "Labels",
                    cell: (run) => <Labels run={run} choose={(label) => set({ label })} />,
                  },
                ]}
              />
              <More
                shown={rows.length}
                isMore={list.hasNextPage}
                isLoading={list.isFetchingNextPage}
                load={() => void list.fetchNextPage()}
              />
            </>
          );
        }}
      </Loaded>
      {abort && (
        <Confirm
          title={`Abort ${chosen.size} ${chosen.size === 1 ? "run" : "runs"}?`}
          verb="Abort"
          onClose={() => setAbort(false)}
          run={async () => {
            for (const name of chosen) {
              await runs.abortRun({
                runId: { org: "", ...place, name },
                reason: "chosen in the console",
              });
            }
            setChosen(new Set());
          }}
        >
          <p>Stops every action of: {two.join(", ")}. Runs that have ended stay as they are.</p>
        </Confirm>
      )}
    </Page>
  );
}

const NO_FILTERS = { phase: [], q: "", task: "", by: "", label: "", since: "" as const };
type Values = ReturnType<typeof useUrl<typeof URL_STATE>>["values"];

function toggled(set: ReadonlySet<string>, name: string): ReadonlySet<string> {
  const next = new Set(set);
  if (!next.delete(name)) next.add(name);
  return next;
}

/** What the server is asked for, by the filters of the URL. */
function filtersOf(values: Values) {
  const filters: { field: string; function: Filter_Function; values: string[] }[] = [];
  const add = (field: string, how: Filter_Function, ...wanted: string[]) =>
    filters.push({ field, function: how, values: wanted });
  if (values.phase.length > 0) {
    const words = values.phase.map((name) => wordOfPhase(PHASE_BY_NAME.get(name) ?? 0));
    add("phase", Filter_Function.VALUE_IN, ...words);
  }
  if (values.q !== "") add("run_name", Filter_Function.CONTAINS_CASE_INSENSITIVE, values.q);
  if (values.task !== "") add("task_name", Filter_Function.CONTAINS_CASE_INSENSITIVE, values.task);
  if (values.by !== "") add("created_by", Filter_Function.CONTAINS_CASE_INSENSITIVE, values.by);
  if (values.label !== "") {
    const [key = "", value] = values.label.split(/=(.*)/s);
    if (value === undefined) add(`labels.${key}`, Filter_Function.EXISTS);
    else add(`labels.${key}`, Filter_Function.EQUAL, value);
  }
  const since = parseSince(values.since);
  if (since !== undefined) {
    const from = new Date(Math.floor((serverClock.now() - since) / 60_000) * 60_000);
    add("created_at", Filter_Function.GREATER_THAN_OR_EQUAL, from.toISOString());
  }
  return filters;
}

function useRuns(place: Place, values: Values) {
  return useInfiniteQuery({
    queryKey: ["runs", place.project, place.domain, values],
    initialPageParam: "",
    getNextPageParam: (page: ListRunsResponse) => page.token || undefined,
    queryFn: ({ pageParam, signal }) =>
      runs.listRuns(
        {
          request: { limit: PAGE, token: pageParam, filters: filtersOf(values) },
          scopeBy: {
            case: "projectId",
            value: { organization: "", name: place.project, domain: place.domain },
          },
        },
        { signal },
      ),
  });
}

/** Takes changes of runs into the list: known ones at once, the list itself half a second later. */
function useChanges(place: Place) {
  const queries = useQueryClient();
  const key = `runs ${place.project}/${place.domain}`;
  const { value, state } = useLive<WatchRunsResponse, Map<string, Run>>(key, key, () => ({
    open: (signal) =>
      runs.watchRuns(
        {
          target: {
            case: "projectId",
            value: { organization: "", name: place.project, domain: place.domain },
          },
        },
        { signal },
      ),
    empty: () => new Map(),
    fold: (_before, message) => new Map(message.runs.map((run) => [nameOf(run), run])),
  }));
  useEffect(() => {
    if (value === undefined || value.size === 0) return undefined;
    queries.setQueriesData<{ pages: { runs: Run[] }[] }>(
      { queryKey: ["runs", place.project, place.domain] },
      (before) =>
        before && {
          ...before,
          pages: before.pages.map((page) => ({
            ...page,
            runs: page.runs.map((run) => value.get(nameOf(run)) ?? run),
          })),
        },
    );
    const timer = setTimeout(
      () => void queries.invalidateQueries({ queryKey: ["runs", place.project, place.domain] }),
      500,
    );
    return () => clearTimeout(timer);
  }, [value, queries, place.project, place.domain]);
  return state;
}

function Filters(props: {
  values: Values;
  set: ReturnType<typeof useUrl<typeof URL_STATE>>["set"];
  findRef: React.RefObject<HTMLInputElement | null>;
  isFiltered: boolean;
}) {
  const { values, set } = props;
  const { phase } = values;
  return (
    <search className="filters">
      <Field
        name="Run"
        value={values.q}
        set={(q) => set({ q }, "replace")}
        inputRef={props.findRef}
      />
      <Field name="Task" value={values.task} set={(task) => set({ task }, "replace")} />
      <Field name="By" value={values.by} set={(by) => set({ by }, "replace")} />
      <Field
        name="Label key=value"
        value={values.label}
        set={(label) => set({ label }, "replace")}
      />
      <label>
        <span className="sr">Since</span>
        <select
          value={values.since}
          onChange={(event) => set({ since: event.target.value as Values["since"] })}
        >
          {SINCE.map((each) => (
            <option key={each} value={each}>
              {each === "" ? "any time" : `last ${each}`}
            </option>
          ))}
        </select>
      </label>
      {COUNTED.map((each) => {
        const { name } = lookOf(each);
        const isOn = phase.includes(name);
        return (
          <button
            key={name}
            type="button"
            className="chip small"
            aria-pressed={isOn}
            onClick={() =>
              set({ phase: isOn ? phase.filter((one) => one !== name) : [...phase, name] })
            }
          >
            <Phase phase={each} />
          </button>
        );
      })}
      {props.isFiltered && (
        <button type="button" className="small bare" onClick={() => set(NO_FILTERS)}>
          Clear
        </button>
      )}
    </search>
  );
}

function None({
  place,
  isFiltered,
  clear,
}: {
  place: Place;
  isFiltered: boolean;
  clear: () => void;
}) {
  const command = useMemo(() => runCommand(place), [place]);
  if (isFiltered) {
    return (
      <Empty title="No run matches">
        <p className="actions">
          <button type="button" onClick={clear}>
            Clear the filters
          </button>
        </p>
      </Empty>
    );
  }
  return (
    <Empty title="No runs yet">
      <p>Runs of this project appear here as soon as they are created. To make one:</p>
      <Command>{command}</Command>
    </Empty>
  );
}

/** The command that runs a first workflow here. */
export function runCommand(place: Place): string {
  return flyteCommand("run examples/hello.py main --name you", place);
}
