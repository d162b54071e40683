import { type PointerEvent, useState } from "react";
import { ticksOf } from "../../model/bars";
import { formatDuration } from "../../model/time";

export type Span = { from: number; until: number };

/** Ticks since the run's start. Dragging over them zooms to that part; a double click shows all. */
export function Axis({
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
