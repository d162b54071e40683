import { ActionPhase } from "../gen/flyteidl2/common/phase_pb";
import type { TreeRow } from "../gen/shared/idl/platform/v1/run_tree_pb";
import { isTerminal, lookOf } from "./phases";
import { lookOfReason, phaseOfWord } from "./run";
import { formatDuration, msOf } from "./time";

/** A piece of an action's bar, in milliseconds since 1970. */
export type Piece = {
  from: number;
  until: number;
  kind: "waiting" | "running";
  name: string;
  title: string;
  letter: string;
};

export type Bar = { pieces: Piece[]; end: string; from: number; until: number; isOpen: boolean };

/** Splits an action's life: waiting before each attempt's start, and running until its end. */
export function barOf(row: TreeRow, now: number): Bar | undefined {
  const enqueued = msOf(row.enqueuedAt);
  if (enqueued === undefined) return undefined;
  const phase = phaseOfWord(row.phase);
  const over = isTerminal(phase);
  const ended = msOf(row.endedAt) ?? (over ? enqueued : now);
  const pieces: Piece[] = [];
  const push = (
    from: number,
    until: number,
    kind: Piece["kind"],
    name: string,
    title: string,
    letter = "",
  ) => {
    if (until > from)
      pieces.push({
        from,
        until,
        kind,
        name,
        letter,
        title: `${title} ${formatDuration(until - from)}`,
      });
  };
  let at = enqueued;
  for (const attempt of row.latestAttempts) {
    const started = msOf(attempt.startedAt);
    const stopped = msOf(attempt.endedAt);
    const attemptPhase = phaseOfWord(attempt.phase);
    const waitedUntil = started ?? stopped ?? ended;
    const which = row.attempts > 1 ? `attempt ${attempt.number} ` : "";
    push(
      at,
      waitedUntil,
      "waiting",
      "waiting",
      `${which}waited`,
      started ? "" : lookOfReason(row.reason).letter,
    );
    at = waitedUntil;
    if (started !== undefined) {
      const until = stopped ?? ended;
      const look = stopped === undefined ? lookOf(phase) : lookOf(attemptPhase);
      push(
        started,
        until,
        "running",
        look.name,
        `${which}${look.word === "running" ? "running for" : `${look.word} after`}`,
      );
      at = until;
    }
  }
  if (row.latestAttempts.length === 0) {
    const started = msOf(row.startedAt);
    const waitedUntil = started ?? (row.kind === "task" ? ended : enqueued);
    push(enqueued, waitedUntil, "waiting", "waiting", "waited", lookOfReason(row.reason).letter);
    push(waitedUntil, ended, "running", lookOf(phase).name, lookOf(phase).word);
  } else if (!over && at < now) {
    push(
      at,
      now,
      "waiting",
      "waiting",
      "waits for its next attempt",
      lookOfReason(row.reason).letter,
    );
  }
  return {
    pieces,
    from: enqueued,
    until: Math.max(ended, enqueued),
    end: over && phase !== ActionPhase.SUCCEEDED ? lookOf(phase).glyph : "",
    isOpen: !over,
  };
}

/** How long an action waited and ran, in milliseconds. */
export function waitedAndRan(row: TreeRow, now: number): { waited: number; ran: number } {
  const bar = barOf(row, now);
  const sum = (kind: Piece["kind"]) =>
    (bar?.pieces ?? [])
      .filter((piece) => piece.kind === kind)
      .reduce((all, { from, until }) => all + until - from, 0);
  return { waited: sum("waiting"), ran: sum("running") };
}

/** Round steps of a time axis: at most `most` ticks over a span in milliseconds. */
export function ticksOf(span: number, most: number): number[] {
  const steps = [
    1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 3e4, 6e4, 3e5, 6e5, 18e5, 36e5, 108e5,
    216e5, 864e5,
  ];
  const step = steps.find((each) => span / each <= most) ?? Math.ceil(span / most / 864e5) * 864e5;
  return Array.from({ length: Math.floor(span / step) + 1 }, (_, index) => index * step);
}
