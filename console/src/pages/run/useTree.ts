import { useCallback, useEffect, useRef, useState } from "react";
import { client } from "../../api/clients";
import { type StreamState, useLive } from "../../api/stream";
import { RunTreeService, type Tree } from "../../gen/shared/idl/platform/v1/run_tree_pb";
import {
  fold,
  type Known,
  type Looked,
  NOTHING,
  type Pages,
  pagesOf,
  plan,
  planAll,
} from "../../model/tree";
import type { Place } from "../../shell/url";

export const trees = client(RunTreeService);

export type TreeOptions = {
  /** Open nodes of the tree; not used when all actions are listed. */
  open: ReadonlySet<string>;
  pages: Pages;
  sort: string;
  phases: readonly string[];
  text: string;
  /** Lists all actions, at any depth, in place of the tree. */
  isFlat: boolean;
};

type State = { known: Known; isFirst: boolean };

/**
 * Follows the windows of a run's tree that are open.
 *
 * What has come decides what to ask for next, such as the folds of a window. Another view is another
 * call; what is shown stays until its first message.
 */
export function useTree(
  place: Place,
  run: string,
  options: TreeOptions,
): { known: Known; state: StreamState } {
  const family = `tree ${place.project}/${place.domain}/${run}`;
  const [planned, setPlanned] = useState({ family, known: NOTHING });
  const known = planned.family === family ? planned.known : NOTHING;
  const requested = options.isFlat
    ? planAll(options.pages)
    : plan(known, options.open, options.pages);
  const { sort, phases, text } = options;
  const key = JSON.stringify([requested, sort, phases, text]);
  const shown = useLive<Tree, State>(family, key, () => ({
    open: async function* (signal) {
      const view = {
        nodes: requested.map(({ node, offset, limit }) => ({
          parent: node.parent,
          fold: node.fold,
          offset,
          limit,
        })),
        sort,
        phases: [...phases],
        text,
      };
      for await (const message of trees.watchTree({ ...place, run, view }, { signal })) {
        if (message.tree !== undefined) yield message.tree;
      }
    },
    empty: () => ({ known: NOTHING, isFirst: true }),
    fold: (state, tree) => ({
      known: fold(state.known, requested, tree, state.isFirst),
      isFirst: false,
    }),
  }));
  const latest = shown.value?.known;
  if (latest !== undefined && latest !== planned.known) setPlanned({ family, known: latest });
  return { known: latest ?? NOTHING, state: shown.state };
}

const MARGIN = 60; // rows before and after those on screen
const SETTLED = 80; // milliseconds without scrolling to other pages

/** The pages of lists that are looked at, a moment after scrolling. */
export function usePages(): [Pages, (looked: Looked) => void] {
  const [pages, setPages] = useState<Pages>(new Map());
  const timer = useRef<ReturnType<typeof setTimeout>>(undefined);
  const asked = useRef("[]");
  useEffect(() => () => clearTimeout(timer.current), []);
  const look = useCallback((looked: Looked) => {
    const next = pagesOf(looked, MARGIN);
    const text = JSON.stringify([...next]);
    if (text === asked.current) return;
    asked.current = text;
    clearTimeout(timer.current);
    timer.current = setTimeout(() => setPages(next), SETTLED);
  }, []);
  return [pages, look];
}
