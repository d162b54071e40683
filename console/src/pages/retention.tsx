import { useQuery } from "@tanstack/react-query";
import { client } from "../api/clients";
import { RunService } from "../gen/shared/idl/platform/v1/run_pb";
import { formatDuration, msOfDuration } from "../model/time";
import { Page } from "../parts/Page";
import { Loaded } from "../parts/states";
import { Table } from "../parts/Table";

const rows = client(RunService);

const HOLDS = [
  ["a version of an artifact that it published", "when the version is deleted"],
  ["a cached result that it stored", "when the entry is deleted, or unused for long enough"],
  ["a run that got outputs of it from the cache", "when that run is deleted"],
  ["a run that recovered it, and shows its outputs", "when that run is deleted"],
  ["a run whose inputs lie in its data, such as a rerun", "when that run is deleted"],
  ["an attempt that its cluster may still run", "when the cluster has stopped it"],
] as const;

/** For how long data is kept, and what keeps a run for longer. */
export default function Retention() {
  const query = useQuery({
    queryKey: ["retention policy"],
    queryFn: async ({ signal }) => (await rows.getRetentionPolicy({}, { signal })).policy!,
  });
  return (
    <Page
      title="Retention"
      lede="How long data is kept. Whoever operates the control plane sets these times, for all orgs."
    >
      <Loaded query={query}>
        {(policy) => {
          const runs = msOfDuration(policy.runs);
          return (
            <div className="stack">
              <Table
                label="Times to keep data"
                keyOf={(row) => row.what}
                rows={[
                  {
                    what: "Ended runs",
                    with: "actions, inputs, outputs, logs, reports and files",
                    kept: runs === undefined ? "for ever" : `${wordOf(runs)} after the end`,
                    setting: "VOLARY_RUNS_KEEP_SECONDS",
                  },
                  {
                    what: "Cached results",
                    with: "the entry; outputs are their run's",
                    kept: `${wordOf(msOfDuration(policy.unusedCacheEntries) ?? 0)} after the last use`,
                    setting: "VOLARY_CACHE_KEEP_UNUSED_SECONDS",
                  },
                  {
                    what: "Events of attempts",
                    with: "changes of phase and what clusters said; times and errors stay",
                    kept: wordOf(msOfDuration(policy.attemptEvents) ?? 0),
                    setting: "",
                  },
                ]}
                columns={[
                  { name: "Data", cell: (row) => <strong>{row.what}</strong> },
                  { name: "With it", wrap: true, cell: (row) => row.with },
                  { name: "Kept", cell: (row) => <span className="num">{row.kept}</span> },
                  { name: "Set by", cell: (row) => row.setting && <code>{row.setting}</code> },
                ]}
              />
              <section className="stack" aria-labelledby="holds">
                <h2 id="holds">What holds a run</h2>
                <p>
                  A run that something needs is not deleted, however old it is.{" "}
                  {runs === undefined
                    ? "Here no run is deleted by its age."
                    : "It is looked at again about once an hour."}{" "}
                  The <strong>Retention</strong> button on the page of an ended run shows when it
                  expires and what holds it, and deletes it earlier.
                </p>
                <Table
                  label="Holds"
                  rows={HOLDS}
                  keyOf={([what]) => what}
                  columns={[
                    { name: "A run is held by", wrap: true, cell: ([what]) => what },
                    { name: "Until", wrap: true, cell: ([, until]) => until },
                  ]}
                />
              </section>
            </div>
          );
        }}
      </Loaded>
    </Page>
  );
}

const DAY = 24 * 60 * 60 * 1000;

function wordOf(ms: number): string {
  if (ms === 0 || ms % DAY !== 0) return formatDuration(ms);
  return ms === DAY ? "a day" : `${ms / DAY} days`;
}
