import { makeScale, type Span } from "../../model/scale";
import { msOf } from "../../model/time";
import type { Known, Line, Looked } from "../../model/tree";
import { useNow } from "../../parts/basics";
import { useKeys } from "../../shell/keys";
import type { Place } from "../../shell/url";
import { TreeGrid } from "./TreeGrid";
import { useIdle } from "./useIdle";

const LEAST_FOLDED = 300_000; // milliseconds of a timeline in which idle time is folded

/** The actions in time, and the part of the time that is shown. */
export function RunTree(props: {
  place: Place;
  run: string;
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
  const idle = useIdle(props.place, props.run, {
    isOver,
    isShown: props.isWide && span.until - span.from > LEAST_FOLDED,
  });
  const scale = makeScale(span, idle);
  const zoomTo = (part?: Span) => {
    const [first, last] = [Math.max(0, part?.from ?? 0), Math.min(until - from, part?.until ?? 0)];
    props.onZoom(
      part === undefined || last - first >= until - from
        ? ""
        : `${Math.round(first)},${Math.round(last)}`,
    );
  };
  const zoomBy = (factor: number) => {
    const middle = (span.from + span.until) / 2 - from;
    const half = ((span.until - span.from) / 2) * factor;
    zoomTo({ from: middle - half, until: middle + half });
  };
  useKeys([
    { key: "+", does: "zoom into the timeline", run: () => zoomBy(0.5) },
    { key: "-", does: "zoom out of the timeline", run: () => zoomBy(2) },
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
      scale={scale}
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
