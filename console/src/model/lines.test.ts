import { expect, it } from "vitest";
import { parseLines, writeLines } from "./lines";

it("names with values are lines, and become the same again", () => {
  const entries = { b: "2=3", a: "1", empty: "" };
  expect(writeLines(entries)).toBe("a=1\nb=2=3\nempty=");
  expect(parseLines("Headers", `\n${writeLines(entries)}\n\n`)).toEqual(entries);
});

it("a line without a name or a value is said", () => {
  expect(() => parseLines("Headers", "a=1\nb")).toThrow("Headers: the line b must be NAME=value");
  expect(() => parseLines("Headers", "=1")).toThrow("the line =1");
});
