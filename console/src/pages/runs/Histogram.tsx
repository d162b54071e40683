import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { client } from "../../api/clients";
import { serverClock } from "../../api/server";
import { type RunBucket, RunService } from "../../gen/shared/idl/platform/v1/run_pb";
import { lookOf } from "../../model/phases";
import { phaseOfWord, sortCounts } from "../../model/run";
import { formatInstant, msOf } from "../../model/time";
import { usePreferences } from "../../shell/preferences";
import type { RunFilter } from "./filter";

const runService = client(RunService);
const BUCKETS = 48;
const USUAL = 48 * 3_600_000; // milliseconds that are shown when the filter names no time

/** How many runs were created over time, by the phase that they have now. */
export function Histogram({ filter, changed }: { filter: RunFilter; changed: number }) {
  const { zone } = usePreferences();
  const query = useQuery({
    queryKey: ["run summary", filter, changed],
    placeholderData: keepPreviousData,
    retry: false,
    queryFn: ({ signal }) => {
      const since =
        filter.since ??
        timestampFromMs(Math.floor((serverClock.now() - USUAL) / 3_600_000) * 3_600_000);
      return runService.summarizeRuns(
        { filter: { ...filter, since }, buckets: BUCKETS },
        { signal },
      );
    },
  });
  const { data } = query;
  if (data === undefined) return <div className="histogram" />;
  const [since, until] = [msOf(data.since) ?? 0, msOf(data.until) ?? 0];
  const most = Math.max(1, ...data.buckets.map(sizeOf));
  const total = data.buckets.reduce((sum, bucket) => sum + sizeOf(bucket), 0);
  const counts = sortCounts(
    data.phases.map(({ phase, count }) => [phaseOfWord(phase), Number(count)]),
  );
  const words = [...counts]
    .map(([phase, count]) => `${count.toLocaleString("en")} ${lookOf(phase).word}`)
    .join(", ");
  const each = (until - since) / Math.max(1, data.buckets.length);
  return (
    <figure className="histogram-box">
      <div className="histogram" role="img" aria-label={`Runs over time: ${words || "none"}`}>
        {data.buckets.map((bucket, index) => (
          <span
            // biome-ignore lint/suspicious/noArrayIndexKey: buckets are told apart by their place
            key={index}
            className="histogram-bar"
            title={`${formatInstant(since + index * each, zone)}: ${titleOf(bucket)}`}
          >
            {bucket.phases.map(({ phase, count }) => (
              <span
                key={phase}
                className={`bar-${lookOf(phaseOfWord(phase)).name}`}
                style={{ height: `${(Number(count) / most) * 100}%` }}
              />
            ))}
          </span>
        ))}
      </div>
      <figcaption className="quiet">
        {total.toLocaleString("en")} {total === 1 ? "run" : "runs"} since{" "}
        {formatInstant(since, zone)}
        {words && `: ${words}`}
        {data.countedSince && ` (those since ${formatInstant(msOf(data.countedSince) ?? 0, zone)})`}
      </figcaption>
    </figure>
  );
}

function sizeOf(bucket: RunBucket): number {
  return bucket.phases.reduce((sum, { count }) => sum + Number(count), 0);
}

function titleOf(bucket: RunBucket): string {
  const parts = bucket.phases.map(
    ({ phase, count }) => `${count} ${lookOf(phaseOfWord(phase)).word}`,
  );
  return parts.join(", ") || "none";
}
