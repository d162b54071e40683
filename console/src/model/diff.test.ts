import fc from "fast-check";
import { expect, it } from "vitest";
import { changesOf } from "./diff";

it("names fields that were added, changed and removed", () => {
  expect(changesOf({ a: 1, b: { c: [1, 2] } }, { b: { c: [1, 3] }, d: "x" })).toEqual([
    { path: "a", before: "1", after: "" },
    { path: "b.c[1]", before: "2", after: "3" },
    { path: "d", before: "", after: "x" },
  ]);
});

it("finds nothing between equal values", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      expect(changesOf(value, structuredClone(value))).toEqual([]);
    }),
  );
});
