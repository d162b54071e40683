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
const MOST_PAGES = 4; // of a list: what is on screen, and a margin

/** An open node of a view: children of an action, those of one fold, or all actions (no parent). */
export type Node = { parent: string; fold?: { group: string; task: string } };

export type Requested = { node: Node; offset: number; limit: number };

/** Pages of the lists that are looked at, by the key of their node; the first page if it has none. */
export type Pages = ReadonlyMap<string, readonly number[]>;

/** Position of a row in a list of pages. */
export type Position = { node: string; index: number };

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
      position?: Position;
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
  /** Rows of a list that are not loaded, in one line that is as high as they are. */
  | { kind: "gap"; key: string; depth: number; position: Position; count: number };

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

/** The windows to ask the server for, so that what is open and looked at can be shown. */
export function plan(known: Known, open: ReadonlySet<string>, pages: Pages): Requested[] {
  const asked: Requested[] = [];
  let rows = 0;
  const ask = (node: Node, offset: number, limit: number) => {
    const most = Math.min(limit, MOST_ROWS - rows);
    if (asked.length >= MOST_NODES || (limit > 0 && most <= 0)) return;
    asked.push({ node, offset, limit: most });
    rows += most;
  };
  const askPages = (node: Node) => {
    const looked = pages.get(keyOfNode(node.parent, node.fold)) ?? [0];
    for (const page of looked.slice(0, MOST_PAGES)) ask(node, page * PAGE, PAGE);
  };
  const visit = (parent: string, depth: number) => {
    if (depth > 20 || !open.has(parent)) return;
    const window = known.windows.get(`${parent}#0`);
    const folds = window?.folds ?? [];
    const total = Number(window?.total ?? 0);
    if (total <= PAGE) ask({ parent }, 0, total > FOLDED ? PAGE : FOLDED);
    else if (isPlainList(folds)) {
      if (pages.has(parent) && !pages.get(parent)!.includes(0)) ask({ parent }, 0, 0);
      askPages({ parent });
    } else ask({ parent }, 0, 0);
    for (const counts of folds) {
      const one = foldOf(counts.fold);
      if (isFolded(counts)) {
        if (open.has(keyOfNode(parent, one))) askPages({ parent, fold: one });
      } else if (total > PAGE && !isPlainList(folds)) {
        ask({ parent, fold: one }, 0, FOLDED);
      }
    }
    for (const row of known.rows.values()) {
      if (row.parent === parent && row.name !== parent && open.has(row.name)) {
        visit(row.name, depth + 1);
      }
    }
  };
  visit("a0", 0);
  return asked;
}

/** The windows of a view of all actions, at any depth. */
export function planAll(pages: Pages): Requested[] {
  const looked = pages.get("") ?? [0];
  return looked
    .slice(0, MOST_PAGES)
    .map((page) => ({ node: { parent: "" }, offset: page * PAGE, limit: PAGE }));
}

/** Whether children are listed one by one although there are many, because each has another task. */
function isPlainList(folds: readonly TreeFoldCounts[]): boolean {
  return !folds.some(isFolded);
}

/** The pages of each list that hold rows which are looked at, with `margin` rows before and after. */
export function pagesOf(looked: Looked, margin: number): Map<string, number[]> {
  const pages = new Map<string, number[]>();
  for (const [node, { first, last }] of looked) {
    const from = Math.floor(Math.max(0, first - margin) / PAGE);
    const until = Math.floor((last + margin) / PAGE);
    const most = Math.min(until - from + 1, MOST_PAGES);
    pages.set(
      node,
      Array.from({ length: most }, (_, index) => from + index),
    );
  }
  return pages;
}

/** Windows by the key of their node, each with its offset, in order. */
function windowsByNode(known: Known): Map<string, { offset: number; window: TreeWindow }[]> {
  const found = new Map<string, { offset: number; window: TreeWindow }[]>();
  for (const [key, window] of known.windows) {
    const [node = "", offset = "0"] = key.split(/#(?=\d+$)/);
    const of = found.get(node) ?? [];
    of.push({ offset: Number(offset), window });
    found.set(node, of);
  }
  for (const of of found.values()) of.sort((a, b) => a.offset - b.offset);
  return found;
}

type Lists = ReturnType<typeof windowsByNode>;

/** Adds the rows of a list that are loaded, and gaps in place of the others. */
function addList(
  lines: Line[],
  known: Known,
  lists: Lists,
  { node, total, depth }: { node: string; total: number; depth: number },
  add: (row: TreeRow, position: Position) => void,
) {
  let next = 0;
  const gap = (until: number) => {
    if (until <= next) return;
    const position = { node, index: next };
    lines.push({ kind: "gap", key: `${node}#${next}`, depth, position, count: until - next });
    next = until;
  };
  for (const { offset, window } of lists.get(node) ?? []) {
    if (window.names.length === 0) continue;
    gap(Math.min(offset, total));
    window.names.forEach((name, index) => {
      const row = known.rows.get(name);
      if (row === undefined || offset + index < next) return;
      add(row, { node, index: offset + index });
      next = offset + index + 1;
    });
  }
  gap(total);
}

/** The rows to show, from top to bottom. */
export function flatten(known: Known, open: ReadonlySet<string>): Line[] {
  const lines: Line[] = [];
  const { root } = known;
  if (root === undefined) return lines;
  const lists = windowsByNode(known);

  const visit = (row: TreeRow, depth: number, at: number, of: number, position?: Position) => {
    const hasChildren = row.children.length > 0;
    const isOpen = hasChildren && open.has(row.name);
    lines.push({
      kind: "action",
      key: row.name,
      depth,
      row,
      isOpen,
      hasChildren,
      at,
      of,
      position,
    });
    if (isOpen && depth < 20) children(row.name, depth + 1);
  };
  const addPages = (node: string, total: number, depth: number) =>
    addList(lines, known, lists, { node, total, depth }, (row, position) =>
      visit(row, depth, position.index + 1, total, position),
    );
  const children = (parent: string, depth: number) => {
    const window = known.windows.get(`${parent}#0`);
    if (window === undefined) return;
    const total = Number(window.total);
    if (total > PAGE && isPlainList(window.folds)) {
      addPages(parent, total, depth);
      return;
    }
    const folded = window.folds.filter(isFolded);
    const single = window.folds.filter((counts) => !isFolded(counts));
    const names =
      window.names.length >= total
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
      if (isOpen) addPages(key, Number(counts.total), depth + 1);
    }
    for (const row of shown) {
      at += 1;
      visit(row, depth, at, of);
    }
  };
  visit(root, 0, 1, 1);
  return lines;
}

/** The rows of a view of all actions, in the server's order. */
export function flattenAll(known: Known): Line[] {
  const lines: Line[] = [];
  const lists = windowsByNode(known);
  const total = Number(lists.get("")?.[0]?.window.total ?? 0);
  addList(lines, known, lists, { node: "", total, depth: 0 }, (row, position) =>
    lines.push({
      kind: "action",
      key: row.name,
      depth: 0,
      row,
      isOpen: false,
      hasChildren: false,
      at: position.index + 1,
      of: total,
      position,
    }),
  );
  return lines;
}

/** Rows of lists that are on screen, by the key of their node. */
export type Looked = ReadonlyMap<string, { first: number; last: number }>;

/** The number of each line's first row, from 0, and how many rows there are. */
export function positionsOf(lines: readonly Line[]): { rows: number[]; total: number } {
  let total = 0;
  const rows = lines.map((line) => {
    total += rowsOf(line);
    return total - rowsOf(line);
  });
  return { rows, total };
}

/** The line that holds a row. */
export function rowAt(rows: readonly number[], row: number): number {
  let [low, high] = [0, rows.length - 1];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (rows[middle]! <= row) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** How many rows a line stands for. */
export function rowsOf(line: Line): number {
  return line.kind === "gap" ? line.count : 1;
}
