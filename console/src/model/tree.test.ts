import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { type Tree, TreeSchema } from "../gen/shared/idl/platform/v1/run_tree_pb";
import { flatten, fold, type Known, NOTHING, plan, type Requested } from "./tree";

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
  pages = new Map<string, number>(),
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

it("opens a page of a fold, and says how many there are", () => {
  const open = new Set(["a0", "a0//t"]);
  const lines = flatten(settle(open, 50_000), open);
  expect(lines).toHaveLength(2 + 200 + 1);
  expect(lines.at(-1)).toMatchObject({ kind: "more", shown: 200, total: 50_000 });
});

it("shows the next page when it is asked to", () => {
  const open = new Set(["a0", "a0//t"]);
  const lines = flatten(settle(open, 50_000, "", new Map([["a0//t", 2]])), open);
  expect(lines.at(-1)).toMatchObject({ kind: "more", shown: 400 });
});

it("never asks for more than the server gives", () => {
  const open = new Set(["a0", "a0//t"]);
  const asked = plan(settle(open, 50_000), open, new Map([["a0//t", 400]]));
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
