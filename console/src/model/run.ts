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

/** What a reason code of docs/operations.md is about: a letter for bars, a shade, and a few words. */
export type ReasonLook = { letter: string; shade: number; words: string };

const REASONS: Readonly<Record<string, readonly [letter: string, shade: number, words: string]>> = {
  accepted_not_started: ["", 6, "starting"],
  backoff: ["B", 5, "backoff before a retry"],
  cascade: ["", 7, "the end of other actions"],
  cluster_silent: ["C", 1, "its cluster is silent"],
  deadlock: ["Q", 3, "limits that wait for each other"],
  equal_action: ["", 4, "an equal action runs"],
  fairness: ["F", 4, "other runs' turns"],
  image: ["I", 6, "pulling an image"],
  initializing: ["", 6, "initializing"],
  leased_not_accepted: ["", 6, "on its way to a cluster"],
  no_cluster: ["C", 1, "no cluster takes work"],
  no_credit: ["S", 2, "no free slot"],
  queue_full: ["Q", 3, "a full queue"],
  queue_limit: ["Q", 3, "a limit of its queue"],
  run_limit: ["Q", 3, "a limit of its run"],
  signal: ["", 7, "an answer"],
  stopping: ["", 7, "stopping"],
  storing_inputs: ["", 6, "storing its inputs"],
  unschedulable: ["U", 7, "no node for it"],
  waiting_for_resources: ["U", 7, "resources of its cluster"],
};

export function lookOfReason(reason: string): ReasonLook {
  const [letter, shade, words] = REASONS[reason] ?? ["", 0, reason.replaceAll("_", " ")];
  return { letter, shade, words };
}

export function wordsOfReason(reason: string): string {
  return lookOfReason(reason).words;
}
