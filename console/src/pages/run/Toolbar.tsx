import { useEffect, useState } from "react";
import { lookOf } from "../../model/phases";
import { phaseOfWord, sortCounts } from "../../model/run";
import type { Known } from "../../model/tree";
import { Phase } from "../../parts/basics";
import type { RunUrl } from "./state";

/** Counts by phase that filter, the views, the order, and a field that finds actions. */
export function Toolbar({
  known,
  values,
  set,
}: {
  known: Known;
  values: RunUrl["values"];
  set: RunUrl["set"];
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
