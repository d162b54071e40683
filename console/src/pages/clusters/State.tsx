const GLYPHS: Record<string, string> = {
  ready: "✓",
  cordoned: "‖",
  draining: "◑",
  silent: "✕",
  "never connected": "◌",
};
const LOOKS: Record<string, string> = {
  ready: "succeeded",
  cordoned: "paused",
  draining: "initializing",
  silent: "failed",
  "never connected": "queued",
};

/** The state of a cluster as glyph, word and colour. */
export function ClusterState({ state }: { state: string }) {
  return (
    <span className={`phase phase-${LOOKS[state] ?? "queued"}`}>
      <span className="glyph" aria-hidden="true">
        {GLYPHS[state] ?? "·"}
      </span>
      {state}
    </span>
  );
}
