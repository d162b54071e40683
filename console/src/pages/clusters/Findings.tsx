import type { ClusterFinding, ClusterFindings } from "../../gen/shared/idl/platform/v1/cluster_pb";
import { msOf } from "../../model/time";
import { Instant } from "../../parts/basics";
import { Table } from "../../parts/Table";

/** What the agent's own checks found last, the worst first: `volary-agent doctor` prints the same. */
export function Findings({ findings }: { findings: ClusterFindings | undefined }) {
  if (findings === undefined) {
    return <p className="quiet">Its agent has reported no findings.</p>;
  }
  if (findings.findings.length === 0) {
    return <p className="quiet">Its agent found nothing to report.</p>;
  }
  return (
    <>
      <p className="quiet">
        Unchanged since <Instant at={msOf(findings.checkedAt)} />
      </p>
      <Table<ClusterFinding>
        label="Findings of its agent"
        rows={findings.findings}
        keyOf={(each) => `${each.about}: ${each.text}`}
        columns={[
          { name: "Outcome", cell: (each) => each.outcome },
          { name: "About", cell: (each) => each.about },
          { name: "Finding", cell: (each) => each.text },
          { name: "Remedy", cell: (each) => each.remedy },
        ]}
      />
    </>
  );
}
