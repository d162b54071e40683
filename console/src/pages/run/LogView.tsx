import { useVirtualizer } from "@tanstack/react-virtual";
import { type ReactNode, useEffect, useRef, useState } from "react";
import { parseAnsi, splitLinks } from "../../model/ansi";
import { formatInstant } from "../../model/time";
import { useKeys } from "../../shell/keys";
import { usePreferences } from "../../shell/preferences";

export type LogLine = {
  number: number;
  at: number | undefined;
  text: string;
  isSystem: boolean;
  level?: string;
};

/** Lines that match, by number and in order, and what to say about them. */
export type Matches = { lines: readonly number[]; words: string };

const LONG = 10_000; // characters of a line that are shown at first
const HEIGHT = 20; // pixels of a line that is not wrapped
/** Lines that are laid out at once: browsers have no element higher than 17 million pixels. */
const PART = 400_000;
const EDGE = 1000; // lines from the end of a part, at which the next one is shown

/** The first line of a part that has a line in its middle, if the log has more than one part. */
function partAround(index: number, count: number): number {
  return Math.max(0, Math.min(count - PART, index - PART / 2));
}

/**
 * A log: its bar, and its lines, of which only those on screen are elements.
 *
 * `lineAt` gives the line of an index, or nothing while it is being read; `onShow` tells which are looked at.
 */
export function LogView(props: {
  count: number;
  first: number;
  lineAt: (index: number) => LogLine | undefined;
  onShow?: (from: number, until: number) => void;
  find: string;
  onFind: (find: string) => void;
  matches: Matches;
  marked: number;
  onLine: (line: number) => void;
  canFollow: boolean;
  none: string;
  note?: string;
  children: ReactNode;
}) {
  const [follow, setFollow] = useState(props.marked === 0);
  const [wrap, setWrap] = useState(false);
  const [times, setTimes] = useState(false);
  const [current, setCurrent] = useState(0);
  const findBox = useRef<HTMLInputElement>(null);
  const { lines } = props.matches;
  const at = Math.min(current, lines.length - 1);
  const step = (by: number) => {
    if (lines.length === 0) return;
    setFollow(false);
    setCurrent((at + by + lines.length) % lines.length);
  };
  useKeys([
    { key: "/", does: "find in the log", run: () => findBox.current?.focus() },
    { key: "n", does: "next match in the log", run: () => step(1) },
    { key: "N", does: "previous match in the log", run: () => step(-1) },
    { key: "f", does: "follow the log's end", run: () => setFollow(!follow) },
  ]);
  const reveal = lines[at] ?? (props.marked > 0 ? props.marked : undefined);
  return (
    <div className="log">
      <div className="log-bar">
        <input
          ref={findBox}
          type="search"
          placeholder="Find, or /regex/"
          aria-label="Find in the log"
          value={props.find}
          onChange={(event) => {
            props.onFind(event.target.value);
            setCurrent(0);
            setFollow(false);
          }}
          onKeyDown={(event) => {
            if (event.key === "Enter") step(event.shiftKey ? -1 : 1);
          }}
        />
        {props.find !== "" && (
          <span className="quiet num" role="status">
            {lines.length > 0 ? `${at + 1} of ${props.matches.words}` : props.matches.words}
          </span>
        )}
        {props.canFollow && <Toggle on={follow} set={setFollow} name="Follow" />}
        <Toggle on={wrap} set={setWrap} name="Wrap" />
        <Toggle on={times} set={setTimes} name="Times" />
        {props.children}
      </div>
      {props.note !== undefined && <p className="quiet log-none">{props.note}</p>}
      {props.count === 0 ? (
        <p className="quiet log-none">{props.none}</p>
      ) : (
        <Lines
          count={props.count}
          first={props.first}
          lineAt={props.lineAt}
          onShow={props.onShow}
          follow={follow}
          stopFollowing={() => setFollow(false)}
          wrap={wrap}
          times={times}
          marked={props.marked}
          matches={new Set(lines)}
          reveal={follow ? undefined : reveal}
          onLine={props.onLine}
        />
      )}
    </div>
  );
}

function Toggle(props: { on: boolean; set: (on: boolean) => void; name: string }) {
  return (
    <button
      type="button"
      className="small chip"
      aria-pressed={props.on}
      onClick={() => props.set(!props.on)}
    >
      {props.name}
    </button>
  );
}

function Lines(props: {
  count: number;
  first: number;
  lineAt: (index: number) => LogLine | undefined;
  onShow?: (from: number, until: number) => void;
  follow: boolean;
  stopFollowing: () => void;
  wrap: boolean;
  times: boolean;
  marked: number;
  matches: ReadonlySet<number>;
  reveal: number | undefined;
  onLine: (line: number) => void;
}) {
  const box = useRef<HTMLDivElement>(null);
  const { zone } = usePreferences();
  const wanted = props.follow ? props.count - 1 : (props.reveal ?? props.first) - props.first;
  const [start, setStart] = useState(() => partAround(wanted, props.count));
  const virtual = useVirtualizer({
    count: Math.min(PART, props.count - start),
    getScrollElement: () => box.current,
    estimateSize: () => HEIGHT,
    getItemKey: (index) => props.first + start + index,
    overscan: 20,
  });
  const pending = useRef<{ index: number; align: "start" | "center" | "end" } | undefined>(
    undefined,
  );
  /** Shows a line by its index, in the part of the log that has it. */
  const show = (index: number, align: "start" | "center" | "end") => {
    pending.current = { index, align };
    const isHere = index >= start && index < start + PART;
    const part = isHere ? start : partAround(index, props.count);
    if (part === start) virtual.scrollToIndex(index - start, { align });
    else setStart(part);
  };
  // biome-ignore lint/correctness/useExhaustiveDependencies: another part is shown where it was asked for
  useEffect(() => {
    const { index, align } = pending.current ?? {};
    if (index !== undefined) virtual.scrollToIndex(index - start, { align });
  }, [start]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: new lines move the end
  useEffect(() => {
    if (props.follow) show(props.count - 1, "end");
  }, [props.follow, props.count, props.wrap]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: only another match scrolls
  useEffect(() => {
    if (props.reveal !== undefined) show(props.reveal - props.first, "center");
  }, [props.reveal, props.count > 0]);
  const forget = () => {
    pending.current = undefined;
  };
  const items = virtual.getVirtualItems();
  const [from, until] = [start + (items[0]?.index ?? 0), start + (items.at(-1)?.index ?? 0)];
  const { onShow } = props;
  useEffect(() => onShow?.(from, until), [onShow, from, until]);
  // At the end of a part the next one is shown, in which the line at the top stays at the top.
  // biome-ignore lint/correctness/useExhaustiveDependencies: the lines on screen decide
  useEffect(() => {
    if (pending.current !== undefined) {
      const { index } = pending.current; // it is on its way there
      if (from <= index && index <= until) pending.current = undefined;
      return;
    }
    const offset = virtual.scrollOffset ?? 0;
    const top = start + (items.find((item) => item.end > offset)?.index ?? 0);
    const isAtStart = start > 0 && from < start + EDGE;
    const isAtEnd = start + PART < props.count && until > start + PART - EDGE;
    if (!isAtStart && !isAtEnd) return;
    pending.current = { index: top, align: "start" };
    setStart(partAround(top, props.count));
  }, [from, until]);
  return (
    <div
      ref={box}
      className={`log-lines ${props.wrap ? "log-wrap" : ""}`}
      role="log"
      aria-label="Log"
      aria-live="off"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls by the keyboard
      tabIndex={0}
      onKeyDown={(event) => {
        forget();
        if (event.key === "Home" || event.key === "End") {
          event.preventDefault();
          props.stopFollowing();
          if (event.key === "Home") show(0, "start");
          else show(props.count - 1, "end");
        }
      }}
      onPointerDown={forget}
      onWheel={(event) => {
        forget();
        if (event.deltaY < 0 && props.follow) props.stopFollowing();
      }}
    >
      <div style={{ height: virtual.getTotalSize(), position: "relative" }}>
        {items.map((item) => {
          const number = props.first + start + item.index;
          const line = props.lineAt(start + item.index);
          const marks = [
            number === props.marked && "marked",
            props.matches.has(number) && "match",
            props.reveal === number && "revealed",
            line?.isSystem && "log-system",
            line?.level && `log-${line.level}`,
          ];
          return (
            <div
              key={item.key}
              ref={props.wrap ? virtual.measureElement : undefined}
              data-index={item.index}
              className={`log-line ${marks.filter(Boolean).join(" ")}`}
              style={{ transform: `translateY(${item.start}px)` }}
            >
              <button
                type="button"
                className="log-number num"
                tabIndex={-1}
                aria-label={`Link to line ${number}`}
                onClick={() => props.onLine(number)}
              >
                {number}
              </button>
              {props.times && (
                <span className="quiet num log-time">
                  {line?.at === undefined ? "" : formatInstant(line.at, zone).slice(11, 19)}
                </span>
              )}
              {line === undefined ? (
                <span className="quiet">…</span>
              ) : (
                <LineText text={line.text} />
              )}
            </div>
          );
        })}
      </div>
    </div>
  );
}

function LineText({ text }: { text: string }) {
  const [whole, setWhole] = useState(false);
  const cut = text.length > LONG && !whole;
  return (
    <span className="log-text">
      {parseAnsi(cut ? text.slice(0, LONG) : text).map((part, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: parts of a line have no other names
        <span key={index} className={part.classes || undefined}>
          {splitLinks(part.text).map((each, at) =>
            each.isLink ? (
              // biome-ignore lint/suspicious/noArrayIndexKey: parts of a line have no other names
              <a key={at} href={each.text} target="_blank" rel="noreferrer">
                {each.text}
              </a>
            ) : (
              each.text
            ),
          )}
        </span>
      ))}
      {cut && (
        <button type="button" className="small" onClick={() => setWhole(true)}>
          Show all {text.length.toLocaleString("en")} characters
        </button>
      )}
    </span>
  );
}
