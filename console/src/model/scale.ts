/** A part of the time, in milliseconds since 1970. */
export type Span = { from: number; until: number };

/** Where an instant is on an axis, from 0 to 1, and back. Idle time is narrower than its length. */
export type Scale = {
  at: (instant: number) => number;
  back: (share: number) => number;
  /** Idle time that is folded, with its place on the axis. */
  folded: readonly (Span & { left: number; right: number })[];
};

const LEAST = 60_000; // milliseconds of idle time that are worth folding
const LEAST_SHARE = 0.1; // of what is shown
const ROUNDING = 1e-6; // of averages
const WIDTH = 0.04; // of the axis, for each folded part
const MOST = 8; // folded parts; the shortest others stay

/**
 * The parts of the time, of at least a minute, in which nothing ran, or nothing but the run's root while
 * what it started waited.
 */
export function idleOf(
  since: number,
  until: number,
  buckets: readonly { running: number; starting: number; waiting: Record<string, number> }[],
): Span[] {
  const length = (until - since) / Math.max(1, buckets.length);
  const idle: Span[] = [];
  buckets.forEach((bucket, index) => {
    const busy = bucket.running + bucket.starting;
    const isWaiting = Object.values(bucket.waiting).some((count) => count > 0);
    if (busy > (isWaiting ? 1 + ROUNDING : 0)) return;
    const [from, end] = [since + index * length, since + (index + 1) * length];
    const last = idle.at(-1);
    if (last !== undefined && from - last.until < 1) last.until = end;
    else idle.push({ from, until: end });
  });
  return idle.filter((each) => each.until - each.from >= LEAST);
}

/** An axis over a span, on which long idle parts are folded to the same small width. */
export function makeScale(span: Span, idle: readonly Span[]): Scale {
  const length = Math.max(1, span.until - span.from);
  const folded = idle
    .map((each) => ({
      from: Math.max(span.from, each.from),
      until: Math.min(span.until, each.until),
    }))
    .filter((each) => each.until - each.from >= Math.max(LEAST, length * LEAST_SHARE))
    .sort((a, b) => b.until - b.from - (a.until - a.from))
    .slice(0, MOST)
    .sort((a, b) => a.from - b.from);
  const gone = folded.reduce((sum, each) => sum + each.until - each.from, 0);
  if (folded.length === 0 || gone >= length) return linear(span, length);

  // Points of a line that bends at the ends of the folded parts.
  const rate = (1 - folded.length * WIDTH) / (length - gone);
  const points = [{ instant: span.from, share: 0 }];
  const go = (instant: number, width: number) =>
    points.push({ instant, share: points.at(-1)!.share + width });
  const placed = folded.map((each) => {
    go(each.from, (each.from - points.at(-1)!.instant) * rate);
    const left = points.at(-1)!.share;
    go(each.until, WIDTH);
    return { ...each, left, right: points.at(-1)!.share };
  });
  go(span.until, (span.until - points.at(-1)!.instant) * rate);
  return {
    at: (instant) => between(points, "instant", "share", instant),
    back: (share) => between(points, "share", "instant", share),
    folded: placed,
  };
}

function linear(span: Span, length: number): Scale {
  return {
    at: (instant) => (instant - span.from) / length,
    back: (share) => span.from + share * length,
    folded: [],
  };
}

type Key = "instant" | "share";

function between(points: readonly Record<Key, number>[], by: Key, to: Key, value: number): number {
  const next = points.findIndex((point) => point[by] >= value);
  const [a, b] =
    next === -1
      ? [points.at(-2)!, points.at(-1)!]
      : next === 0
        ? [points[0]!, points[1]!]
        : [points[next - 1]!, points[next]!];
  if (b[by] === a[by]) return a[to];
  return a[to] + ((value - a[by]) / (b[by] - a[by])) * (b[to] - a[to]);
}
