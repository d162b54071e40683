import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useMemo } from "react";
import type { ActionPhase } from "../../gen/flyteidl2/common/phase_pb";
import type { TreeRow } from "../../gen/shared/idl/platform/v1/run_tree_pb";
import { isFailure } from "../../model/phases";
import { phaseOfWord } from "../../model/run";
import type { Known } from "../../model/tree";
import type { Place } from "../../shell/url";
import { trees } from "./useTree";

/** How many actions of a run are in phases that fit. */
export function countOf(known: Known, wanted: (phase: ActionPhase) => boolean): number {
  return known.phases
    .filter(({ phase }) => wanted(phaseOfWord(phase)))
    .reduce((sum, { count }) => sum + Number(count), 0);
}

/** The failures of a run, the deepest first: those whose own children did not fail. */
export function useFailures(place: Place, run: string, known: Known): TreeRow[] {
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
