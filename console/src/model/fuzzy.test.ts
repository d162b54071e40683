import { describe, expect, it } from "vitest";
import { rank, score } from "./fuzzy";

describe("finding by letters", () => {
  it("puts what begins so before what contains it", () => {
    expect(rank("train", ["retrain", "train", "trace"], (each) => each, 9)).toEqual([
      "train",
      "retrain",
    ]);
  });

  it("finds the first letters of words", () => {
    expect(score("gtr", "Go to Runs")).toBeGreaterThan(0);
    expect(score("xyz", "Go to Runs")).toBe(0);
  });
});
