import { useQuery } from "@tanstack/react-query";
import { client } from "../../api/clients";
import { RunService } from "../../gen/shared/idl/platform/v1/run_pb";
import { msOf } from "../../model/time";
import { Act } from "../../parts/Act";
import { Dialog, Fields, Instant } from "../../parts/basics";
import { Loaded } from "../../parts/states";
import { Table } from "../../parts/Table";
import { useMay } from "../../shell/session";
import type { Place } from "../../shell/url";

const rows = client(RunService);

const KINDS: Readonly<Record<string, string>> = {
  artifact: "artifact",
  attempt: "attempt that may still run",
  cache_entry: "cached result",
  cached_result: "run that got outputs from the cache",
  inputs: "run whose inputs are here",
  recovery: "run that recovered this one",
  registration: "artifact being registered",
};

/** When an ended run expires, and what holds it; deletes it at once. */
export function Retention(props: { place: Place; run: string; onClose: () => void }) {
  const { place, run } = props;
  const canPurge = useMay()("run:purge");
  const query = useQuery({
    queryKey: ["retention", place, run],
    queryFn: async ({ signal }) =>
      (await rows.getRunRetention({ ...place, run }, { signal })).retention!,
  });
  return (
    <Dialog title={`Retention of ${run}`} onClose={props.onClose}>
      <Loaded query={query}>
        {(retention) => {
          const expires = msOf(retention.expiresAt);
          const purging = msOf(retention.purgingSince);
          return (
            <div className="stack">
              <Fields
                rows={[
                  ["Ended", <Instant key="ended" at={msOf(retention.endedAt)} />],
                  [
                    "Expires",
                    expires === undefined ? (
                      "never: runs are kept for ever"
                    ) : (
                      <Instant key="expires" at={expires} />
                    ),
                  ],
                  [
                    "Being deleted since",
                    purging !== undefined && <Instant key="purging" at={purging} />,
                  ],
                ]}
              />
              {retention.holds.length === 0 ? (
                <p>Nothing holds it: no artifact, cached result or other run needs its data.</p>
              ) : (
                <>
                  <p>It is not deleted while something needs its data:</p>
                  <Table
                    label="Holds"
                    rows={retention.holds}
                    keyOf={(hold) => `${hold.kind} ${hold.holder}`}
                    columns={[
                      { name: "Held by", cell: (hold) => KINDS[hold.kind] ?? hold.kind },
                      { name: "Name", wrap: true, cell: (hold) => <code>{hold.holder}</code> },
                      { name: "To end it", wrap: true, cell: (hold) => hold.remedy },
                    ]}
                  />
                </>
              )}
              {canPurge && purging === undefined && retention.holds.length === 0 && (
                <p className="actions">
                  <Act
                    label="Delete now …"
                    verb="Delete"
                    className="danger"
                    title={`Delete ${run} with its data?`}
                    says="Its actions, inputs, outputs, logs, reports and files are deleted within a minute or so, and its name is free again. This cannot be undone."
                    typed={run}
                    run={() => rows.purgeRun({ ...place, run })}
                  />
                </p>
              )}
            </div>
          );
        }}
      </Loaded>
    </Dialog>
  );
}
