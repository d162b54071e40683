import { lazy, Suspense, useCallback, useMemo, useState } from "react";
import { isFailure, isTerminal, lookOf, PHASE_BY_NAME } from "../model/phases";
import { phaseOfWord, wordOfPhase } from "../model/run";
import { flatten, flattenAll } from "../model/tree";
import { Boundary, Light, Skeleton, Trouble } from "../parts/states";
import { useCommands } from "../shell/commands";
import { useKeys } from "../shell/keys";
import { useTitle } from "../shell/Shell";
import { usePath, useUrl } from "../shell/url";
import { Details } from "./run/Details";
import { FailureLine, RunHeader } from "./run/Header";
import { RunTree } from "./run/RunTree";
import { URL_STATE } from "./run/state";
import { Toolbar } from "./run/Toolbar";
import { countOf, useFailures } from "./run/useFailures";
import { usePages, useTree } from "./run/useTree";
import "./run/run.css";
import "./run/pane.css";
import "./run/log.css";
import "./run/strip.css";
import { useMay } from "../shell/session";

const Abort = lazy(async () => ({ default: (await import("./run/Abort")).Abort }));
const Retention = lazy(async () => ({ default: (await import("./run/Retention")).Retention }));
const Strip = lazy(async () => ({ default: (await import("./run/Analysis")).Strip }));
const Failures = lazy(async () => ({ default: (await import("./run/Analysis")).Failures }));

/** One run: its state and why, its actions in time, and everything about the action that is chosen. */
export default function Run() {
  const { project, domain, run } = usePath<"project" | "domain" | "run">();
  const place = useMemo(() => ({ project, domain }), [project, domain]);
  const { values, set } = useUrl(URL_STATE);
  const [open, setOpen] = useState<ReadonlySet<string>>(new Set(["a0"]));
  const [pages, look] = usePages();
  const [showsFailures, setFailures] = useState(false);
  const [showsRetention, setRetention] = useState(false);
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
  const isOver = isTerminal(phase) && countOf(known, (one) => !isTerminal(one)) === 0;
  const canAbort = useMay()("run:abort") && !isTerminal(phase);
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
    { key: "a", does: "abort the run", run: () => canAbort && setAbort("a0") },
    { key: "y", does: "copy the link to exactly this", run: link },
    { key: "c", does: "copy the name", run: () => void navigator.clipboard.writeText(chosen) },
    {
      key: "/",
      does: "find an action",
      run: () => document.getElementById("find-action")?.focus(),
    },
  ]);
  useCommands([
    ...(!canAbort ? [] : [{ name: "Abort this run", keys: "a", run: () => setAbort("a0") }]),
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
        state={<Light state={isOver && state.kind === "live" ? { kind: "ended" } : state} />}
        onAbort={() => setAbort("a0")}
        onRetention={() => setRetention(true)}
      />
      <FailureLine
        failures={failures}
        total={countOf(known, isFailure)}
        onShow={choose}
        onAll={() => setFailures(true)}
      />
      <Suspense>
        <Strip place={place} run={run} isOver={isTerminal(phase)} onChoose={choose} />
      </Suspense>
      <Toolbar known={known} values={values} set={set} />
      <div className="run-split">
        <Boundary name="The tree">
          <RunTree
            place={place}
            run={run}
            known={known}
            lines={lines}
            chosen={chosen}
            isWide={values.view === "timeline"}
            zoom={values.t}
            onZoom={(t) => set({ t }, "replace")}
            onChoose={choose}
            onToggle={toggle}
            onLook={look}
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
      {showsFailures && (
        <Suspense>
          <Failures
            place={place}
            run={run}
            onClose={() => setFailures(false)}
            onChoose={(name) => {
              setFailures(false);
              choose(name);
            }}
          />
        </Suspense>
      )}
      {showsRetention && (
        <Suspense>
          <Retention place={place} run={run} onClose={() => setRetention(false)} />
        </Suspense>
      )}
      {abort !== undefined && (
        <Suspense>
          <Abort
            place={place}
            run={run}
            action={abort}
            title={known.rows.get(abort)?.title ?? abort}
            busy={countOf(known, (one) => !isTerminal(one))}
            onClose={() => setAbort(undefined)}
          />
        </Suspense>
      )}
    </div>
  );
}
