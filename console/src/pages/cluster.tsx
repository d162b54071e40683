import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { client } from "../api/clients";
import { usePaged } from "../api/paged";
import { useLive } from "../api/stream";
import {
  ClusterService,
  type Drain,
  type LeasedAttempt,
  type WatchDrainResponse,
} from "../gen/shared/idl/platform/v1/cluster_pb";
import { msOf } from "../model/time";
import { Ago, Fields, Instant, To } from "../parts/basics";
import { Confirm } from "../parts/Confirm";
import { CheckField } from "../parts/inputs";
import { List } from "../parts/List";
import { Page } from "../parts/Page";
import { Light, Loaded } from "../parts/states";
import { type Column, Table } from "../parts/Table";
import { AuditLink } from "../shell/AuditLink";
import { useMay } from "../shell/session";
import { runPath, usePath } from "../shell/url";
import { Findings } from "./clusters/Findings";
import { Sessions } from "./clusters/Sessions";
import { ClusterState } from "./clusters/State";

const clusters = client(ClusterService);

/** One cluster: its state and load, its agent, and the progress of a drain with its attestation. */
export default function ClusterPage() {
  const { cluster: name } = usePath<"cluster">();
  const [asked, setAsked] = useState<"cordon" | "uncordon" | "drain" | undefined>();
  const query = useQuery({
    queryKey: ["cluster", name],
    refetchInterval: 2000,
    queryFn: async ({ signal }) => {
      const { cluster, findings } = await clusters.getCluster({ name }, { signal });
      if (cluster === undefined) throw new Error("the answer has no cluster");
      return { cluster, findings };
    },
  });
  const found = query.data?.cluster;
  const canWrite = useMay()("cluster:write");
  const isOut = found !== undefined && (found.cordoned || found.drainingSince !== undefined);
  return (
    <Page
      title={name}
      actions={
        found !== undefined && (
          <>
            <AuditLink target={`cluster:${name}`} name={name} />
            <ClusterState state={found.state} />
            {canWrite && (
              <button type="button" onClick={() => setAsked(isOut ? "uncordon" : "cordon")}>
                {isOut ? "Uncordon" : "Cordon"}
              </button>
            )}
            {canWrite && found.drainingSince === undefined && (
              <button type="button" onClick={() => setAsked("drain")}>
                Drain
              </button>
            )}
          </>
        )
      }
    >
      <Loaded query={query}>
        {({ cluster, findings }) => (
          <div className="stack">
            {cluster.drainingSince !== undefined && <DrainProgress name={name} />}
            <div className="split">
              <section className="card" aria-label="State">
                <h2>State</h2>
                <Fields
                  rows={[
                    ["Pool", cluster.pool || "default"],
                    ["Connected", cluster.connected ? "yes" : "no"],
                    ["Since", <Instant key="since" at={msOf(cluster.connectedAt)} />],
                    ["Heard", <Ago key="heard" at={msOf(cluster.seenAt)} />],
                    ["Session", `epoch ${cluster.epoch}`],
                    ["Version", String(cluster.version)],
                  ]}
                />
              </section>
              <section className="card" aria-label="Load">
                <h2>Load</h2>
                <Fields
                  rows={[
                    ["Leased", String(cluster.load?.leased ?? 0)],
                    ["Not accepted", String(cluster.load?.unaccepted ?? 0)],
                    ["In its ledger", String(cluster.load?.held ?? 0)],
                    ["Running", String(cluster.load?.running ?? 0)],
                    ["Free slots", String(cluster.load?.slots ?? 0)],
                    ["Counted", <Ago key="counted" at={msOf(cluster.load?.countedAt)} />],
                  ]}
                />
              </section>
              <section className="card" aria-label="Agent">
                <h2>Agent</h2>
                <Fields
                  rows={[
                    ["Release", cluster.agent?.software],
                    ["Version skew", cluster.agent?.versionSkew],
                    ["Protocol", cluster.agent && String(cluster.agent.protocol)],
                    ["Installation", <code key="agent">{cluster.agent?.agentId}</code>],
                    ["Process", <code key="instance">{cluster.agent?.instanceId}</code>],
                    ["Task types", cluster.agent?.capabilities.join(", ")],
                  ]}
                />
              </section>
            </div>
            <h2>Findings</h2>
            <Findings findings={findings} />
            <h2>What it holds</h2>
            <Held name={name} />
            <h2>Sessions</h2>
            <Sessions name={name} />
          </div>
        )}
      </Loaded>
      {asked !== undefined && found !== undefined && (
        <Ask what={asked} name={name} version={found.version} onClose={() => setAsked(undefined)} />
      )}
    </Page>
  );
}

/** Attempts that are assigned to the cluster, the oldest lease first. */
function Held({ name }: { name: string }) {
  const list = usePaged<LeasedAttempt>(
    ["held", name],
    async (pageToken, signal) => {
      const answer = await clusters.listLeasedAttempts(
        { cluster: name, pageSize: 100, pageToken },
        { signal },
      );
      return { rows: answer.attempts, next: answer.nextPageToken };
    },
    { refresh: 3000 },
  );
  return (
    <List
      label="Attempts that it holds"
      list={list}
      keyOf={keyOfAttempt}
      columns={ATTEMPT_COLUMNS}
      empty={<p className="quiet">Nothing is assigned to it.</p>}
    />
  );
}

function keyOfAttempt(each: LeasedAttempt): string {
  return `${each.project}/${each.domain}/${each.run}/${each.action}/${each.attempt}`;
}

const ATTEMPT_COLUMNS: readonly Column<LeasedAttempt>[] = [
  {
    name: "Action",
    cell: (each) => (
      <To to={runPath(each, each.run, `?i=${each.action}`)}>{`${each.run} / ${each.action}`}</To>
    ),
  },
  { name: "Attempt", align: "right", cell: (each) => each.attempt },
  { name: "Phase", cell: (each) => each.phase },
  { name: "Leased", cell: (each) => <Ago at={msOf(each.leasedAt)} /> },
  { name: "Accepted", cell: (each) => <Ago at={msOf(each.acceptedAt)} /> },
  { name: "Asked to stop", cell: (each) => each.stopReason },
];

function Ask(props: {
  what: "cordon" | "uncordon" | "drain";
  name: string;
  version: bigint;
  onClose: () => void;
}) {
  const { what, name, version } = props;
  const [stop, setStop] = useState(false);
  const words = {
    cordon: "It gets no new work. What runs there goes on.",
    uncordon: "It gets new work again. A drain ends.",
    drain:
      "It gets no new work, what its agent has not accepted goes elsewhere, and the rest runs to its end.",
  };
  const change = () =>
    what === "drain"
      ? clusters.drainCluster({ name, stopAttempts: stop })
      : clusters.updateCluster({
          cluster: { name, version, cordoned: what === "cordon" },
          updateMask: { paths: ["cordoned"] },
        });
  return (
    <Confirm
      title={`${what.charAt(0).toUpperCase()}${what.slice(1)} ${name}?`}
      verb={what.charAt(0).toUpperCase() + what.slice(1)}
      command={`volary cluster ${what} ${name}`}
      run={change}
      onClose={props.onClose}
    >
      <p>{words[what]}</p>
      {what === "drain" && (
        <CheckField
          label="Stop what is left now; it starts again on other clusters"
          value={stop}
          set={setStop}
        />
      )}
    </Confirm>
  );
}

/** How far a drain is, live; at its end, the proof that the cluster is empty. */
function DrainProgress({ name }: { name: string }) {
  const { value, state } = useLive<WatchDrainResponse, Drain | undefined>(name, name, () => ({
    open: (signal) => clusters.watchDrain({ name }, { signal }),
    empty: () => undefined,
    fold: (_before, message) => message.drain,
    isWhole: (drain) => drain !== undefined,
    isOver: (drain) => drain?.attestation !== undefined,
  }));
  const proof = value?.attestation;
  return (
    <section className={proof ? "note-box stack" : "warn-box stack"} aria-label="Drain">
      <h2>
        {proof ? "Empty" : "Draining"} <Light state={state} />
      </h2>
      {proof !== undefined ? (
        <p>
          The control plane, the agent and its runtimes all counted zero, after the last attempt had
          ended: attested <Instant at={msOf(proof.attestedAt)} /> in session {String(proof.epoch)}.
        </p>
      ) : (
        <p>{value?.remaining.length ?? 0} attempts are left.</p>
      )}
      {value !== undefined && value.remaining.length > 0 && (
        <Table
          label="Attempts that are left"
          rows={value.remaining}
          keyOf={(each) =>
            `${each.project}/${each.domain}/${each.run}/${each.action}/${each.attempt}`
          }
          columns={[
            {
              name: "Action",
              cell: (each) => (
                <To
                  to={runPath(each, each.run, `?i=${each.action}`)}
                >{`${each.run} / ${each.action}`}</To>
              ),
            },
            { name: "Attempt", align: "right", cell: (each) => each.attempt },
            { name: "Phase", cell: (each) => each.phase },
            { name: "Leased", cell: (each) => <Ago at={msOf(each.leasedAt)} /> },
            { name: "Asked to stop", cell: (each) => each.stopReason },
          ]}
        />
      )}
    </section>
  );
}
