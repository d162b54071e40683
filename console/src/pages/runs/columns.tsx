import type { RunRow } from "../../gen/shared/idl/platform/v1/run_pb";
import { phaseOfWord } from "../../model/run";
import { msOf } from "../../model/time";
import { someOf } from "../../model/url";
import { Ago, Name, Phase, To } from "../../parts/basics";
import { Menu } from "../../parts/Menu";
import type { Column } from "../../parts/Table";
import { setPreferences, usePreferences } from "../../shell/preferences";
import { type Place, runPath, useUrl } from "../../shell/url";
import { Actions, Labels, Problem, sourceOf, TaskName, WaitedRan } from "./cells";

/** Columns that can be left out, in their order; state and name stay. */
export const OPTIONAL = {
  task: "Task",
  actions: "Actions",
  started: "Started",
  took: "Waited + ran",
  error: "Error",
  by: "By",
  source: "Source",
  labels: "Labels",
} as const;
type ColumnId = keyof typeof OPTIONAL;
const IDS = Object.keys(OPTIONAL) as ColumnId[];
const URL_STATE = { cols: someOf(IDS) };

/** The columns that are shown: those of the address, else those that were chosen last in this browser. */
export function useColumns(): { shown: readonly ColumnId[]; choose: (ids: ColumnId[]) => void } {
  const { values, set } = useUrl(URL_STATE);
  const { runColumns } = usePreferences();
  const known = (names: readonly string[]) => IDS.filter((id) => names.includes(id));
  const shown = values.cols.length > 0 ? known(values.cols) : known(runColumns);
  return {
    shown: shown.length > 0 ? shown : IDS,
    choose: (ids) => {
      const isAll = ids.length === IDS.length;
      setPreferences({ runColumns: isAll ? [] : ids });
      set({ cols: isAll ? [] : ids }, "replace");
    },
  };
}

export function ColumnChooser({ shown, choose }: ReturnType<typeof useColumns>) {
  return (
    <Menu label="Columns">
      {IDS.map((id) => (
        <label key={id} className="check">
          <input
            type="checkbox"
            checked={shown.includes(id)}
            disabled={shown.length === 1 && shown.includes(id)}
            onChange={(event) =>
              choose(
                IDS.filter((each) => (each === id ? event.target.checked : shown.includes(each))),
              )
            }
          />{" "}
          {OPTIONAL[id]}
        </label>
      ))}
    </Menu>
  );
}

/** The columns of the list, without the one that chooses runs. */
export function columnsOf(
  place: Place,
  shown: readonly ColumnId[],
  chooseLabel: (label: string) => void,
): Column<RunRow>[] {
  const optional: Record<ColumnId, Omit<Column<RunRow>, "name">> = {
    task: { cell: (run) => <TaskName run={run} place={place} /> },
    actions: { cell: (run) => <Actions run={run} /> },
    started: { cell: (run) => <Ago at={msOf(run.createdAt)} /> },
    took: { align: "right", cell: (run) => <WaitedRan run={run} /> },
    error: { cell: (run) => <Problem run={run} /> },
    by: { cell: (run) => run.createdBy },
    source: { cell: sourceOf },
    labels: { cell: (run) => <Labels run={run} choose={chooseLabel} /> },
  };
  return [
    { name: "State", cell: (run) => <Phase phase={phaseOfWord(run.phase)} /> },
    {
      name: "Run",
      cell: (run) => (
        <To to={runPath(place, run.run)}>
          <Name>{run.run}</Name>
        </To>
      ),
    },
    ...shown.map((id) => ({ name: OPTIONAL[id], ...optional[id] })),
  ];
}
