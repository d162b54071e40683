import { keepPreviousData, useMutation, useQueries, useQuery } from "@tanstack/react-query";
import { useDeferredValue, useEffect, useState } from "react";
import { client } from "../../api/clients";
import { problemOf } from "../../api/errors";
import { useLive } from "../../api/stream";
import { LogLineOriginator } from "../../gen/flyteidl2/logs/dataplane/payload_pb";
import { type LogLine as Line, LogService } from "../../gen/shared/idl/platform/v1/log_pb";
import { stripAnsi } from "../../model/ansi";
import { msOf } from "../../model/time";
import { Copy } from "../../parts/basics";
import { save } from "../../parts/save";
import { Empty, Light, Skeleton, Trouble } from "../../parts/states";
import type { Place } from "../../shell/url";
import { data } from "./Data";
import { actionId } from "./ids";
import { type LogLine, LogView, type Matches } from "./LogView";

const logs = client(LogService);
const PAGE = 500; // lines that are read at once
const MOST_LIVE = 20_000; // lines of a live log in memory; the first ones go
const MOST_SAVED = 1_000_000;

type LogProps = {
  place: Place;
  run: string;
  action: string;
  attempt: number;
  line: number;
  isOver: boolean;
  onLine: (line: number) => void;
};

/** The log of an attempt: as it grows while the attempt runs, and in pages once it has ended. */
export function Logs(props: LogProps) {
  return props.isOver ? <StoredLog {...props} /> : <LiveLog {...props} />;
}

function Nothing() {
  return (
    <Empty title="There is no log of this attempt">
      <p>It has not started, or its log is gone.</p>
    </Empty>
  );
}

/** A whole log of any length: its end at first, and the pages that are looked at. */
function StoredLog(props: LogProps) {
  const { place, run, action, attempt } = props;
  const key = [place.project, place.domain, run, action, attempt];
  const at = { ...place, run, action, attempt };
  const [find, setFind] = useState("");
  const [shown, setShown] = useState<readonly number[]>([]);
  const end = useQuery({
    queryKey: ["log end", ...key],
    retry: false,
    queryFn: async ({ signal }) => {
      const answer = await logs.readLines({ ...at, limit: PAGE }, { signal });
      const last = answer.lines.at(-1)?.number ?? 0n;
      return { count: Number(answer.lineCount ?? last), isWhole: answer.complete };
    },
    // The log of an attempt that has just ended is still on its way to the bucket.
    refetchInterval: (query) => (query.state.data?.isWhole === false ? 2000 : false),
  });
  const count = end.data?.count ?? 0;
  const pages = useQueries({
    queries: shown.map((page) => ({
      queryKey: ["log page", ...key, page, end.data?.isWhole, Math.min(count, (page + 1) * PAGE)],
      enabled: count > 0,
      queryFn: ({ signal }: { signal: AbortSignal }) => readPage(at, page, count, signal),
    })),
  });
  const lines = new Map<number, LogLine>();
  for (const page of pages) for (const line of page.data ?? []) lines.set(line.number, line);
  const matches = useSearch(at, key, find);
  const download = useMutation({
    mutationFn: async () => save(`${run}-${action}-${attempt}.log`, await readAll(at, count)),
  });
  if (end.isPending) return <Skeleton />;
  if (end.isError) {
    const problem = problemOf(end.error);
    return problem.kind === "missing" ? (
      <Nothing />
    ) : (
      <Trouble problem={problem} retry={() => void end.refetch()} />
    );
  }
  return (
    <LogView
      count={count}
      first={1}
      lineAt={(index) => lines.get(index + 1)}
      onShow={(from, until) => {
        const [first, last] = [Math.floor(from / PAGE), Math.floor(until / PAGE)];
        if (shown[0] !== first || shown.at(-1) !== last) {
          setShown(Array.from({ length: last - first + 1 }, (_, index) => first + index));
        }
      }}
      find={find}
      onFind={setFind}
      matches={matches}
      marked={props.line}
      onLine={props.onLine}
      canFollow={false}
      none="It has written nothing."
    >
      <button
        type="button"
        className="small"
        disabled={download.isPending}
        onClick={() => download.mutate()}
      >
        {download.isPending ? "Reading …" : "Download"}
      </button>
      <span className="quiet num">
        {count.toLocaleString("en")} {count === 1 ? "line" : "lines"}
      </span>
    </LogView>
  );
}

type Where = { project: string; domain: string; run: string; action: string; attempt: number };

/** Reads one page; an answer may end early, so it asks until the page is whole. */
async function readPage(
  at: Where,
  page: number,
  count: number,
  signal?: AbortSignal,
): Promise<LogLine[]> {
  const found: LogLine[] = [];
  const last = Math.min(count, (page + 1) * PAGE);
  for (let next = page * PAGE + 1; next <= last; ) {
    const request = { ...at, firstLine: BigInt(next), limit: last - next + 1 };
    const answer = await logs.readLines(request, { signal });
    if (answer.lines.length === 0) break;
    found.push(...answer.lines.map(parseLine));
    next = found.at(-1)!.number + 1;
  }
  return found;
}

async function readAll(at: Where, count: number): Promise<string[]> {
  const parts: string[] = [];
  for (let page = 0; page * PAGE < Math.min(count, MOST_SAVED); page++) {
    const lines = await readPage(at, page, count);
    parts.push(...lines.map((line) => `${stripAnsi(line.text)}\n`));
  }
  return parts;
}

function parseLine(line: Line): LogLine {
  return {
    number: Number(line.number),
    at: msOf(line.loggedAt),
    text: line.text,
    isSystem: line.system,
    level: line.level,
  };
}

/** Searches the whole log on the server, a moment after the last key. */
function useSearch(at: Where, key: readonly unknown[], find: string): Matches {
  const [settled, setSettled] = useState(find);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(find), 250);
    return () => clearTimeout(timer);
  }, [find]);
  const regex = /^\/(.+)\/(i?)$/.exec(settled);
  const query = useQuery({
    queryKey: ["log search", ...key, settled],
    enabled: settled !== "",
    retry: false,
    placeholderData: keepPreviousData,
    queryFn: ({ signal }) =>
      logs.searchLines(
        {
          ...at,
          pattern: regex?.[1] ?? settled,
          regex: regex !== null,
          caseSensitive: regex !== null && regex[2] === "",
          limit: 1000,
        },
        { signal },
      ),
  });
  if (settled === "") return { lines: [], words: "" };
  if (query.isError) return { lines: [], words: problemOf(query.error).message };
  if (query.data === undefined) return { lines: [], words: "searching …" };
  const count = Number(query.data.matchCount).toLocaleString("en");
  return {
    lines: query.data.lines.filter((line) => line.matches).map((line) => Number(line.number)),
    words: query.data.countExact ? count : `${count} or more`,
  };
}

type Kept = { lines: LogLine[]; count: number };

/** The log of an attempt that runs, from its first line on, as it grows. */
function LiveLog(props: LogProps) {
  const { place, run, action, attempt } = props;
  const [find, setFind] = useState("");
  const key = `log ${place.project}/${place.domain}/${run}/${action}/${attempt}`;
  const live = useLive<Batch, Kept>(key, key, () => ({
    open: async function* (signal) {
      const request = { actionId: actionId(place, run, action), attempt };
      for await (const message of data.tailLogs(request, { signal })) yield batchOf(message);
    },
    empty: () => ({ lines: [], count: 0 }),
    fold: append,
  }));
  const log = live.value ?? { lines: [], count: 0 };
  const wanted = useDeferredValue(find);
  const text = () => log.lines.map((line) => stripAnsi(line.text)).join("\n");
  if (live.state.kind === "stopped" && log.lines.length === 0) {
    const { problem } = live.state;
    return problem.kind === "missing" ? <Nothing /> : <Trouble problem={problem} />;
  }
  const first = log.lines[0]?.number ?? 1;
  return (
    <LogView
      count={log.lines.length}
      first={first}
      lineAt={(index) => log.lines[index]}
      find={find}
      onFind={setFind}
      matches={findIn(log.lines, wanted)}
      marked={props.line}
      onLine={props.onLine}
      canFollow
      none="No line yet. New ones appear here."
      note={
        first > 1
          ? `The first ${(first - 1).toLocaleString("en")} lines are not kept while it runs.`
          : undefined
      }
    >
      <Copy text={text()} label="Copy all" />
      <button
        type="button"
        className="small"
        onClick={() => save(`${run}-${action}-${attempt}.log`, [text()])}
      >
        Download
      </button>
      <Light state={live.state} />
    </LogView>
  );
}

type Batch = Omit<LogLine, "number">[];

function batchOf(message: {
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

function append(log: Kept, batch: Batch): Kept {
  const added = batch.map((line, index) => ({ ...line, number: log.count + index + 1 }));
  return { lines: [...log.lines, ...added].slice(-MOST_LIVE), count: log.count + batch.length };
}

function findIn(lines: readonly LogLine[], wanted: string): Matches {
  if (wanted === "") return { lines: [], words: "" };
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
      return { lines: [], words: "this is no regular expression" };
    }
  }
  const found = lines.filter((line) => fits(line.text)).map((line) => line.number);
  return { lines: found, words: found.length.toLocaleString("en") };
}
