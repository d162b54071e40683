import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useCallback, useEffect, useMemo, useState } from "react";
import { runs } from "../api/clients";
import type { ActionPhase } from "../gen/flyteidl2/common/phase_pb";
import type { TreeRow } from "../gen/shared/idl/platform/v1/run_tree_pb";
import { isFailure, isTerminal, lookOf, PHASE_BY_NAME } from "../model/phases";
import { phaseOfWord, sortCounts, wordOfPhase } from "../model/run";
import { formatDuration, msOf } from "../model/time";
import { flatten, flattenAll, type Known } from "../model/tree";
import { oneOf, someOf, text, whole } from "../model/url";
import { Ago, Copy, Phase, Tag, To, useNow } from "../parts/basics";
import { Confirm } from "../parts/Confirm";
import { Boundary, Light, Skeleton, Trouble } from "../parts/states";
import { flyteCommand } from "../shell/command";
import { useCommands } from "../shell/commands";
import { useKeys } from "../shell/keys";
import { useTitle } from "../shell/Shell";
import { type Place, placePath, usePath, useUrl } from "../shell/url";
import { actionId } from "./run/Data";
import { Details, TABS } from "./run/Details";
import { type Span, TreeGrid } from "./run/TreeGrid";
import { trees, useTree } from "./run/useTree";
import "./run/run.css";

const URL_STATE = {
  i: text(),
  tab: oneOf(TABS, "summary"),
  attempt: whole(0, 1),
  line: whole(0, 1),
  view: oneOf(["tree", "timeline", "table"], "tree"),
  sort: oneOf(["attention", "start", "duration", "wait", "name"], "attention"),
  phase: someOf(PHASE_BY_NAME.keys()),
  q: text(),
  t: text(),
};

/** One run: its state and why, its actions in time, and everything about the action that is chosen. */
export default function Run() {
  const { project, domain, run } = usePath<"project" | "domain" | "run">();
  const place = useMemo(() => ({ project, domain }), [project, domain]);
  const { values, set } = useUrl(URL_STATE);
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set(["a0"]));
  const [pages, setPages] = useState<ReadonlyMap<string, number>>(new Map());
  const [abort, setAbort] = useState<string | undefined>();
  const isFlat = values.view === "table" || values.q !== "" || values.phase.length > 0;
  const phases = values.phase.map((name) => wordOfPhase(PHASE_BY_NAME.get(name) ?? 0));
  const { known, state } = useTree(place, run, {
    open,
    pages,
    sort: values.sort,
    phases,
    text: values.q,
    isFlat,
  });
  const lines = useMemo(
    () => (isFlat ? flattenAll(known) : flatten(known, open)),
    [known, open, isFlat],
  );
  const phase = known.root === undefined ? 0 : phaseOfWord(known.root.phase);
  const chosen = values.i || "a0";
  const failures = useFailures(place, run, known);
  useTitle(known.root === undefined ? run : `${lookOf(phase).glyph} ${known.root.title} · ${run}`);

  const toggle = useCallback(
    (key: string) =>
      setOpen((before) => {
        const after = new Set(before);
        if (!after.delete(key)) after.add(key);
        return after;
      }),
    [],
  );
  const more = (node: string) =>
    setPages((before) => new Map(before).set(node, (before.get(node) ?? 1) + 1));
  const choose = (name: string) => set({ i: name, attempt: 0, line: 0 }, "replace");
  const nextFailure = (by: number) => {
    const names = failures.map((row) => row.name);
    if (names.length === 0) return;
    const at = names.indexOf(chosen);
    choose(names[(at + by + names.length) % names.length]!);
  };
  const link = () => void navigator.clipboard.writeText(location.href);
  useKeys([
    { key: "t", does: "show the tree", run: () => set({ view: "tree" }) },
    { key: "w", does: "show the timeline", run: () => set({ view: "timeline" }) },
    { key: "g", does: "show all actions as a table", run: () => set({ view: "table" }) },
    { key: "n", does: "next failure", run: () => nextFailure(1) },
    { key: "N", does: "previous failure", run: () => nextFailure(-1) },
    { key: "e", does: "explain the action", run: () => set({ tab: "why" }) },
    { key: "a", does: "abort the run", run: () => isTerminal(phase) || setAbort("a0") },
    { key: "y", does: "copy the link to exactly this", run: link },
    { key: "c", does: "copy the name", run: () => void navigator.clipboard.writeText(chosen) },
    {
      key: "/",
      does: "find an action",
      run: () => document.getElementById("find-action")?.focus(),
    },
  ]);
  useCommands([
    ...(isTerminal(phase)
      ? []
      : [{ name: "Abort this run", keys: "a", run: () => setAbort("a0") }]),
    { name: "Show only what failed", run: () => set({ phase: ["failed", "timed_out"] }) },
    { name: "Copy the link to exactly this", keys: "y", run: link },
  ]);

  if (state.kind === "stopped" && known.root === undefined) {
    return (
      <div className="page">
        <Trouble problem={state.problem} />
      </div>
    );
  }
  if (known.root === undefined) {
    return (
      <div className="page">
        <Skeleton rows={10} />
      </div>
    );
  }
  const row = known.rows.get(chosen);
  return (
    <div className="run">
      <RunHeader
        place={place}
        run={run}
        known={known}
        state={<Light state={state} />}
        onAbort={() => setAbort("a0")}
      />
      <FailureLine
        failures={failures}
        total={countOf(known, isFailure)}
        onShow={choose}
        onAll={() => set({ phase: ["failed", "timed_out"] })}
      />
      <Toolbar known={known} values={values} set={set} />
      <div className="run-split">
        <Boundary name="The tree">
          <RunTree
            known={known}
            lines={lines}
            chosen={chosen}
            isWide={values.view === "timeline"}
            zoom={values.t}
            onChoose={choose}
            onToggle={toggle}
            onMore={more}
            isFlat={isFlat}
          />
        </Boundary>
        <Details
          place={place}
          run={run}
          action={chosen}
          title={row?.title ?? ""}
          changed={
            row === undefined ? "" : `${row.phase}${row.attempts}${row.endedAt?.nanos ?? ""}`
          }
          tab={values.tab}
          attempt={values.attempt}
          line={values.line}
          set={(changes) => set(changes, changes.tab === undefined ? "replace" : "push")}
          onAbort={() => setAbort(chosen)}
        />
      </div>
      {abort !== undefined && (
        <Abort
          place={place}
          run={run}
          action={abort}
          known={known}
          onClose={() => setAbort(undefined)}
        />
      )}
    </div>
  );
}

function countOf(known: Known, wanted: (phase: ActionPhase) => boolean): number {
  return known.phases
    .filter(({ phase }) => wanted(phaseOfWord(phase)))
    .reduce((sum, { count }) => sum + Number(count), 0);
}

function RunHeader(props: {
  place: Place;
  run: string;
  known: Known;
  state: React.ReactNode;
  onAbort: () => void;
}) {
  const { place, run, known } = props;
  const root = known.root!;
  const phase = phaseOfWord(root.phase);
  const enqueued = msOf(root.enqueuedAt) ?? 0;
  const now = useNow(!isTerminal(phase));
  const started = msOf(root.startedAt);
  const ended = msOf(root.endedAt) ?? now;
  const navigate = useNavigate();
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
          {taskId !== undefined && (
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
          {!isTerminal(phase) && (
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

/** The failures of a run, the deepest first: those whose own children did not fail. */
function useFailures(place: Place, run: string, known: Known): TreeRow[] {
  const count = countOf(known, isFailure);
  const query = useQuery({
    queryKey: ["failures", place, run, count],
    enabled: count > 0,
    placeholderData: keepPreviousData,
    queryFn: async ({ signal }) => {
      const view = {
        nodes: [{ parent: "", offset: 0, limit: 200 }],
        sort: "start",
        phases: ["failed", "timed_out"],
      };
      const answer = await trees.getTree({ ...place, run, view }, { signal });
      return answer.tree?.windows[0]?.rows ?? [];
    },
  });
  return useMemo(() => {
    const rows = count === 0 ? [] : (query.data ?? []);
    const parents = new Set(rows.map((row) => row.parent));
    return rows.filter((row) => !parents.has(row.name));
  }, [query.data, count]);
}

/** The failure that the others follow from, in one line. */
function FailureLine(props: {
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
      {props.failures.length > 1 && (
        <button type="button" className="small" onClick={props.onAll}>
          {props.failures.length} failures, {kinds} {kinds === 1 ? "kind" : "kinds"}
        </button>
      )}
    </div>
  );
}

type Values = ReturnType<typeof useUrl<typeof URL_STATE>>;

function Toolbar({
  known,
  values,
  set,
}: {
  known: Known;
  values: Values["values"];
  set: Values["set"];
}) {
  const counts = sortCounts(
    known.phases.map(({ phase, count }) => [phaseOfWord(phase), Number(count)]),
  );
  const [find, setFind] = useState(values.q);
  useEffect(() => setFind(values.q), [values.q]);
  useEffect(() => {
    if (find === values.q) return undefined;
    const timer = setTimeout(() => set({ q: find }, "replace"), 200);
    return () => clearTimeout(timer);
  }, [find, values.q, set]);
  return (
    <div className="run-tools" role="toolbar" aria-label="Actions of the run">
      {[...counts].map(([phase, count]) => {
        const { name } = lookOf(phase);
        const isOn = values.phase.includes(name);
        return (
          <button
            key={phase}
            type="button"
            className="chip small"
            aria-pressed={isOn}
            onClick={() =>
              set({
                phase: isOn
                  ? values.phase.filter((each) => each !== name)
                  : [...values.phase, name],
              })
            }
          >
            <Phase phase={phase} /> <span className="num">{count.toLocaleString("en")}</span>
          </button>
        );
      })}
      <span className="run-views">
        <span className="segmented" role="radiogroup" aria-label="View">
          {(["tree", "timeline", "table"] as const).map((view) => (
            <button
              key={view}
              type="button"
              role="radio"
              aria-checked={values.view === view}
              onClick={() => set({ view })}
            >
              {view}
            </button>
          ))}
        </span>
        <label>
          <span className="sr">Order</span>
          <select
            value={values.sort}
            onChange={(event) => set({ sort: event.target.value as typeof values.sort })}
          >
            <option value="attention">failed, then slowest</option>
            <option value="start">by start</option>
            <option value="duration">by duration</option>
            <option value="wait">by waiting</option>
            <option value="name">by name</option>
          </select>
        </label>
        <input
          id="find-action"
          type="search"
          placeholder="Find an action  /"
          aria-label="Find an action"
          value={find}
          onChange={(event) => setFind(event.target.value)}
        />
      </span>
    </div>
  );
}

function RunTree(props: {
  known: Known;
  lines: ReturnType<typeof flatten>;
  chosen: string;
  isWide: boolean;
  isFlat: boolean;
  zoom: string;
  onChoose: (name: string) => void;
  onToggle: (key: string) => void;
  onMore: (node: string) => void;
}) {
  const { known } = props;
  const root = known.root!;
  const isOver = root.endedAt !== undefined;
  const now = useNow(!isOver);
  const from = msOf(root.enqueuedAt) ?? now;
  const until = Math.max(from + 1, msOf(root.endedAt) ?? now);
  const zoom = /^(\d+),(\d+)$/.exec(props.zoom);
  const span: Span = zoom
    ? {
        from: from + Number(zoom[1]),
        until: Math.max(from + Number(zoom[1]) + 1, from + Number(zoom[2])),
      }
    : { from, until };
  if (props.lines.length === 0) {
    return (
      <p className="tree-none quiet">
        {props.isFlat ? "No action of this run matches." : "Loading the actions …"}
      </p>
    );
  }
  return (
    <TreeGrid
      lines={props.lines}
      chosen={props.chosen}
      span={span}
      isWide={props.isWide}
      onChoose={props.onChoose}
      onToggle={props.onToggle}
      onMore={props.onMore}
      titleOf={
        props.isFlat
          ? (name) => (name === "" ? undefined : (known.rows.get(name)?.title ?? name))
          : undefined
      }
    />
  );
}

/** Asks before an action is stopped with all that it started. */
function Abort(props: {
  place: Place;
  run: string;
  action: string;
  known: Known;
  onClose: () => void;
}) {
  const [reason, setReason] = useState("");
  const { place, run, action } = props;
  const isRun = action === "a0";
  const busy = countOf(props.known, (phase) => !isTerminal(phase));
  const id = actionId(place, run, action);
  return (
    <Confirm
      title={isRun ? `Abort ${run}?` : `Abort ${props.known.rows.get(action)?.title ?? action}?`}
      verb="Abort"
      command={isRun ? flyteCommand(`abort run ${run}`, place) : undefined}
      run={() =>
        isRun
          ? runs.abortRun({ runId: id.run, reason })
          : runs.abortAction({ actionId: id, reason })
      }
      onClose={props.onClose}
    >
      <p>
        {isRun
          ? `Stops ${busy.toLocaleString("en")} ${busy === 1 ? "action" : "actions"} of this run. What has ended stays as it is; retries are not charged.`
          : "Stops this action and all that it started. What has ended stays as it is."}
      </p>
      <label>
        Reason, for those who look later
        <input
          type="text"
          value={reason}
          maxLength={500}
          onChange={(event) => setReason(event.target.value)}
        />
      </label>
    </Confirm>
  );
}
