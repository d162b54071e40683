import { toJson } from "@bufbuild/protobuf";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { client, runs } from "../api/clients";
import { type StreamState, useLive } from "../api/stream";
import { TaskSpecSchema } from "../gen/flyteidl2/task/task_definition_pb";
import type { RunDetails } from "../gen/flyteidl2/workflow/run_definition_pb";
import { RunTreeService, type Tree, type TreeRow } from "../gen/shared/idl/platform/v1/run_tree_pb";
import { waitedAndRan } from "../model/bars";
import { changesOf } from "../model/diff";
import { phaseOfWord } from "../model/run";
import { formatDuration } from "../model/time";
import { fold, type Known, NOTHING, type Requested } from "../model/tree";
import { text } from "../model/url";
import { pythonOf, readValue } from "../model/values";
import { Phase, To, useNow } from "../parts/basics";
import { Page } from "../parts/Page";
import { Light, Skeleton, Trouble } from "../parts/states";
import { Table } from "../parts/Table";
import { type Place, runPath, usePath, useUrl } from "../shell/url";

const trees = client(RunTreeService);
const URL_STATE = { a: text(), b: text() };

/** Two runs side by side: what differs, and their actions matched by name, live while one still runs. */
export default function Compare() {
  const place = usePath<"project" | "domain">();
  const { values, set } = useUrl(URL_STATE);
  const [only, setOnly] = useState(true);
  return (
    <Page
      title="Compare"
      lede="Actions are matched by their names, which the SDK makes from the code and the inputs."
    >
      <Pick place={place} a={values.a} b={values.b} set={set} />
      {values.a !== "" && values.b !== "" && (
        <>
          <label className="check">
            <input
              type="checkbox"
              checked={only}
              onChange={(event) => setOnly(event.target.checked)}
            />
            Only what differs
          </label>
          <Both
            place={place}
            a={values.a}
            b={values.b}
            only={only}
            key={`${values.a} ${values.b}`}
          />
        </>
      )}
    </Page>
  );
}

function Pick(props: {
  place: Place;
  a: string;
  b: string;
  set: (changes: { a?: string; b?: string }) => void;
}) {
  const recent = useQuery({
    queryKey: ["recent", props.place],
    queryFn: ({ signal }) =>
      runs.listRuns(
        {
          request: { limit: 50 },
          scopeBy: {
            case: "projectId",
            value: { organization: "", name: props.place.project, domain: props.place.domain },
          },
        },
        { signal },
      ),
  });
  const names = (recent.data?.runs ?? []).map((run) => run.action?.id?.run?.name ?? "");
  return (
    <div className="filters">
      {(["a", "b"] as const).map((which) => (
        <label key={which} className="field">
          <span>{which === "a" ? "Run A" : "Run B"}</span>
          <select
            value={props[which]}
            onChange={(event) => props.set({ [which]: event.target.value })}
          >
            <option value="">choose a run</option>
            {[...new Set([props[which], ...names])]
              .filter((name) => name !== "")
              .map((name) => (
                <option key={name} value={name}>
                  {name}
                </option>
              ))}
          </select>
        </label>
      ))}
    </div>
  );
}

function useRun(place: Place, run: string, phase: string) {
  const runId = { org: "", project: place.project, domain: place.domain, name: run };
  return useQuery({
    queryKey: ["compared", place, run, phase],
    placeholderData: keepPreviousData,
    queryFn: async ({ signal }) => {
      const [{ details }, data] = await Promise.all([
        runs.getRunDetails({ runId }, { signal }),
        runs
          .getActionData({ actionId: { run: runId, name: "a0" } }, { signal })
          .catch(() => undefined),
      ]);
      const named = (
        what: string,
        literals: { name: string; value?: Parameters<typeof readValue>[0] }[],
      ) =>
        literals.map(({ name, value }) => [`${what}.${name}`, pythonOf(readValue(value))] as const);
      const values = Object.fromEntries([
        ...named("inputs", data?.inputs?.literals ?? []),
        ...named("outputs", data?.outputs?.literals ?? []),
      ]);
      return { details, values };
    },
  });
}

const WINDOWS: Requested[] = Array.from({ length: 5 }, (_, page) => ({
  node: { parent: "" },
  offset: page * 200,
  limit: 200,
}));

function useActions(place: Place, run: string) {
  const key = `compare ${place.project}/${place.domain}/${run}`;
  return useLive<Tree, { known: Known; isFirst: boolean }>(key, key, () => ({
    open: async function* (signal) {
      const view = {
        nodes: WINDOWS.map(({ offset, limit }) => ({ parent: "", offset, limit })),
        sort: "start",
      };
      for await (const { tree } of trees.watchTree({ ...place, run, view }, { signal })) {
        if (tree !== undefined) yield tree;
      }
    },
    empty: () => ({ known: NOTHING, isFirst: true }),
    fold: (state, tree) => ({
      known: fold(state.known, WINDOWS, tree, state.isFirst),
      isFirst: false,
    }),
  }));
}

function Both({ place, a, b, only }: { place: Place; a: string; b: string; only: boolean }) {
  const [treeA, treeB] = [useActions(place, a), useActions(place, b)];
  const [rootA, rootB] = [treeA.value?.known.root, treeB.value?.known.root];
  const [runA, runB] = [useRun(place, a, rootA?.phase ?? ""), useRun(place, b, rootB?.phase ?? "")];
  const now = useNow(rootA?.endedAt === undefined || rootB?.endedAt === undefined);
  const states: [string, StreamState][] = [
    [a, treeA.state],
    [b, treeB.state],
  ];
  const troubles = states.flatMap(([run, state]) =>
    state.kind === "stopped" ? [{ run, problem: state.problem }] : [],
  );
  if (troubles.length > 0) {
    return troubles.map(({ run, problem }) => (
      <section key={run} className="stack" aria-label={`Run ${run}`}>
        <h2>{run}</h2>
        <Trouble problem={problem} />
      </section>
    ));
  }
  if (
    rootA === undefined ||
    rootB === undefined ||
    runA.data === undefined ||
    runB.data === undefined
  ) {
    return <Skeleton />;
  }
  const facts = changesOf(
    { ...factsOf(rootA, runA.data.details, now), ...runA.data.values },
    { ...factsOf(rootB, runB.data.details, now), ...runB.data.values },
  );
  const specs = changesOf(specOf(runA.data.details), specOf(runB.data.details));
  const pairs = pair(treeA.value!.known, treeB.value!.known, now);
  const shown = only ? pairs.filter((each) => each.differs) : pairs;
  return (
    <div className="stack">
      <section className="stack" aria-label="Facts">
        <h2>
          Facts and values <Light state={treeA.state} /> <Light state={treeB.state} />
        </h2>
        {facts.length === 0 ? (
          <p className="quiet">They are the same.</p>
        ) : (
          <Table
            label="Facts that differ"
            rows={facts}
            keyOf={(each) => each.path}
            columns={[
              { name: "What", cell: (each) => each.path },
              { name: a, wrap: true, cell: (each) => each.before },
              { name: b, wrap: true, cell: (each) => each.after },
            ]}
          />
        )}
      </section>
      {specs.length > 0 && (
        <section className="stack" aria-label="Specification">
          <h2>Specification</h2>
          <Table
            label="Fields of the specification that differ"
            rows={specs.slice(0, 100)}
            keyOf={(each) => each.path}
            columns={[
              { name: "Field", cell: (each) => <code>{each.path}</code> },
              { name: a, wrap: true, cell: (each) => <code>{each.before}</code> },
              { name: b, wrap: true, cell: (each) => <code>{each.after}</code> },
            ]}
          />
        </section>
      )}
      <section className="stack" aria-label="Actions">
        <h2>Actions</h2>
        <p className="quiet">
          {pairs.length.toLocaleString("en")} names,{" "}
          {pairs.filter((each) => each.a && each.b).length} in both. Runs of more than 1,000 actions
          are compared by their first.
        </p>
        {shown.length === 0 ? (
          <p>No action differs.</p>
        ) : (
          <Table
            label="Actions"
            rows={shown.slice(0, 500)}
            keyOf={(each) => each.name}
            columns={[
              {
                name: "Action",
                cell: (each) => (
                  <To to={runPath(place, each.b ? b : a, `?i=${each.name}`)}>
                    {(each.b ?? each.a)?.title || each.name}
                  </To>
                ),
              },
              {
                name: a,
                cell: (each) =>
                  each.a ? (
                    <Phase phase={phaseOfWord(each.a.phase)} />
                  ) : (
                    <span className="quiet">not there</span>
                  ),
              },
              {
                name: b,
                cell: (each) =>
                  each.b ? (
                    <Phase phase={phaseOfWord(each.b.phase)} />
                  ) : (
                    <span className="quiet">not there</span>
                  ),
              },
              { name: "Δ waited", align: "right", cell: (each) => <Delta ms={each.waited} /> },
              { name: "Δ ran", align: "right", cell: (each) => <Delta ms={each.ran} /> },
            ]}
          />
        )}
      </section>
    </div>
  );
}

function Delta({ ms }: { ms: number | undefined }) {
  if (ms === undefined) return null;
  if (Math.abs(ms) < 50) return <span className="quiet num">±0</span>;
  const words = `${ms > 0 ? "+" : "−"}${formatDuration(Math.abs(ms))}`;
  return <span className={`num ${ms > 0 ? "phase-failed" : "phase-succeeded"}`}>{words}</span>;
}

function factsOf(root: TreeRow, details: RunDetails | undefined, now: number) {
  const { waited, ran } = waitedAndRan(root, now);
  const spec = details?.action?.metadata?.spec;
  return {
    state: root.phase.replaceAll("_", " "),
    task: spec?.case === "task" ? (spec.value.id?.name ?? "") : "",
    version: spec?.case === "task" ? (spec.value.id?.version ?? "") : "",
    waited: formatDuration(waited),
    ran: formatDuration(ran),
    attempts: String(root.attempts),
    queue: details?.runSpec?.queue || "default",
    labels: details?.runSpec?.labels?.values ?? {},
  };
}

function specOf(details: RunDetails | undefined): unknown {
  const spec = details?.action?.spec;
  return spec?.case === "task" ? toJson(TaskSpecSchema, spec.value) : {};
}

type Pair = {
  name: string;
  a: TreeRow | undefined;
  b: TreeRow | undefined;
  waited: number | undefined;
  ran: number | undefined;
  differs: boolean;
};

/** Matches the actions of two runs by name; what differs most comes first. */
function pair(a: Known, b: Known, now: number): Pair[] {
  const names = new Set([...a.rows.keys(), ...b.rows.keys()]);
  return [...names]
    .map((name): Pair => {
      const [inA, inB] = [a.rows.get(name), b.rows.get(name)];
      if (inA === undefined || inB === undefined) {
        return { name, a: inA, b: inB, waited: undefined, ran: undefined, differs: true };
      }
      const [timesA, timesB] = [waitedAndRan(inA, now), waitedAndRan(inB, now)];
      const waited = timesB.waited - timesA.waited;
      const ran = timesB.ran - timesA.ran;
      const differs = inA.phase !== inB.phase || Math.abs(waited) > 1000 || Math.abs(ran) > 1000;
      return { name, a: inA, b: inB, waited, ran, differs };
    })
    .sort(
      (x, y) => Math.abs((y.ran ?? 0) + (y.waited ?? 0)) - Math.abs((x.ran ?? 0) + (x.waited ?? 0)),
    );
}
