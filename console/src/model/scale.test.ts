import { expect, it } from "vitest";
import { idleOf, makeScale } from "./scale";

const MINUTE = 60_000;
const busy = { running: 1, starting: 0, waiting: {} };
const idle = { running: 0, starting: 0, waiting: {} };
const held = { running: 1, starting: 0, waiting: { signal: 1 } };

it("finds idle time of at least a minute", () => {
  const buckets = [busy, idle, idle, idle, busy, idle, busy];
  expect(idleOf(0, 7 * MINUTE, buckets)).toEqual([
    { from: MINUTE, until: 4 * MINUTE },
    { from: 5 * MINUTE, until: 6 * MINUTE },
  ]);
  expect(idleOf(0, 3 * MINUTE, [busy, held, { ...held, running: 2 }])).toEqual([
    { from: MINUTE, until: 2 * MINUTE },
  ]);
  expect(idleOf(0, 7000, buckets)).toEqual([]);
  expect(idleOf(0, 0, [])).toEqual([]);
});

it("is a straight line without idle time", () => {
  const scale = makeScale({ from: 100, until: 300 }, []);
  expect([100, 200, 300].map(scale.at)).toEqual([0, 0.5, 1]);
  expect(scale.back(0.5)).toBe(200);
  expect(scale.folded).toEqual([]);
});

it("folds two hours of idle time between two minutes", () => {
  const span = { from: 0, until: 122 * MINUTE };
  const scale = makeScale(span, [{ from: MINUTE, until: 121 * MINUTE }]);
  expect(scale.at(MINUTE)).toBeCloseTo(0.48);
  expect(scale.at(121 * MINUTE)).toBeCloseTo(0.52);
  expect(scale.at(span.until)).toBeCloseTo(1);
  expect(scale.folded).toHaveLength(1);
});

it("maps a place on the axis back to its instant", () => {
  const span = { from: 1000, until: 1000 + 100 * MINUTE };
  const scale = makeScale(span, [
    { from: 1000 + 5 * MINUTE, until: 1000 + 45 * MINUTE },
    { from: 1000 + 50 * MINUTE, until: 1000 + 95 * MINUTE },
  ]);
  for (let minute = 0; minute <= 100; minute += 3) {
    const instant = 1000 + minute * MINUTE;
    expect(scale.back(scale.at(instant))).toBeCloseTo(instant, 3);
  }
});

it("grows with the time, and does not fold what is short for the span", () => {
  const scale = makeScale({ from: 0, until: 100 * MINUTE }, [
    { from: 10 * MINUTE, until: 12 * MINUTE },
    { from: 20 * MINUTE, until: 60 * MINUTE },
  ]);
  expect(scale.folded).toHaveLength(1);
  const places = Array.from({ length: 101 }, (_, minute) => scale.at(minute * MINUTE));
  expect(places.every((place, index) => index === 0 || place > places[index - 1]!)).toBe(true);
});

it("does not fold everything", () => {
  const span = { from: 0, until: 10 * MINUTE };
  expect(makeScale(span, [span]).folded).toEqual([]);
});
