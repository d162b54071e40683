import { ActionPhase } from "../gen/flyteidl2/common/phase_pb";
import { lookOf, PHASES } from "./phases";

const BY_WORD = new Map(PHASES.map((phase) => [ActionPhase[phase]!.toLowerCase(), phase]));

/** The phase of a word of the platform API: `running`, `timed_out`, `waiting for resources`. */
export function phaseOfWord(word: string): ActionPhase {
  return BY_WORD.get(word.toLowerCase().replaceAll(" ", "_")) ?? ActionPhase.UNSPECIFIED;
}

/** The word of the platform API for a phase. */
export function wordOfPhase(phase: ActionPhase): string {
  return (ActionPhase[phase] ?? "").toLowerCase();
}

/** Counts by phase, in the order of attention. */
export function sortCounts(
  counts: Iterable<readonly [ActionPhase, number]>,
): Map<ActionPhase, number> {
  return new Map([...counts].sort(([a], [b]) => lookOf(a).rank - lookOf(b).rank));
}

/** What a reason code of docs/operations.md is about: a letter for bars, and a shade. */
export type ReasonLook = { letter: string; shade: number };

const REASONS: readonly (readonly [RegExp, ReasonLook])[] = [
  [/cluster|silent|pool/, { letter: "C", shade: 1 }],
  [/slot|credit|capacity/, { letter: "S", shade: 2 }],
  [/queue|concurrency|limit/, { letter: "Q", shade: 3 }],
  [/fair|turn|other/, { letter: "F", shade: 4 }],
  [/backoff|retry/, { letter: "B", shade: 5 }],
  [/image|pull|init/, { letter: "I", shade: 6 }],
  [/schedul|node|resource/, { letter: "U", shade: 7 }],
];

export function lookOfReason(reason: string): ReasonLook {
  return REASONS.find(([pattern]) => pattern.test(reason))?.[1] ?? { letter: "", shade: 0 };
}

/** Masks what differs between failures of one kind: numbers, hashes, quoted names. */
export function maskMessage(message: string): string {
  return message
    .split("\n", 1)[0]!
    .replace(/\b[0-9a-f]{8,}\b/gi, "#")
    .replace(/\d+(\.\d+)?/g, "#")
    .slice(0, 200);
}
