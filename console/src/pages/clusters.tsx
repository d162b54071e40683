import { useState } from "react";
import { client } from "../api/clients";
import { useLive } from "../api/stream";
import {
  type Cluster,
  ClusterService,
  type WatchClustersResponse,
} from "../gen/shared/idl/platform/v1/cluster_pb";
import { msOf } from "../model/time";
import { Ago, To, useNow } from "../parts/basics";
import { Page } from "../parts/Page";
import { Empty, Light, Skeleton, Trouble } from "../parts/states";
import { useMay } from "../shell/session";
import { AddCluster } from "./clusters/AddCluster";
import { ClusterState } from "./clusters/State";

const clusters = client(ClusterService);

type Fleet = { byName: ReadonlyMap<string, Cluster>; isWhole: boolean };

/** A map of the clusters: pool by pool, each with its state, its load and its agent. */
export default function Clusters() {
  const [isAdding, setAdding] = useState(false);
  const { value, state } = useLive<WatchClustersResponse, Fleet>("clusters", "clusters", () => ({
    open: (signal) => clusters.watchClusters({}, { signal }),
    empty: () => ({ byName: new Map(), isWhole: false }),
    fold: (fleet, message) => {
      const byName = new Map(fleet.byName);
      for (const cluster of message.clusters) byName.set(cluster.name, cluster);
      for (const name of message.removed) byName.delete(name);
      return { byName, isWhole: fleet.isWhole || message.complete };
    },
    isWhole: (fleet) => fleet.isWhole,
  }));
  const found = value && [...value.byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
  const add = useMay()("cluster:write") && (
    <button type="button" className="primary" onClick={() => setAdding(true)}>
      Add a cluster
    </button>
  );
  return (
    <Page
      title="Clusters"
      lede="Where actions run. Each cluster has one agent, which dials out to here; nothing dials in."
      actions={
        <>
          <Light state={state} />
          {add}
        </>
      }
    >
      {state.kind === "stopped" && found === undefined ? (
        <Trouble problem={state.problem} />
      ) : found === undefined ? (
        <Skeleton />
      ) : found.length === 0 ? (
        <Empty title="No cluster yet">
          <p>
            Actions wait until there is one.{" "}
            {add
              ? "Add a cluster, and its agent appears here by itself."
              : "An administrator of the org can add one."}
          </p>
          {add && <p className="actions">{add}</p>}
        </Empty>
      ) : (
        <div className="stack">
          {poolsOf(found).map(([pool, members]) => (
            <section key={pool} aria-label={`Pool ${pool || "default"}`} className="stack">
              <h2>
                {pool || "default pool"}{" "}
                <span className="quiet">
                  {members.filter((each) => each.state === "ready").length} of {members.length}{" "}
                  ready
                </span>
              </h2>
              <div className="cards">
                {members.map((cluster) => (
                  <Card key={cluster.name} cluster={cluster} />
                ))}
              </div>
            </section>
          ))}
        </div>
      )}
      {isAdding && <AddCluster onClose={() => setAdding(false)} />}
    </Page>
  );
}

function poolsOf(found: readonly Cluster[]): [string, Cluster[]][] {
  const pools = new Map<string, Cluster[]>();
  for (const cluster of found)
    pools.set(cluster.pool, [...(pools.get(cluster.pool) ?? []), cluster]);
  return [...pools].sort(([a], [b]) => (a < b ? -1 : 1));
}

function Card({ cluster }: { cluster: Cluster }) {
  const { load } = cluster;
  const busy = load?.leased ?? 0;
  const slots = busy + (load?.slots ?? 0);
  useNow();
  return (
    <article className="card" aria-label={cluster.name}>
      <header>
        <h3>
          <To to={`/v2/admin/clusters/${encodeURIComponent(cluster.name)}`}>{cluster.name}</To>
        </h3>
        <ClusterState state={cluster.state} />
      </header>
      <div>
        <div className="meter" role="img" aria-label={`${busy} of ${slots} slots are taken`}>
          <span style={{ width: `${slots === 0 ? 0 : (busy / slots) * 100}%` }} />
        </div>
        <p className="quiet num hint">
          {busy} of {slots} slots taken
          {load && load.unaccepted > 0 ? `, ${load.unaccepted} not accepted yet` : ""}
        </p>
      </div>
      <p className="quiet hint">
        {cluster.seenAt === undefined ? (
          "Its agent has never connected."
        ) : (
          <>
            heard <Ago at={msOf(cluster.seenAt)} /> · {cluster.agent?.software || "unknown agent"} ·
            session {String(cluster.epoch)}
          </>
        )}
      </p>
      {cluster.cloned !== "" && (
        <p className="error-line hint">
          Two agents used its identity; {cluster.cloned} was refused.
        </p>
      )}
    </article>
  );
}
