import { useVirtualizer } from "@tanstack/react-virtual";
import { useDeferredValue, useEffect, useMemo, useRef, useState } from "react";
import { useLive } from "../../api/stream";
import { LogLineOriginator } from "../../gen/flyteidl2/logs/dataplane/payload_pb";
import { parseAnsi, splitLinks, stripAnsi } from "../../model/ansi";
import { formatInstant, msOf } from "../../model/time";
import { Copy } from "../../parts/basics";
import { Empty, Light, Trouble } from "../../parts/states";
import { useKeys } from "../../shell/keys";
import { usePreferences } from "../../shell/preferences";
import type { Place } from "../../shell/url";
import { actionId, data } from "./Data";

type LogLine = { number: number; at: number | undefined; text: string; isSystem: boolean };
type Log = { lines: LogLine[]; count: number };

const MOST_LINES = 20_000; // in memory; the first ones go
const LONG = 10_000; // characters of a line that are shown at first

/** The log of an attempt: follows its end, finds in all lines that are kept, links to a line. */
export function Logs(props: {
  place: Place;
  run: string;
  action: string;
  attempt: number;
  line: number;
  isOver: boolean;
  onLine: (line: number) => void;
}) {
  const { place, run, action, attempt } = props;
  const [follow, setFollow] = useState(props.line === 0);
  const [find, setFind] = useState("");
  const [wrap, setWrap] = useState(false);
  const [times, setTimes] = useState(false);
  const [current, setCurrent] = useState(0);
  const findBox = useRef<HTMLInputElement>(null);
  const key = `log ${place.project}/${place.domain}/${run}/${action}/${attempt}`;
  const shown = useLive<Awaited<ReturnType<typeof nextLines>>, Log>(key, key, () => ({
    open: async function* (signal) {
      const request = { actionId: actionId(place, run, action), attempt };
      for await (const message of data.tailLogs(request, { signal })) yield nextLines(message);
    },
    empty: () => ({ lines: [], count: 0 }),
    fold: append,
    isOver: () => props.isOver,
  }));
  const log = shown.value ?? { lines: [], count: 0 };
  const wanted = useDeferredValue(find);
  const matches = useMemo(() => findIn(log.lines, wanted), [log.lines, wanted]);
  const shownMatch = matches.lines[Math.min(current, matches.lines.length - 1)];
  const step = (by: number) => {
    if (matches.lines.length === 0) return;
    setFollow(false);
    setCurrent((at) => (at + by + matches.lines.length) % matches.lines.length);
  };
  useKeys([
    { key: "/", does: "find in the log", run: () => findBox.current?.focus() },
    { key: "n", does: "next match in the log", run: () => step(1) },
    { key: "N", does: "previous match in the log", run: () => step(-1) },
    { key: "f", does: "follow the log's end", run: () => setFollow(!follow) },
  ]);

  if (shown.state.kind === "stopped" && log.lines.length === 0) {
    const { problem } = shown.state;
    if (problem.kind === "missing") {
      return (
        <Empty title="There is no log of this attempt">
          {<p>It has not started, or its log is gone.</p>}
        </Empty>
      );
    }
    return <Trouble problem={problem} />;
  }
  return (
    <div className="log">
      <div className="log-bar">
        <input
          ref={findBox}
          type="search"
          placeholder="Find, or /regex/"
          aria-label="Find in the log"
          value={find}
          onChange={(event) => {
            setFind(event.target.value);
            setCurrent(0);
            setFollow(false);
          }}
          onKeyDown={(event) => {
            if (event.key === "Enter") step(event.shiftKey ? -1 : 1);
          }}
        />
        {find !== "" && (
          <span className="quiet num" role="status">
            {matches.error ??
              `${matches.lines.length === 0 ? 0 : Math.min(current, matches.lines.length - 1) + 1} of ${matches.lines.length.toLocaleString("en")}`}
          </span>
        )}
        <Toggle on={follow} set={setFollow} name="Follow" />
        <Toggle on={wrap} set={setWrap} name="Wrap" />
        <Toggle on={times} set={setTimes} name="Times" />
        <Copy text={log.lines.map((line) => stripAnsi(line.text)).join("\n")} label="Copy all" />
        <Download log={log} name={`${run}-${action}-${attempt}.log`} />
        <Light state={shown.state} />
      </div>
      {log.lines.length === 0 ? (
        <p className="quiet log-none">
          {shown.state.kind === "ended"
            ? "It has written nothing."
            : "No line yet. New ones appear here."}
        </p>
      ) : (
        <Lines
          log={log}
          follow={follow}
          stopFollowing={() => setFollow(false)}
          wrap={wrap}
          times={times}
          marked={props.line}
          matches={matches.set}
          reveal={shownMatch ?? (props.line > 0 ? props.line : undefined)}
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

function Download({ log, name }: { log: Log; name: string }) {
  const save = () => {
    const text = log.lines.map((line) => stripAnsi(line.text)).join("\n");
    const url = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
    const link = document.createElement("a");
    link.href = url;
    link.download = name;
    link.click();
    URL.revokeObjectURL(url);
  };
  return (
    <button type="button" className="small" onClick={save}>
      Download
    </button>
  );
}

type Batch = { at: number | undefined; text: string; isSystem: boolean }[];

function nextLines(message: {
  logs: {
    lines: {
      timestamp?: Parameters<typeof msOf>[0];
      message: string;
      originator: LogLineOriginator;
    }[];
  }[];
}): Batch {
  return message.logs.flatMap(({ lines }) =>
    lines.map((line) => ({
      at: msOf(line.timestamp),
      text: line.message.replace(/\r?\n$/, ""),
      isSystem: line.originator === LogLineOriginator.SYSTEM,
    })),
  );
}

function append(log: Log, batch: Batch): Log {
  const added = batch.map((line, index) => ({ ...line, number: log.count + index + 1 }));
  return { lines: [...log.lines, ...added].slice(-MOST_LINES), count: log.count + batch.length };
}

type Matches = { lines: number[]; set: ReadonlySet<number>; error?: string };

function findIn(lines: readonly LogLine[], wanted: string): Matches {
  if (wanted === "") return { lines: [], set: new Set() };
  const pattern = /^\/(.+)\/(i?)$/.exec(wanted);
  let fits: (text: string) => boolean;
  if (pattern === null) {
    const lower = wanted.toLowerCase();
    fits = (text) => text.toLowerCase().includes(lower);
  } else {
    try {
      const regex = new RegExp(pattern[1]!, pattern[2]);
      fits = (text) => regex.test(text.slice(0, 2000)); // a slow pattern cannot hold the page for long
    } catch {
      return { lines: [], set: new Set(), error: "this is no regular expression" };
    }
  }
  const found = lines.filter((line) => fits(line.text)).map((line) => line.number);
  return { lines: found, set: new Set(found) };
}

function Lines(props: {
  log: Log;
  follow: boolean;
  stopFollowing: () => void;
  wrap: boolean;
  times: boolean;
  marked: number;
  matches: ReadonlySet<number>;
  reveal: number | undefined;
  onLine: (line: number) => void;
}) {
  const { lines } = props.log;
  const box = useRef<HTMLDivElement>(null);
  const { zone } = usePreferences();
  const virtual = useVirtualizer({
    count: lines.length,
    getScrollElement: () => box.current,
    estimateSize: () => 20,
    getItemKey: (index) => lines[index]?.number ?? index,
    overscan: 20,
  });
  const isFollowing = useRef(props.follow);
  isFollowing.current = props.follow;
  // biome-ignore lint/correctness/useExhaustiveDependencies: new lines move the end
  useEffect(() => {
    if (props.follow && lines.length > 0) virtual.scrollToIndex(lines.length - 1, { align: "end" });
  }, [props.follow, lines.length, props.wrap]);
  const first = lines[0]?.number ?? 1;
  // biome-ignore lint/correctness/useExhaustiveDependencies: only another match scrolls
  useEffect(() => {
    if (props.reveal !== undefined)
      virtual.scrollToIndex(props.reveal - first, { align: "center" });
  }, [props.reveal, lines.length > 0]);
  return (
    <div
      ref={box}
      className={`log-lines ${props.wrap ? "log-wrap" : ""}`}
      role="log"
      aria-label="Log"
      aria-live="off"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: it scrolls by the keyboard
      tabIndex={0}
      onWheel={(event) => {
        if (event.deltaY < 0 && isFollowing.current) props.stopFollowing();
      }}
    >
      {first > 1 && (
        <p className="quiet log-none">
          {(first - 1).toLocaleString("en")} earlier lines are not kept here.
        </p>
      )}
      <div style={{ height: virtual.getTotalSize(), position: "relative" }}>
        {virtual.getVirtualItems().map((item) => {
          const line = lines[item.index]!;
          const marks = `${line.number === props.marked ? "marked" : ""} ${props.matches.has(line.number) ? "match" : ""} ${props.reveal === line.number ? "revealed" : ""}`;
          return (
            <div
              key={item.key}
              ref={props.wrap ? virtual.measureElement : undefined}
              data-index={item.index}
              className={`log-line ${marks} ${line.isSystem ? "log-system" : ""}`}
              style={{ transform: `translateY(${item.start}px)` }}
            >
              <button
                type="button"
                className="log-number num"
                tabIndex={-1}
                aria-label={`Link to line ${line.number}`}
                onClick={() => props.onLine(line.number)}
              >
                {line.number}
              </button>
              {props.times && (
                <span className="quiet num log-time">
                  {line.at === undefined ? "" : formatInstant(line.at, zone).slice(11, 19)}
                </span>
              )}
              <LineText text={line.text} />
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
