import type {
  Tree,
  TreeFold,
  TreeFoldCounts,
  TreeRow,
  TreeWindow,
} from "../gen/shared/idl/platform/v1/run_tree_pb";

/**
 * The tree of a run as the page shows it: windows of the server, flattened to rows.
 *
 * Children of one group, and more than FOLDED of one task, are one row that opens. The server sends only
 * the windows of open nodes, so a run of 50,000 actions is as small here as one of 50.
 */

/** Siblings of one task that are shown one by one. */
export const FOLDED = 50;
/** Rows of one window, and of all: limits of the server. */
export const PAGE = 200;
const MOST_NODES = 50;
const MOST_ROWS = 1000;

/** An open node of a view: children of an action, those of one fold, or all actions. */
export type Node = { parent: string; fold?: { group: string; task: string }; page: number };

export type Requested = { node: Node; offset: number; limit: number };

export type Line =
  | {
      kind: "action";
      key: string;
      depth: number;
      row: TreeRow;
      isOpen: boolean;
      hasChildren: boolean;
      at: number;
      of: number;
    }
  | {
      kind: "fold";
      key: string;
      depth: number;
      parent: string;
      counts: TreeFoldCounts;
      isOpen: boolean;
      at: number;
      of: number;
    }
  | { kind: "more"; key: string; depth: number; node: string; shown: number; total: number };

export type Known = {
  root: TreeRow | undefined;
  rows: ReadonlyMap<string, TreeRow>;
  windows: ReadonlyMap<string, TreeWindow>;
  phases: Tree["phases"];
  asOf: number;
};

export const NOTHING: Known = {
  root: undefined,
  rows: new Map(),
  windows: new Map(),
  phases: [],
  asOf: 0,
};

export function keyOfNode(parent: string, fold?: { group: string; task: string }): string {
  return fold === undefined ? parent : `${parent}/${fold.group}/${fold.task}`;
}

function keyOfRequested(requested: Requested): string {
  return `${keyOfNode(requested.node.parent, requested.node.fold)}#${requested.offset}`;
}

/** Takes a message of the stream into what is known; the first message has everything. */
export function fold(
  known: Known,
  requested: readonly Requested[],
  tree: Tree,
  isFirst: boolean,
): Known {
  const rows = new Map(isFirst ? [] : known.rows);
  const windows = new Map(isFirst ? [] : known.windows);
  for (const row of tree.ancestors) rows.set(row.name, row);
  for (const window of tree.windows) {
    const asked = requested[window.node];
    if (asked === undefined) continue;
    for (const row of window.rows) rows.set(row.name, row);
    windows.set(keyOfRequested(asked), window);
  }
  const root = tree.root ?? known.root;
  if (root !== undefined) rows.set(root.name, root);
  return {
    root,
    rows,
    windows,
    phases: tree.phases.length > 0 || isFirst ? tree.phases : known.phases,
    asOf: tree.asOf ? Number(tree.asOf.seconds) * 1000 : known.asOf,
  };
}

/** Whether children of a fold are shown as one row. */
export function isFolded(counts: TreeFoldCounts): boolean {
  return (
    Number(counts.total) > FOLDED || ((counts.fold?.group ?? "") !== "" && Number(counts.total) > 1)
  );
}

function foldOf(fold: TreeFold | undefined): { group: string; task: string } {
  return { group: fold?.group ?? "", task: fold?.task ?? "" };
}

/** The windows to ask the server for, so that everything that is open can be shown. */
export function plan(
  known: Known,
  open: ReadonlySet<string>,
  pages: ReadonlyMap<string, number>,
): Requested[] {
  const asked: Requested[] = [];
  let rows = 0;
  const ask = (node: Node, limit: number) => {
    for (let page = 0; page < node.page; page++) {
      const most = Math.min(limit, MOST_ROWS - rows);
      if (asked.length >= MOST_NODES || (limit > 0 && most <= 0)) return;
      asked.push({ node, offset: page * PAGE, limit: most });
      rows += most;
    }
  };
  const visit = (parent: string, depth: number) => {
    if (depth > 20 || !open.has(parent)) return;
    const window = known.windows.get(`${parent}#0`);
    const total = Number(window?.total ?? 0);
    const isLarge = total > PAGE && window !== undefined;
    ask({ parent, page: 1 }, isLarge ? 0 : total > FOLDED ? PAGE : FOLDED);
    for (const counts of window?.folds ?? []) {
      const one = foldOf(counts.fold);
      const key = keyOfNode(parent, one);
      if (isFolded(counts)) {
        if (open.has(key)) ask({ parent, fold: one, page: pages.get(key) ?? 1 }, PAGE);
      } else if (isLarge) {
        ask({ parent, fold: one, page: 1 }, FOLDED);
      }
    }
    for (const row of rowsBelow(known, parent)) {
      if (open.has(row.name)) visit(row.name, depth + 1);
    }
  };
  visit("a0", 0);
  return asked;
}

function rowsBelow(known: Known, parent: string): TreeRow[] {
  return [...known.rows.values()].filter((row) => row.parent === parent && row.name !== parent);
}

/** The rows to show, from top to bottom. */
export function flatten(known: Known, open: ReadonlySet<string>): Line[] {
  const lines: Line[] = [];
  const { root } = known;
  if (root === undefined) return lines;

  const visit = (row: TreeRow, depth: number, at: number, of: number) => {
    const hasChildren = row.children.length > 0;
    const isOpen = hasChildren && open.has(row.name);
    lines.push({ kind: "action", key: row.name, depth, row, isOpen, hasChildren, at, of });
    if (isOpen && depth < 20) children(row.name, depth + 1);
  };
  const children = (parent: string, depth: number) => {
    const window = known.windows.get(`${parent}#0`);
    if (window === undefined) return;
    const folded = window.folds.filter(isFolded);
    const single = window.folds.filter((counts) => !isFolded(counts));
    const names =
      window.names.length >= Number(window.total)
        ? window.names
        : single.flatMap(
            (counts) =>
              known.windows.get(`${keyOfNode(parent, foldOf(counts.fold))}#0`)?.names ?? [],
          );
    const hidden = new Set(folded.map((counts) => keyOfNode(parent, foldOf(counts.fold))));
    const shown = names
      .map((name) => known.rows.get(name))
      .filter((row) => row !== undefined)
      .filter((row) => !hidden.has(keyOfNode(parent, foldOf(row.fold))));
    const of = folded.length + shown.length;
    let at = 0;
    for (const counts of folded) {
      const key = keyOfNode(parent, foldOf(counts.fold));
      const isOpen = open.has(key);
      at += 1;
      lines.push({ kind: "fold", key, depth, parent, counts, isOpen, at, of });
      if (isOpen) folds(parent, counts, key, depth + 1);
    }
    for (const row of shown) {
      at += 1;
      visit(row, depth, at, of);
    }
  };
  const folds = (_parent: string, counts: TreeFoldCounts, key: string, depth: number) => {
    let shown = 0;
    const total = Number(counts.total);
    for (let offset = 0; ; offset += PAGE) {
      const window = known.windows.get(`${key}#${offset}`);
      if (window === undefined) break;
      for (const name of window.names) {
        const row = known.rows.get(name);
        if (row === undefined) continue;
        shown += 1;
        visit(row, depth, shown, total);
      }
    }
    if (shown > 0 && shown < total) {
      lines.push({ kind: "more", key: `${key}/more`, depth, node: key, shown, total });
    }
  };
  visit(root, 0, 1, 1);
  return lines;
}

/** The rows of a view of all actions, in the server's order. */
export function flattenAll(known: Known): Line[] {
  const lines: Line[] = [];
  const first = known.windows.get("#0");
  const total = Number(first?.total ?? 0);
  for (let offset = 0; ; offset += PAGE) {
    const window = known.windows.get(`#${offset}`);
    if (window === undefined) break;
    for (const name of window.names) {
      const row = known.rows.get(name);
      if (row === undefined) continue;
      const at = lines.length + 1;
      lines.push({
        kind: "action",
        key: name,
        depth: 0,
        row,
        isOpen: false,
        hasChildren: false,
        at,
        of: total,
      });
    }
  }
  if (lines.length > 0 && lines.length < total) {
    lines.push({ kind: "more", key: "/more", depth: 0, node: "", shown: lines.length, total });
  }
  return lines;
}
