import { type PointerEvent, useState } from "react";
import { ticksOf } from "../../model/bars";
import type { Scale, Span } from "../../model/scale";
import { formatDuration } from "../../model/time";

const TICKS = 5; // at most, so that their words do not touch
const LAST = 0.93; // of the axis: words of a later tick would be cut
const LEAST_APART = 0.08; // of the axis, between two ticks

/** Ticks since the run's start. Dragging over them zooms to that part; a double click shows all. */
export function Axis({
  span,
  scale,
  origin,
  onZoom,
}: {
  span: Span;
  scale: Scale;
  origin: number;
  onZoom: (part?: Span) => void;
}) {
  const gone = scale.folded.reduce((sum, each) => sum + each.until - each.from, 0);
  const length = Math.max(1, span.until - span.from - gone);
  const [dragged, setDragged] = useState<{ from: number; until: number } | undefined>();
  const shareOf = (event: PointerEvent) => {
    const box = event.currentTarget.getBoundingClientRect();
    return Math.min(1, Math.max(0, (event.clientX - box.left) / box.width));
  };
  const end = () => {
    if (dragged !== undefined && Math.abs(dragged.until - dragged.from) > 0.01) {
      const [from, until] = [dragged.from, dragged.until].sort((a, b) => a - b) as [number, number];
      onZoom({ from: scale.back(from) - origin, until: scale.back(until) - origin });
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
      {scale.folded.map((each) => (
        <span
          key={each.from}
          className="axis-fold"
          title={`${formatDuration(each.until - each.from)} in which nothing ran but what waits`}
          style={{ left: `${each.left * 100}%`, width: `${(each.right - each.left) * 100}%` }}
        />
      ))}
      {ticksOn(scale, span, origin, length)
        .filter((instant) => scale.at(origin + instant) <= LAST)
        .map((instant) => (
          <span
            key={instant}
            style={{ left: `${scale.at(origin + instant) * 100}%` }}
            className="axis-tick num"
          >
            {instant === 0 ? "0" : formatDuration(instant).replace(/ 00s$|\.0(?= s)/, "")}
          </span>
        ))}
    </span>
  );
}

/** Instants for ticks, in milliseconds since the origin: none in folded time, and none too close. */
function ticksOn(scale: Scale, span: Span, origin: number, length: number): number[] {
  const start = span.from - origin;
  if (scale.folded.length === 0) return ticksOf(length, TICKS).map((tick) => start + tick);
  const [, step = length] = ticksOf(length, TICKS);
  const shown: number[] = [start];
  const parts = [span.from, ...scale.folded.map((each) => each.until)];
  const ends = [...scale.folded.map((each) => each.from), span.until];
  parts.forEach((from, part) => {
    const first = part === 0 ? start + step : Math.ceil((from - origin) / step) * step;
    for (let tick = first; tick <= ends[part]! - origin; tick += step) {
      const before = scale.at(origin + shown.at(-1)!);
      if (scale.at(origin + tick) - before >= LEAST_APART) shown.push(tick);
    }
  });
  return shown;
}
