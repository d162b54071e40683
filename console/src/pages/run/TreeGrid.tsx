import { useVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, type PointerEvent, useEffect, useRef, useState } from "react";
import { barOf, ticksOf } from "../../model/bars";
import { phaseOfWord, sortCounts } from "../../model/run";
import { formatDuration, msOf, msOfDuration } from "../../model/time";
import type { Line } from "../../model/tree";
import { Name, Phase, PhaseBar, useNow } from "../../parts/basics";
import { usePreferences } from "../../shell/preferences";

export type Span = { from: number; until: number };

/**
 * The rows of a run as a tree grid: names, bars in time, durations.
 *
 * Only the rows on screen are elements; each has its true level and position for screen readers. Arrows
 * move, right and left open and close, Enter selects.
 */
export function TreeGrid(props: {
  lines: readonly Line[];
  chosen: string;
  span: Span;
  origin: number;
  isWide: boolean;
  onZoom: (part?: Span) => void;
  onChoose: (name: string) => void;
  onToggle: (key: string) => void;
  onMore: (node: string) => void;
  titleOf?: (name: string) => string | undefined;
}) {
  const { lines, chosen } = props;
  const box = useRef<HTMLDivElement>(null);
  const { density } = usePreferences();
  const height = density === "compact" ? 26 : 34;
  const virtual = useVirtualizer({
    count: lines.length,
    getScrollElement: () => box.current,
    estimateSize: () => height,
    getItemKey: (index) => lines[index]?.key ?? index,
    overscan: 12,
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: another density has other heights
  useEffect(() => virtual.measure(), [height]);

  const index = lines.findIndex((line) => line.key === chosen);
  const focusRow = (at: number) => {
    const line = lines[at];
    if (line === undefined) return;
    virtual.scrollToIndex(at, { align: "auto" });
    if (line.kind !== "more") props.onChoose(line.key);
    requestAnimationFrame(() =>
      box.current?.querySelector<HTMLElement>(`[data-row="${at}"]`)?.focus(),
    );
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const at = Number(
      (event.target as HTMLElement).closest("[data-row]")?.getAttribute("data-row") ?? index,
    );
    const line = lines[at];
    if (line === undefined || event.ctrlKey || event.metaKey) return;
    if (event.key === "ArrowDown" || event.key === "j") focusRow(at + 1);
    else if (event.key === "ArrowUp" || event.key === "k") focusRow(Math.max(0, at - 1));
    else if (event.key === "Home") focusRow(0);
    else if (event.key === "End") focusRow(lines.length - 1);
    else if (event.key === "ArrowRight" || event.key === "l") {
      if (isClosed(line)) props.onToggle(line.key);
      else focusRow(at + 1);
    } else if (event.key === "ArrowLeft" || event.key === "h") {
      if (line.kind !== "more" && line.isOpen) props.onToggle(line.key);
      else focusRow(parentOf(lines, at));
    } else if (event.key === "Enter" || event.key === " ") {
      if (line.kind === "more") props.onMore(line.node);
      else if (line.kind === "fold") props.onToggle(line.key);
      else props.onChoose(line.key);
    } else return;
    event.preventDefault();
  };
  const focusable = Math.max(index, 0);
  return (
    <div className={`tree ${props.isWide ? "tree-wide" : ""}`}>
      <div className="tree-head" aria-hidden="true">
        <span>Action</span>
        <Axis span={props.span} origin={props.origin} onZoom={props.onZoom} />
        <span className="right">Took</span>
      </div>
      <div
        ref={box}
        className="tree-body"
        role="treegrid"
        aria-label="Actions"
        aria-rowcount={lines.length}
        onKeyDown={onKeyDown}
      >
        <div role="presentation" style={{ height: virtual.getTotalSize(), position: "relative" }}>
          {virtual.getVirtualItems().map((item) => {
            const line = lines[item.index]!;
            return (
              // biome-ignore lint/a11y/useKeyWithClickEvents: the grid around it takes the keys
              <div
                key={item.key}
                role="row"
                className={`tree-row ${line.key === chosen ? "chosen" : ""} tree-${line.kind}`}
                data-row={item.index}
                tabIndex={item.index === focusable ? 0 : -1}
                aria-rowindex={item.index + 1}
                aria-level={line.depth + 1}
                aria-selected={line.key === chosen}
                aria-expanded={expandedOf(line)}
                aria-posinset={line.kind === "more" ? undefined : line.at}
                aria-setsize={line.kind === "more" ? undefined : line.of}
                style={{ height, transform: `translateY(${item.start}px)` }}
                onClick={() => {
                  if (line.kind === "more") props.onMore(line.node);
                  else if (line.kind === "fold") props.onToggle(line.key);
                  else props.onChoose(line.key);
                }}
              >
                <RowCells
                  line={line}
                  span={props.span}
                  onToggle={props.onToggle}
                  titleOf={props.titleOf}
                />
              </div>
            );
          })}
        </div>
      </div>
    </div>
  );
}

function isClosed(line: Line): boolean {
  return (
    (line.kind === "fold" && !line.isOpen) ||
    (line.kind === "action" && line.hasChildren && !line.isOpen)
  );
}

function expandedOf(line: Line): boolean | undefined {
  if (line.kind === "fold") return line.isOpen;
  return line.kind === "action" && line.hasChildren ? line.isOpen : undefined;
}

function parentOf(lines: readonly Line[], at: number): number {
  const depth = lines[at]?.depth ?? 0;
  for (let index = at - 1; index >= 0; index--) if (lines[index]!.depth < depth) return index;
  return at;
}

function RowCells(props: {
  line: Line;
  span: Span;
  onToggle: (key: string) => void;
  titleOf?: (name: string) => string | undefined;
}) {
  const { line } = props;
  const indent = { paddingInlineStart: 8 + line.depth * 16 };
  if (line.kind === "more") {
    return (
      <span role="gridcell" className="tree-name" style={indent}>
        <span className="twist" />
        <span className="link-like">
          … {(line.total - line.shown).toLocaleString("en")} more of{" "}
          {line.total.toLocaleString("en")}
        </span>
      </span>
    );
  }
  const twist = (
    <button
      type="button"
      className="twist"
      tabIndex={-1}
      aria-hidden="true"
      onClick={(event) => {
        event.stopPropagation();
        props.onToggle(line.key);
      }}
    >
      {line.isOpen ? "▾" : "▸"}
    </button>
  );
  if (line.kind === "fold") return <FoldCells line={line} indent={indent} twist={twist} />;
  const { row } = line;
  const parent = props.titleOf?.(row.parent);
  return (
    <>
      <span role="gridcell" className="tree-name" style={indent}>
        {line.hasChildren ? twist : <span className="twist" />}
        <Phase phase={phaseOfWord(row.phase)} bare />
        <Name>{row.title || row.name}</Name>
        {row.kind !== "task" && <span className="quiet kind">{row.kind}</span>}
        {row.attempts > 1 && <span className="quiet kind">{row.attempts} attempts</span>}
        {row.cacheStatus === "hit" && <span className="quiet kind">cached</span>}
        {parent !== undefined && <span className="quiet kind">in {parent}</span>}
      </span>
      <span role="gridcell" className="tree-bar">
        <ActionBar line={line} span={props.span} />
      </span>
      <Length row={row} />
    </>
  );
}

function Length({ row }: { row: Extract<Line, { kind: "action" }>["row"] }) {
  const enqueued = msOf(row.enqueuedAt);
  const ended = msOf(row.endedAt);
  const now = useNow(ended === undefined);
  return (
    <span role="gridcell" className="tree-time num">
      {enqueued === undefined ? "" : formatDuration((ended ?? now) - enqueued)}
    </span>
  );
}

function FoldCells(props: {
  line: Extract<Line, { kind: "fold" }>;
  indent: { paddingInlineStart: number };
  twist: React.ReactNode;
}) {
  const { counts } = props.line;
  const phases = sortCounts(
    counts.phases.map(({ phase, count }) => [phaseOfWord(phase), Number(count)]),
  );
  const { group = "", task = "" } = counts.fold ?? {};
  const [worst] = phases.keys();
  const short = task.split(".").at(-1) ?? "";
  const median = msOfDuration(counts.median);
  const longest = msOfDuration(counts.longest);
  return (
    <>
      <span role="gridcell" className="tree-name" style={props.indent}>
        {props.twist}
        {worst !== undefined && <Phase phase={worst} bare />}
        <Name>{group || short || "traces and conditions"}</Name>
        <span className="quiet kind">
          {group !== "" && short !== "" && `${short} `}×{Number(counts.total).toLocaleString("en")}
        </span>
      </span>
      <span role="gridcell" className="tree-bar tree-counts">
        <PhaseBar counts={phases} />
        <span className="quiet num fold-words">
          {[...phases].map(([phase, count]) => (
            <span key={phase} className="fold-count">
              <Phase phase={phase} bare /> {count.toLocaleString("en")}
            </span>
          ))}
        </span>
      </span>
      <span
        role="gridcell"
        className="tree-time num"
        title={median === undefined ? undefined : `median ${formatDuration(median)}`}
      >
        {longest === undefined ? "" : `≤ ${formatDuration(longest)}`}
      </span>
    </>
  );
}

function ActionBar({ line, span }: { line: Extract<Line, { kind: "action" }>; span: Span }) {
  const isOver = line.row.endedAt !== undefined;
  const now = useNow(!isOver);
  const bar = barOf(line.row, now);
  if (bar === undefined) return null;
  const length = Math.max(1, span.until - span.from);
  const at = (ms: number) => `${Math.min(100, Math.max(0, ((ms - span.from) / length) * 100))}%`;
  const title = bar.pieces.map((piece) => piece.title).join(", ");
  return (
    <span className="bar" role="img" aria-label={title || "no time"} title={title}>
      {bar.pieces
        .filter((piece) => piece.until > span.from && piece.from < span.until)
        .map((piece) => (
          <span
            key={`${piece.kind}${piece.from}`}
            className={`piece bar-${piece.name}`}
            style={{ left: at(piece.from), right: `calc(100% - ${at(piece.until)})` }}
          >
            {piece.letter}
          </span>
        ))}
      {bar.end !== "" && bar.until <= span.until && (
        <span className={`bar-end phase-${line.row.phase}`} style={{ left: at(bar.until) }}>
          {bar.end}
        </span>
      )}
    </span>
  );
}

/** Ticks since the run's start. Dragging over them zooms to that part; a double click shows all. */
function Axis({
  span,
  origin,
  onZoom,
}: {
  span: Span;
  origin: number;
  onZoom: (part?: Span) => void;
}) {
  const length = Math.max(1, span.until - span.from);
  const start = span.from - origin;
  const [dragged, setDragged] = useState<{ from: number; until: number } | undefined>();
  const shareOf = (event: PointerEvent) => {
    const box = event.currentTarget.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
  };
  const end = () => {
    if (dragged !== undefined && Math.abs(dragged.until - dragged.from) > 0.01) {
      const [from, until] = [dragged.from, dragged.until].sort((a, b) => a - b) as [number, number];
      onZoom({ from: start + from * length, until: start + until * length });
    }
    setDragged(undefined);
  };
  return (
    // biome-ignore lint/a11y/noStaticElementInteractions: the keys + - 0 do the same
    <span
      className="axis"
      title="Drag to zoom, double-click to show all"
      onPointerDown={(event) => {
        event.currentTarget.setPointerCapture(event.pointerId);
        setDragged({ from: shareOf(event), until: shareOf(event) });
      }}
      onPointerMove={(event) =>
        dragged && setDragged({ from: dragged.from, until: shareOf(event) })
      }
      onPointerUp={end}
      onDoubleClick={() => onZoom()}
    >
      {dragged !== undefined && (
        <span
          className="axis-drag"
          style={{
            left: `${Math.min(dragged.from, dragged.until) * 100}%`,
            width: `${Math.abs(dragged.until - dragged.from) * 100}%`,
          }}
        />
      )}
      {ticksOf(length, 6).map((tick) => (
        <span key={tick} style={{ left: `${(tick / length) * 100}%` }} className="axis-tick num">
          {start + tick === 0 ? "0" : formatDuration(start + tick).replace(/ 00s$|\.0(?= s)/, "")}
        </span>
      ))}
    </span>
  );
}
