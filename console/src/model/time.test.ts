import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatAgo, formatDuration, formatInstant, parseSince } from "./time";

describe("durations", () => {
  it.each([
    [0, "0 ms"],
    [840, "840 ms"],
    [4_200, "4.2 s"],
    [59_940, "59.9 s"],
    [59_960, "1m 00s"],
    [842_000, "14m 02s"],
    [3_599_600, "1h 00m"],
    [11_100_000, "3h 05m"],
    [187_200_000, "2d 04h"],
  ])("writes %d ms as %s", (ms, words) => {
    expect(formatDuration(ms)).toBe(words);
  });

  it("has never sixty of a smaller unit", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1e10 }), (ms) => {
        expect(formatDuration(ms)).not.toMatch(/\b60(m|s| s)/);
      }),
    );
  });
});

describe("instants", () => {
  it("says its zone", () => {
    expect(formatInstant(Date.UTC(2026, 10, 29, 12, 3, 11), "utc")).toBe("2026-11-29 12:03:11 UTC");
  });

  it("says how long ago it was", () => {
    expect(formatAgo(0, 3_000)).toBe("just now");
    expect(formatAgo(0, 200_000)).toBe("3 min ago");
    expect(formatAgo(60_000, 0)).toBe("in 1m 00s");
  });

  it("reads a span of time, and nothing else", () => {
    expect(parseSince("24h")).toBe(86_400_000);
    expect(parseSince("yesterday")).toBeUndefined();
  });
});
