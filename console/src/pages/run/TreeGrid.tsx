import { useVirtualizer, type VirtualItem } from "@tanstack/react-virtual";
import { type KeyboardEvent, useEffect, useMemo, useRef } from "react";
import { barOf } from "../../model/bars";
import { phaseOfWord, sortCounts } from "../../model/run";
import type { Scale, Span } from "../../model/scale";
import { formatDuration, msOf, msOfDuration } from "../../model/time";
import { type Line, type Looked, positionsOf, rowAt, rowsOf } from "../../model/tree";
import { Name, Phase, PhaseBar, useNow } from "../../parts/basics";
import { usePreferences } from "../../shell/preferences";
import { Axis } from "./Axis";

/**
 * The rows of a run as a tree grid: names, bars in time, durations.
 *
 * Only the rows on screen are elements; each has its true level and position for screen readers. Rows that
 * are not loaded are one gap as high as they are; `onLook` tells which rows of each list are on screen.
 * Arrows move, right and left open and close, Enter selects.
 */
export function TreeGrid(props: {
  lines: readonly Line[];
  chosen: string;
  span: Span;
  scale: Scale;
  origin: number;
  isWide: boolean;
  onZoom: (part?: Span) => void;
  onChoose: (name: string) => void;
  onToggle: (key: string) => void;
  onLook: (looked: Looked) => void;
  titleOf?: (name: string) => string | undefined;
}) {
  const { lines, chosen } = props;
  const box = useRef<HTMLDivElement>(null);
  const { density } = usePreferences();
  const height = density === "compact" ? 26 : 34;
  const virtual = useVirtualizer({
    count: lines.length,
    getScrollElement: () => box.current,
    estimateSize: (index) => rowsOf(lines[index]!) * height,
    getItemKey: (index) => lines[index]?.key ?? index,
    overscan: 12,
  });
  // biome-ignore lint/correctness/useExhaustiveDependencies: another density has other heights
  useEffect(() => virtual.measure(), [height]);
  const items = virtual.getVirtualItems();
  const { onLook } = props;
  const looked = lookedAt(lines, items, virtual.scrollOffset ?? 0, box.current, height);
  // biome-ignore lint/correctness/useExhaustiveDependencies: what the map says, not which map it is
  useEffect(() => onLook(looked), [onLook, JSON.stringify([...looked])]);

  const { rows, total } = useMemo(() => positionsOf(lines), [lines]);
  const awaited = useRef<number | undefined>(undefined);
  const index = lines.findIndex((line) => line.key === chosen);
  /** Moves to a row by its number; one that is not loaded gets the focus once it is. */
  const focusRow = (number: number) => {
    const row = Math.min(total - 1, Math.max(0, number));
    const at = rowAt(rows, row);
    const line = lines[at];
    if (line === undefined) return;
    if (line.kind === "gap") {
      awaited.current = row;
      virtual.scrollToOffset(row * height - height * 2);
      return;
    }
    awaited.current = undefined;
    virtual.scrollToIndex(at, { align: "auto" });
    props.onChoose(line.key);
    requestAnimationFrame(() =>
      box.current?.querySelector<HTMLElement>(`[data-row="${at}"]`)?.focus(),
    );
  };
  // biome-ignore lint/correctness/useExhaustiveDependencies: rows that have come, and nothing else
  useEffect(() => {
    const row = awaited.current;
    if (row !== undefined && lines[rowAt(rows, row)]?.kind !== "gap") focusRow(row);
  }, [lines]);
  const onKeyDown = (event: KeyboardEvent) => {
    const at = Number(
      (event.target as HTMLElement).closest("[data-row]")?.getAttribute("data-row") ?? index,
    );
    const line = lines[at];
    if (line === undefined || line.kind === "gap" || event.ctrlKey || event.metaKey) return;
    const row = rows[at]!;
    const screen = Math.max(1, Math.floor((box.current?.clientHeight ?? 0) / height) - 1);
    if (event.key === "ArrowDown" || event.key === "j") focusRow(row + 1);
    else if (event.key === "ArrowUp" || event.key === "k") focusRow(row - 1);
    else if (event.key === "PageDown") focusRow(row + screen);
    else if (event.key === "PageUp") focusRow(row - screen);
    else if (event.key === "Home") focusRow(0);
    else if (event.key === "End") focusRow(total - 1);
    else if (event.key === "ArrowRight" || event.key === "l") {
      if (isClosed(line)) props.onToggle(line.key);
      else focusRow(row + 1);
    } else if (event.key === "ArrowLeft" || event.key === "h") {
      if (line.isOpen) props.onToggle(line.key);
      else focusRow(rows[parentOf(lines, at)]!);
    } else if (event.key === "Enter" || event.key === " ") {
      if (line.kind === "fold") props.onToggle(line.key);
      else props.onChoose(line.key);
    } else return;
    event.preventDefault();
  };
  const focusable = Math.max(index, 0);
  return (
    <div className={`tree ${props.isWide ? "tree-wide" : ""}`}>
      <div className="tree-head" aria-hidden="true">
        <span>Action</span>
        <Axis span={props.span} scale={props.scale} origin={props.origin} onZoom={props.onZoom} />
        <span className="right">Took</span>
      </div>
      <div
        ref={box}
        className="tree-body"
        role="treegrid"
        aria-label="Actions"
        aria-rowcount={total}
        onKeyDown={onKeyDown}
      >
        <div role="presentation" style={{ height: virtual.getTotalSize(), position: "relative" }}>
          {items.map((item) => {
            const line = lines[item.index]!;
            const place = { height: item.size, transform: `translateY(${item.start}px)` };
            if (line.kind === "gap") {
              return (
                <div
                  key={item.key}
                  role="presentation"
                  className="tree-row tree-gap"
                  style={{ ...place, backgroundSize: `40% ${height}px` }}
                />
              );
            }
            return (
              // biome-ignore lint/a11y/useKeyWithClickEvents: the grid around it takes the keys
              <div
                key={item.key}
                role="row"
                className={`tree-row ${line.key === chosen ? "chosen" : ""} tree-${line.kind}`}
                data-row={item.index}
                tabIndex={item.index === focusable ? 0 : -1}
                aria-rowindex={rows[item.index]! + 1}
                aria-level={line.depth + 1}
                aria-selected={line.key === chosen}
                aria-expanded={expandedOf(line)}
                aria-posinset={line.at}
                aria-setsize={line.of}
                style={place}
                onClick={() => {
                  if (line.kind === "fold") props.onToggle(line.key);
                  else props.onChoose(line.key);
                }}
              >
                <RowCells
                  line={line}
                  span={props.span}
                  scale={props.scale}
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

/** The rows of each list that are on screen, by the key of their node. */
function lookedAt(
  lines: readonly Line[],
  items: readonly VirtualItem[],
  top: number,
  box: HTMLElement | null,
  height: number,
): Looked {
  const looked = new Map<string, { first: number; last: number }>();
  const bottom = top + (box?.clientHeight ?? 0);
  for (const item of items) {
    const line = lines[item.index];
    if (line === undefined || line.kind === "fold" || line.position === undefined) continue;
    const { node, index } = line.position;
    let [first, last] = [index, index];
    if (line.kind === "gap") {
      if (item.end <= top || item.start >= bottom) continue;
      first = index + Math.floor(Math.max(0, top - item.start) / height);
      last = index + Math.floor((Math.min(item.end, bottom) - item.start - 1) / height);
    }
    const before = looked.get(node);
    looked.set(node, {
      first: Math.min(first, before?.first ?? first),
      last: Math.max(last, before?.last ?? last),
    });
  }
  return looked;
}

type Shown = Exclude<Line, { kind: "gap" }>;

function isClosed(line: Shown): boolean {
  return (
    (line.kind === "fold" && !line.isOpen) ||
    (line.kind === "action" && line.hasChildren && !line.isOpen)
  );
}

function expandedOf(line: Shown): boolean | undefined {
  if (line.kind === "fold") return line.isOpen;
  return line.kind === "action" && line.hasChildren ? line.isOpen : undefined;
}

function parentOf(lines: readonly Line[], at: number): number {
  const depth = lines[at]?.depth ?? 0;
  for (let index = at - 1; index >= 0; index--) if (lines[index]!.depth < depth) return index;
  return at;
}

function RowCells(props: {
  line: Shown;
  span: Span;
  scale: Scale;
  onToggle: (key: string) => void;
  titleOf?: (name: string) => string | undefined;
}) {
  const { line } = props;
  const indent = { paddingInlineStart: 8 + line.depth * 16 };
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
        <ActionBar line={line} span={props.span} scale={props.scale} />
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

function ActionBar({
  line,
  span,
  scale,
}: {
  line: Extract<Line, { kind: "action" }>;
  span: Span;
  scale: Scale;
}) {
  const isOver = line.row.endedAt !== undefined;
  const now = useNow(!isOver);
  const bar = barOf(line.row, now);
  if (bar === undefined) return null;
  const at = (ms: number) => `${Math.min(1, Math.max(0, scale.at(ms))) * 100}%`;
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
