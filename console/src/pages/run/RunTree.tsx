import { msOf } from "../../model/time";
import type { Known, Line, Looked } from "../../model/tree";
import { useNow } from "../../parts/basics";
import { useKeys } from "../../shell/keys";
import type { Span } from "./Axis";
import { TreeGrid } from "./TreeGrid";

/** The actions in time, and the part of the time that is shown. */
export function RunTree(props: {
  known: Known;
  lines: readonly Line[];
  chosen: string;
  isWide: boolean;
  isFlat: boolean;
  zoom: string;
  onZoom: (zoom: string) => void;
  onChoose: (name: string) => void;
  onToggle: (key: string) => void;
  onLook: (looked: Looked) => void;
}) {
  const { known } = props;
  const root = known.root!;
  const isOver = root.endedAt !== undefined;
  const now = useNow(!isOver);
  const from = msOf(root.enqueuedAt) ?? now;
  const until = Math.max(from + 1, msOf(root.endedAt) ?? now);
  const zoom = /^(\d+),(\d+)$/.exec(props.zoom);
  const span: Span = zoom
    ? {
        from: from + Number(zoom[1]),
        until: Math.max(from + Number(zoom[1]) + 1, from + Number(zoom[2])),
      }
    : { from, until };
  const zoomTo = (part?: Span) => {
    const [first, last] = [Math.max(0, part?.from ?? 0), Math.min(until - from, part?.until ?? 0)];
    props.onZoom(
      part === undefined || last - first >= until - from
        ? ""
        : `${Math.round(first)},${Math.round(last)}`,
    );
  };
  const scale = (factor: number) => {
    const middle = (span.from + span.until) / 2 - from;
    const half = ((span.until - span.from) / 2) * factor;
    zoomTo({ from: middle - half, until: middle + half });
  };
  useKeys([
    { key: "+", does: "zoom into the timeline", run: () => scale(0.5) },
    { key: "-", does: "zoom out of the timeline", run: () => scale(2) },
    { key: "0", does: "show the whole timeline", run: () => zoomTo() },
  ]);
  if (props.lines.length === 0) {
    return (
      <p className="tree-none quiet">
        {props.isFlat ? "No action of this run matches." : "Loading the actions …"}
      </p>
    );
  }
  return (
    <TreeGrid
      lines={props.lines}
      chosen={props.chosen}
      span={span}
      origin={from}
      onZoom={zoomTo}
      isWide={props.isWide}
      onChoose={props.onChoose}
      onToggle={props.onToggle}
      onLook={props.onLook}
      titleOf={
        props.isFlat
          ? (name) => (name === "" ? undefined : (known.rows.get(name)?.title ?? name))
          : undefined
      }
    />
  );
}
