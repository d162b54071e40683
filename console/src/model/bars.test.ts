import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TreeRowSchema } from "../gen/shared/idl/platform/v1/run_tree_pb";
import { barOf, ticksOf, waitedAndRan } from "./bars";

const at = timestampFromMs;

describe("bars", () => {
  it("splits an action with a retry into waiting and running", () => {
    const row = create(TreeRowSchema, {
      kind: "task",
      phase: "failed",
      attempts: 2,
      enqueuedAt: at(1000),
      endedAt: at(9000),
      latestAttempts: [
        { number: 1, phase: "failed", startedAt: at(2000), endedAt: at(4000) },
        { number: 2, phase: "failed", startedAt: at(5000), endedAt: at(9000) },
      ],
    });
    const pieces = barOf(row, 0)!.pieces.map(({ from, until, kind }) => [from, until, kind]);
    expect(pieces).toEqual([
      [1000, 2000, "waiting"],
      [2000, 4000, "running"],
      [4000, 5000, "waiting"],
      [5000, 9000, "running"],
    ]);
    expect(waitedAndRan(row, 0)).toEqual({ waited: 2000, ran: 6000 });
  });

  it("waits until now when no cluster has taken it", () => {
    const row = create(TreeRowSchema, {
      kind: "task",
      phase: "queued",
      enqueuedAt: at(1000),
      reason: "no_credit",
    });
    expect(barOf(row, 5000)).toMatchObject({
      isOpen: true,
      pieces: [{ from: 1000, until: 5000, letter: "S" }],
    });
  });

  it("has as many ticks as fit, at round times", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1e10 }), (span) => {
        const ticks = ticksOf(span, 6);
        expect(ticks.length).toBeLessThanOrEqual(7);
        expect(ticks.at(-1)!).toBeLessThanOrEqual(span);
      }),
    );
  });
});
