import { create } from "@bufbuild/protobuf";
import { durationFromMs, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import { GetQueueHistoryResponseSchema } from "../gen/shared/idl/platform/v1/queue_pb";
import { barsOf } from "./queue-history";

const SINCE = 1_764_000_000_000;

test("buckets with work stand at their time, between bars without", () => {
  const history = create(GetQueueHistoryResponseSchema, {
    since: timestampFromMs(SINCE),
    until: timestampFromMs(SINCE + 4_000),
    buckets: [
      { beganAt: timestampFromMs(SINCE + 1_000), waiting: 3, waited: durationFromMs(2_500) },
      { beganAt: timestampFromMs(SINCE + 3_000), assigned: 2 },
    ],
  });
  expect(barsOf(history, 4)).toEqual([
    { at: SINCE, waiting: 0, assigned: 0, waited: 0 },
    { at: SINCE + 1_000, waiting: 3, assigned: 0, waited: 2_500 },
    { at: SINCE + 2_000, waiting: 0, assigned: 0, waited: 0 },
    { at: SINCE + 3_000, waiting: 0, assigned: 2, waited: 0 },
  ]);
});

test("a time without work has empty bars only", () => {
  const history = create(GetQueueHistoryResponseSchema, {
    since: timestampFromMs(SINCE),
    until: timestampFromMs(SINCE + 1_000),
  });
  expect(barsOf(history, 2).map(({ waiting, assigned }) => waiting + assigned)).toEqual([0, 0]);
});
