import type { GetQueueHistoryResponse } from "../gen/shared/idl/platform/v1/queue_pb";
import { msOf, msOfDuration } from "./time";

/** A bar of a chart of a queue's work: its start and the longest wait in milliseconds, and actions. */
export type Bar = { at: number; waiting: number; assigned: number; waited: number };

/** Spreads the buckets of an answer, which has those with work only, over all bars of its time. */
export function barsOf(
  history: Pick<GetQueueHistoryResponse, "since" | "until" | "buckets">,
  count: number,
): Bar[] {
  const [since, until] = [msOf(history.since) ?? 0, msOf(history.until) ?? 0];
  const length = (until - since) / count;
  const bars = Array.from({ length: count }, (_, place) => ({
    at: since + place * length,
    waiting: 0,
    assigned: 0,
    waited: 0,
  }));
  for (const bucket of history.buckets) {
    const bar = bars[Math.round(((msOf(bucket.beganAt) ?? 0) - since) / length)];
    if (bar === undefined) continue;
    bar.waiting = bucket.waiting;
    bar.assigned = bucket.assigned;
    bar.waited = msOfDuration(bucket.waited) ?? 0;
  }
  return bars;
}
