import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { client } from "../../api/clients";
import { serverClock } from "../../api/server";
import {
  type GetQueueHistoryResponse,
  type Queue,
  QueueService,
} from "../../gen/shared/idl/platform/v1/queue_pb";
import { barsOf } from "../../model/queue-history";
import { formatDuration, formatInstant } from "../../model/time";
import { SelectField } from "../../parts/inputs";
import { Loaded } from "../../parts/states";
import { usePreferences } from "../../shell/preferences";

const queues = client(QueueService);
const BUCKETS = 48;
const PERIODS = [
  { value: "1", label: "the last hour" },
  { value: "24", label: "the last day" },
  { value: "168", label: "the last seven days" },
] as const;
type Hours = (typeof PERIODS)[number]["value"];

/** How much waited in a queue, and for how long, over time: counts of each minute, the most of each bar. */
export function History({ names }: { names: readonly Queue[] }) {
  const [queue, setQueue] = useState("");
  const [period, setPeriod] = useState<Hours>("24");
  const query = useQuery({
    queryKey: ["queue history", queue, period],
    refetchInterval: 20_000,
    placeholderData: keepPreviousData,
    queryFn: ({ signal }) => {
      const until = serverClock.now();
      const since = timestampFromMs(until - Number(period) * 3_600_000);
      return queues.getQueueHistory({ queue, since, buckets: BUCKETS }, { signal });
    },
  });
  return (
    <section aria-label="Work over time">
      <h2>Work over time</h2>
      <div className="filters">
        <SelectField
          label="Queue"
          value={queue}
          set={setQueue}
          choices={[{ value: "", label: "default" }, ...names.map(({ name }) => name)]}
        />
        <SelectField label="Period" value={period} set={setPeriod} choices={PERIODS} />
      </div>
      <Loaded query={query}>{(history) => <Bars history={history} />}</Loaded>
    </section>
  );
}

function Bars({ history }: { history: GetQueueHistoryResponse }) {
  const { zone } = usePreferences();
  const bars = barsOf(history, BUCKETS);
  const most = Math.max(1, ...bars.map((bar) => bar.waiting + bar.assigned));
  const longest = Math.max(1, ...bars.map((bar) => bar.waited));
  if (history.buckets.length === 0) {
    return <p className="quiet">It had no work in this time.</p>;
  }
  const peak = bars.reduce((high, bar) => (bar.waiting > high.waiting ? bar : high));
  const slowest = bars.reduce((high, bar) => (bar.waited > high.waited ? bar : high));
  const depth = `At most ${peak.waiting.toLocaleString("en")} waited, at ${formatInstant(peak.at, zone)}.`;
  const wait = `The longest wait was ${formatDuration(slowest.waited)}, at ${formatInstant(slowest.at, zone)}.`;
  return (
    <>
      <figure className="histogram-box">
        <div className="histogram" role="img" aria-label={`Actions over time. ${depth}`}>
          {bars.map((bar) => (
            <span
              key={bar.at}
              className="histogram-bar"
              title={`${formatInstant(bar.at, zone)}: ${bar.waiting} waiting, ${bar.assigned} assigned`}
            >
              <span className="bar-running" style={{ height: percent(bar.assigned, most) }} />
              <span className="bar-waiting" style={{ height: percent(bar.waiting, most) }} />
            </span>
          ))}
        </div>
        <figcaption className="quiet">
          Assigned to clusters (solid) and waiting (hatched). {depth}
        </figcaption>
      </figure>
      <figure className="histogram-box">
        <div className="histogram" role="img" aria-label={`Longest wait over time. ${wait}`}>
          {bars.map((bar) => (
            <span
              key={bar.at}
              className="histogram-bar"
              title={`${formatInstant(bar.at, zone)}: ${formatDuration(bar.waited)}`}
            >
              <span className="bar-waiting" style={{ height: percent(bar.waited, longest) }} />
            </span>
          ))}
        </div>
        <figcaption className="quiet">How long the oldest action had waited. {wait}</figcaption>
      </figure>
    </>
  );
}

function percent(part: number, whole: number): string {
  return `${(part / whole) * 100}%`;
}
