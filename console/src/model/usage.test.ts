import { expect, test } from "vitest";
import { daysOf, hours, monthsUntil } from "./usage";

test("months go back over the turn of the year, in UTC", () => {
  expect(monthsUntil(Date.UTC(2026, 1, 1, 0, 30), 3)).toEqual(["2026-02", "2026-01", "2025-12"]);
  expect(monthsUntil(Date.UTC(2026, 2, 31, 23), 2)).toEqual(["2026-03", "2026-02"]);
});

test("a month has all of its days, and what is no month has none", () => {
  expect(daysOf("2028-02")).toHaveLength(29);
  expect(daysOf("2026-11").at(-1)).toBe("2026-11-30");
  expect(daysOf("2026-13")).toEqual([]);
  expect(daysOf("")).toEqual([]);
});

test("hours have as many digits as say something", () => {
  expect([0, 10, 90, 3600 * 3.42, 3600 * 1204.4].map(hours)).toEqual([
    "0",
    "< 0.01",
    "0.03",
    "3.4",
    "1,204",
  ]);
});
