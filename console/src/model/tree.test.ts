import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { type Tree, TreeSchema } from "../gen/shared/idl/platform/v1/run_tree_pb";
import {
  flatten,
  flattenAll,
  fold,
  type Known,
  NOTHING,
  type Pages,
  pagesOf,
  plan,
  planAll,
  positionsOf,
  type Requested,
  rowAt,
} from "./tree";

const FOLD = { group: "", task: "t" };

function child(name: string, group = "", parent = "a0") {
  return { name, parent, title: name, phase: "succeeded", fold: { group, task: "t" } };
}

/** A tree as the server answers a plan, whose root has `count` children in one group. */
function answer(requested: readonly Requested[], count: number, group = ""): Tree {
  const names = Array.from({ length: count }, (_, index) => `c${index}`);
  return create(TreeSchema, {
    root: {
      name: "a0",
      title: "main",
      phase: "running",
      children: [{ phase: "succeeded", count: 1n }],
    },
    phases: [{ phase: "succeeded", count: BigInt(count) }],
    windows: requested.map(({ offset, limit }, node) => ({
      node,
      total: BigInt(count),
      folds: [{ fold: { ...FOLD, group }, total: BigInt(count), phases: [] }],
      names: names.slice(offset, offset + limit),
      rows: names.slice(offset, offset + limit).map((name) => child(name, group)),
    })),
  });
}

/** Asks and answers until the plan does not change any more, as the page and the server do. */
function settle(
  open: ReadonlySet<string>,
  count: number,
  group = "",
  pages: Pages = new Map(),
): Known {
  let known = NOTHING;
  for (let round = 0; round < 6; round++) {
    const asked = plan(known, open, pages);
    known = fold(known, asked, answer(asked, count, group), true);
  }
  return known;
}

it("shows a few children one by one", () => {
  const open = new Set(["a0"]);
  const keys = flatten(settle(open, 3), open).map((line) => line.key);
  expect(keys).toEqual(["a0", "c0", "c1", "c2"]);
});

it("shows 50,000 children as one row, and asks for none of them", () => {
  const open = new Set(["a0"]);
  const known = settle(open, 50_000);
  expect(flatten(known, open).map((line) => line.kind)).toEqual(["action", "fold"]);
  expect(plan(known, open, new Map()).reduce((sum, each) => sum + each.limit, 0)).toBe(0);
});

it("opens a fold of 50,000 with its first page, and one gap for the others", () => {
  const open = new Set(["a0", "a0//t"]);
  const lines = flatten(settle(open, 50_000), open);
  expect(lines).toHaveLength(2 + 200 + 1);
  expect(lines.at(-1)).toMatchObject({ kind: "gap", count: 49_800 });
  expect(positionsOf(lines).total).toBe(2 + 50_000);
});

it("shows the pages that are looked at, between two gaps", () => {
  const open = new Set(["a0", "a0//t"]);
  const pages = new Map([["a0//t", [100, 101]]]);
  const lines = flatten(settle(open, 50_000, "", pages), open);
  expect(lines).toHaveLength(2 + 1 + 400 + 1);
  expect(lines[2]).toMatchObject({ kind: "gap", count: 20_000 });
  expect(lines[3]).toMatchObject({ key: "c20000", at: 20_001, of: 50_000 });
  expect(lines.at(-1)).toMatchObject({ kind: "gap", count: 29_600 });
});

it("finds the line of every row", () => {
  const open = new Set(["a0", "a0//t"]);
  const lines = flatten(settle(open, 50_000, "", new Map([["a0//t", [3]]])), open);
  const { rows } = positionsOf(lines);
  expect(lines[rowAt(rows, 0)]).toMatchObject({ key: "a0" });
  expect(lines[rowAt(rows, 2 + 599)]).toMatchObject({ kind: "gap", count: 600 });
  expect(lines[rowAt(rows, 2 + 600)]).toMatchObject({ key: "c600" });
  expect(lines[rowAt(rows, 2 + 49_999)]).toMatchObject({ kind: "gap" });
});

it("lists many children one by one if each has another task", () => {
  const open = new Set(["a0"]);
  const many = answer([{ node: { parent: "a0" }, offset: 0, limit: 200 }], 900);
  for (const window of many.windows) {
    window.folds = Array.from({ length: 200 }, (_, index) => ({
      ...window.folds[0]!,
      fold: { ...window.folds[0]!.fold!, task: `t${index}` },
      total: 1n,
    }));
  }
  const known = fold(NOTHING, [{ node: { parent: "a0" }, offset: 0, limit: 200 }], many, true);
  const lines = flatten(known, open);
  expect(lines).toHaveLength(1 + 200 + 1);
  expect(plan(known, open, new Map([["a0", [2]]])).map((each) => each.offset)).toEqual([0, 400]);
});

it("asks for the pages with the rows on screen and a margin, at most four", () => {
  const looked = (first: number, last: number) => pagesOf(new Map([["", { first, last }]]), 60);
  expect(looked(0, 30).get("")).toEqual([0]);
  expect(looked(170, 200).get("")).toEqual([0, 1]);
  expect(looked(10_300, 10_330).get("")).toEqual([51]);
  expect(looked(0, 50_000).get("")).toHaveLength(4);
  expect(planAll(looked(170, 200)).map((each) => each.offset)).toEqual([0, 200]);
  expect(flattenAll(NOTHING)).toEqual([]);
});

it("never asks for more than the server gives", () => {
  const open = new Set(["a0", "a0//t"]);
  const pages = new Map([["a0//t", Array.from({ length: 400 }, (_, index) => index)]]);
  const asked = plan(settle(open, 50_000), open, pages);
  expect(asked.length).toBeLessThanOrEqual(50);
  expect(asked.reduce((sum, each) => sum + each.limit, 0)).toBeLessThanOrEqual(1000);
});

it("folds a group, however small", () => {
  const open = new Set(["a0"]);
  const lines = flatten(settle(open, 3, "shards"), open);
  expect(lines.map((line) => line.key)).toEqual(["a0", "a0/shards/t"]);
});

it("keeps what a change does not mention", () => {
  const open = new Set(["a0"]);
  const known = settle(open, 3);
  const asked = plan(known, open, new Map());
  const change = create(TreeSchema, {
    windows: [
      {
        node: 0,
        total: 3n,
        folds: [{ fold: FOLD, total: 3n }],
        names: ["c0", "c1", "c2"],
        rows: [{ ...child("c1"), phase: "failed" }],
      },
    ],
  });
  const after = fold(known, asked, change, false);
  expect(after.rows.get("c1")?.phase).toBe("failed");
  expect(after.rows.get("c0")?.phase).toBe("succeeded");
  expect(after.root?.name).toBe("a0");
});
