import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { client } from "../api/clients";
import { usePaged } from "../api/paged";
import {
  type CreateJoinTokenResponse,
  type Enrolment,
  EnrolmentService,
} from "../gen/shared/idl/platform/v1/enrolment_pb";
import { msOf } from "../model/time";
import { Act } from "../parts/Act";
import { Ago, Dialog } from "../parts/basics";
import { Confirm } from "../parts/Confirm";
import { List } from "../parts/List";
import { Page } from "../parts/Page";
import { Empty } from "../parts/states";
import { useMay } from "../shell/session";
import { AddCluster, Install } from "./clusters/AddCluster";

const enrolments = client(EnrolmentService);

/** Identities of agents: tokens that are open, agents that wait to be accepted, and those that were. */
export default function JoinTokens() {
  const [isAdding, setAdding] = useState(false);
  const [again, setAgain] = useState<string | undefined>();
  const list = usePaged<Enrolment>(
    ["enrolments"],
    async (pageToken, signal) => {
      const answer = await enrolments.listEnrolments({ pageSize: 100, pageToken }, { signal });
      return { rows: answer.enrolments, next: answer.nextPageToken };
    },
    { refresh: 2000 },
  );
  const canWrite = useMay()("cluster:write");
  return (
    <Page
      title="Join tokens"
      lede="An agent joins with a token that works once, for fifteen minutes. Compare the fingerprint that it logs before you accept it."
      actions={
        canWrite && (
          <button type="button" className="primary" onClick={() => setAdding(true)}>
            Add a cluster
          </button>
        )
      }
    >
      <List
        label="Join tokens"
        list={list}
        keyOf={(each) => each.id}
        empty={<Empty title="No agent has a token" />}
        columns={[
          { name: "Cluster", cell: (each) => <strong>{each.cluster}</strong> },
          { name: "State", cell: (each) => each.state },
          { name: "Fingerprint", cell: (each) => <code>{each.key}</code> },
          { name: "From", cell: (each) => each.peer },
          { name: "Release", cell: (each) => each.software },
          { name: "Made", cell: (each) => <Ago at={msOf(each.createdAt)} /> },
          { name: "Ends", cell: (each) => <Ago at={msOf(each.expiresAt)} /> },
          {
            name: "Change",
            hidden: true,
            shown: canWrite,
            cell: (each) => (
              <span className="tags">
                {each.state === "waiting" && (
                  <Act
                    label="Accept"
                    verb="Accept"
                    title={`Accept the agent of ${each.cluster}?`}
                    says={`Its key is ${each.key}. The earlier agent of the cluster is revoked.`}
                    command={`volary cluster accept ${each.cluster} --key ${each.key}`}
                    run={() => enrolments.acceptEnrolment({ cluster: each.cluster, key: each.key })}
                  />
                )}
                <button
                  type="button"
                  className="small"
                  aria-label={`New token for ${each.cluster}`}
                  onClick={() => setAgain(each.cluster)}
                >
                  New token
                </button>
                <Act
                  label="Revoke"
                  verb="Revoke"
                  title={`Revoke the agent of ${each.cluster}?`}
                  says="Its certificates and tokens end, and its session within a second. What runs there goes on until its leases end."
                  run={() => enrolments.revokeAgent({ cluster: each.cluster })}
                />
              </span>
            ),
          },
        ]}
      />
      {isAdding && <AddCluster onClose={() => setAdding(false)} />}
      {again !== undefined && <NewToken cluster={again} onClose={() => setAgain(undefined)} />}
    </Page>
  );
}

function NewToken({ cluster, onClose }: { cluster: string; onClose: () => void }) {
  const [made, setMade] = useState<CreateJoinTokenResponse | undefined>();
  const [requestId] = useState(() => crypto.randomUUID());
  const queries = useQueryClient();
  if (made !== undefined) {
    return (
      <Dialog title={`A new agent for ${cluster}`} className="wide" onClose={onClose}>
        <Install name={cluster} token={made.joinToken} expires={msOf(made.enrolment?.expiresAt)} />
      </Dialog>
    );
  }
  return (
    <Confirm
      title={`Make a token for ${cluster}?`}
      verb="Make a token"
      onClose={onClose}
      onDone={() => undefined}
      run={async () => {
        setMade(await enrolments.createJoinToken({ requestId, cluster, autoAccept: false }));
        await queries.invalidateQueries({ queryKey: ["enrolments"] });
      }}
    >
      <p>Its agent goes on until another one is accepted.</p>
    </Confirm>
  );
}
