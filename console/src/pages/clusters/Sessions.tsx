import { client } from "../../api/clients";
import { usePaged } from "../../api/paged";
import { ClusterService, type ClusterSession } from "../../gen/shared/idl/platform/v1/cluster_pb";
import { msOf } from "../../model/time";
import { Ago, Instant, Took } from "../../parts/basics";
import { List } from "../../parts/List";

const clusters = client(ClusterService);

/** The sessions of a cluster's agent: what an older one reports is refused from the next one's start. */
export function Sessions({ name }: { name: string }) {
  const list = usePaged<ClusterSession>(
    ["sessions", name],
    async (pageToken, signal) => {
      const answer = await clusters.listClusterSessions(
        { cluster: name, pageSize: 20, pageToken },
        { signal },
      );
      return { rows: answer.sessions, next: answer.nextPageToken };
    },
    { refresh: 5000 },
  );
  return (
    <List
      label="Sessions of its agent"
      list={list}
      keyOf={(each) => String(each.epoch)}
      empty={<p className="quiet">Its agent has not connected yet.</p>}
      columns={[
        { name: "Epoch", align: "right", cell: (each) => String(each.epoch) },
        { name: "Opened", cell: (each) => <Instant at={msOf(each.openedAt)} /> },
        {
          name: "Lasted",
          cell: (each) => <Took from={msOf(each.openedAt)} until={msOf(each.endedAt)} />,
        },
        { name: "End", cell: (each) => endOf(each) },
        { name: "Release", cell: (each) => each.software },
        { name: "Process", cell: (each) => <code>{each.instanceId}</code> },
        {
          name: "Certificate",
          cell: (each) =>
            each.certificate === "" ? "none: a shared token" : <Certificate session={each} />,
        },
      ]}
    />
  );
}

function endOf(session: ClusterSession): string {
  if (session.endedAt === undefined) return "open";
  return session.endedBecause === "superseded" ? "lost, then superseded" : session.endedBecause;
}

function Certificate({ session }: { session: ClusterSession }) {
  const until = msOf(session.certificateExpiresAt);
  return (
    <>
      <code>{session.certificate.slice(-8)}</code>{" "}
      {session.certificateRevoked
        ? "revoked"
        : until !== undefined && (
            <>
              expires <Ago at={until} />
            </>
          )}
    </>
  );
}
