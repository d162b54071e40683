import { useQueryClient } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useEffect, useRef, useState } from "react";
import { client, runs } from "../api/clients";
import { usePaged } from "../api/paged";
import { useLive } from "../api/stream";
import type { WatchRunsResponse } from "../gen/flyteidl2/workflow/run_service_pb";
import { type RunRow, RunService } from "../gen/shared/idl/platform/v1/run_pb";
import { lookOf, PHASES } from "../model/phases";
import { Command, Phase, To } from "../parts/basics";
import { Field } from "../parts/Field";
import { List } from "../parts/List";
import { Page } from "../parts/Page";
import { Empty, Light } from "../parts/states";
import { flyteCommand } from "../shell/command";
import { useCommands } from "../shell/commands";
import { useKeys } from "../shell/keys";
import { useMay } from "../shell/session";
import { type Place, placePath, usePath, useUrl } from "../shell/url";
import { AbortRuns } from "./runs/AbortRuns";
import { ColumnChooser, columnsOf, useColumns } from "./runs/columns";
import { Export } from "./runs/Export";
import { type FilterUrl, filterOf, NO_FILTERS, SINCE, URL_STATE } from "./runs/filter";
import { Histogram } from "./runs/Histogram";
import { Views } from "./runs/Views";

const runService = client(RunService);
const COUNTED = PHASES.filter((phase) => lookOf(phase).name !== "recovered");

/** The runs of a project, newest first, as they are now. */
export default function Runs() {
  const place = usePath<"project" | "domain">();
  const { values, set, wrong } = useUrl(URL_STATE);
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [abort, setAbort] = useState(false);
  const navigate = useNavigate();
  const find = useRef<HTMLInputElement>(null);
  const filter = filterOf(place, values);
  const list = usePaged<RunRow>(
    ["runs", place.project, place.domain, values],
    async (pageToken, signal) => {
      const answer = await runService.listRunRows({ filter, pageSize: 50, pageToken }, { signal });
      return { rows: answer.runs, next: answer.nextPageToken };
    },
  );
  const { state, changes } = useChanges(place);
  const isFiltered = Object.values(values).some((value) => value.length > 0);
  useKeys([
    { key: "/", does: "find a run", run: () => find.current?.focus() },
    { key: "Escape", does: "clear the filters", run: () => set(NO_FILTERS) },
  ]);
  useCommands([
    { name: "Show only failed runs", run: () => set({ phase: ["failed", "timed_out"] }) },
    { name: "Clear the filters", run: () => set(NO_FILTERS) },
  ]);
  const names = [...chosen];
  const shown = (list.rows ?? []).map((row) => row.run);
  const columns = useColumns();
  const may = useMay();
  return (
    <Page
      title="Runs"
      actions={
        <>
          <Light state={state} />
          {chosen.size > 0 && <span className="quiet">{chosen.size} chosen</span>}
          <button
            type="button"
            disabled={chosen.size !== 2}
            title={chosen.size === 2 ? undefined : "Choose two runs to compare"}
            onClick={() =>
              void navigate({
                to: placePath(place, "compare"),
                search: { a: names[0], b: names[1] } as never,
              })
            }
          >
            Compare
          </button>
          {may("run:abort") && (
            <button
              type="button"
              disabled={chosen.size === 0}
              title={chosen.size > 0 ? undefined : "Choose runs to abort"}
              onClick={() => setAbort(true)}
            >
              Abort
            </button>
          )}
          {may("run:create") && (
            <To className="button primary" to={placePath(place, "launch")}>
              Launch
            </To>
          )}
        </>
      }
    >
      <Filters values={values} set={set} findRef={find} isFiltered={isFiltered} />
      <div className="list-tools">
        <Views place={place} />
        <ColumnChooser {...columns} />
        <Export place={place} filter={filter} />
      </div>
      {wrong.length > 0 && (
        <p className="stale">The link has a filter that cannot be: {wrong.join(", ")}.</p>
      )}
      <Histogram filter={filter} changed={changes} />
      <List
        label="Runs"
        list={list}
        keyOf={(run) => run.run}
        empty={<None place={place} isFiltered={isFiltered} clear={() => set(NO_FILTERS)} />}
        columns={[
          {
            name: "Choose",
            head: (
              <input
                type="checkbox"
                aria-label="Choose all that are shown"
                checked={shown.length > 0 && shown.every((name) => chosen.has(name))}
                onChange={(event) => setChosen(new Set(event.target.checked ? shown : []))}
              />
            ),
            cell: (run) => (
              <input
                type="checkbox"
                aria-label={`Choose ${run.run}`}
                checked={chosen.has(run.run)}
                onChange={() => setChosen(toggled(chosen, run.run))}
              />
            ),
          },
          ...columnsOf(place, columns.shown, (label) => set({ label })),
        ]}
      />
      {abort && (
        <AbortRuns
          place={place}
          names={names}
          onClose={() => setAbort(false)}
          onAborted={(aborted) =>
            setChosen(new Set(names.filter((name) => !aborted.includes(name))))
          }
        />
      )}
    </Page>
  );
}

function toggled(set: ReadonlySet<string>, name: string): ReadonlySet<string> {
  const next = new Set(set);
  if (!next.delete(name)) next.add(name);
  return next;
}

/** Reads the list again when runs change, at most every half second; `changes` counts. */
function useChanges(place: Place) {
  const queries = useQueryClient();
  const [changes, setChanges] = useState(0);
  const key = `runs ${place.project}/${place.domain}`;
  const { value, state } = useLive<WatchRunsResponse, number>(key, key, () => ({
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
    empty: () => 0,
    fold: (count) => count + 1,
  }));
  useEffect(() => {
    if (value === undefined) return undefined;
    const timer = setTimeout(() => {
      void queries.invalidateQueries({ queryKey: ["runs", place.project, place.domain] });
      setChanges(value);
    }, 500);
    return () => clearTimeout(timer);
  }, [value, queries, place.project, place.domain]);
  return { state, changes };
}

function Filters(props: {
  values: FilterUrl["values"];
  set: FilterUrl["set"];
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
      <Field name="Task, exact" value={values.task} set={(task) => set({ task }, "replace")} />
      <Field name="By, exact" value={values.by} set={(by) => set({ by }, "replace")} />
      <Field
        name="Label key=value"
        value={values.label}
        set={(label) => set({ label }, "replace")}
      />
      <label>
        <span className="sr">Since</span>
        <select
          value={values.since}
          onChange={(event) => set({ since: event.target.value as typeof values.since })}
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
      <Command>{flyteCommand("run examples/hello.py main --name you", place)}</Command>
    </Empty>
  );
}
