import { ActionPhase } from "../gen/flyteidl2/common/phase_pb";

/** How a phase is drawn: word, glyph and colour, because colour alone is never the sign. */
export type PhaseLook = { word: string; name: string; glyph: string; rank: number };

const LOOKS: Record<ActionPhase, PhaseLook> = {
  [ActionPhase.UNSPECIFIED]: look("unknown", "unknown", "·", 9),
  [ActionPhase.FAILED]: look("failed", "failed", "✕", 0),
  [ActionPhase.TIMED_OUT]: look("timed out", "timed_out", "◷", 1),
  [ActionPhase.PAUSED]: look("paused", "paused", "‖", 2),
  [ActionPhase.RUNNING]: look("running", "running", "▶", 3),
  [ActionPhase.INITIALIZING]: look("initializing", "initializing", "◑", 4),
  [ActionPhase.WAITING_FOR_RESOURCES]: look("waiting", "waiting", "◔", 5),
  [ActionPhase.QUEUED]: look("queued", "queued", "◌", 6),
  [ActionPhase.ABORTED]: look("aborted", "aborted", "⊘", 7),
  [ActionPhase.RECOVERED]: look("recovered", "recovered", "↻", 8),
  [ActionPhase.SUCCEEDED]: look("succeeded", "succeeded", "✓", 8),
};

function look(word: string, name: string, glyph: string, rank: number): PhaseLook {
  return { word, name, glyph, rank };
}

export function lookOf(phase: ActionPhase): PhaseLook {
  return LOOKS[phase] ?? LOOKS[ActionPhase.UNSPECIFIED];
}

/** Phases in the order of attention: what failed first, what succeeded last. */
export const PHASES: readonly ActionPhase[] = (Object.keys(LOOKS) as unknown as ActionPhase[])
  .map(Number)
  .filter((phase) => phase !== ActionPhase.UNSPECIFIED)
  .sort((a, b) => lookOf(a).rank - lookOf(b).rank);

/** Phases by their name in URLs. */
export const PHASE_BY_NAME: ReadonlyMap<string, ActionPhase> = new Map(
  PHASES.map((phase) => [lookOf(phase).name, phase]),
);

const TERMINAL: ReadonlySet<ActionPhase> = new Set([
  ActionPhase.SUCCEEDED,
  ActionPhase.FAILED,
  ActionPhase.ABORTED,
  ActionPhase.TIMED_OUT,
  ActionPhase.RECOVERED,
]);

export function isTerminal(phase: ActionPhase): boolean {
  return TERMINAL.has(phase);
}

export function isFailure(phase: ActionPhase): boolean {
  return phase === ActionPhase.FAILED || phase === ActionPhase.TIMED_OUT;
}

export function isWaiting(phase: ActionPhase): boolean {
  return phase === ActionPhase.QUEUED || phase === ActionPhase.WAITING_FOR_RESOURCES;
}
