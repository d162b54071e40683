import { useQuery } from "@tanstack/react-query";
import { client, runs } from "../api/clients";
import { Filter_Function } from "../gen/flyteidl2/common/list_pb";
import type { Run } from "../gen/flyteidl2/workflow/run_definition_pb";
import { ClusterService } from "../gen/shared/idl/platform/v1/cluster_pb";
import { msOf } from "../model/time";
import { Ago, Name, Phase, To, Took } from "../parts/basics";
import { Page } from "../parts/Page";
import { Loaded } from "../parts/states";
import { Table } from "../parts/Table";
import { usePreferences } from "../shell/preferences";
import { useMay, useProjects } from "../shell/session";
import { type Place, runPath } from "../shell/url";
import { ClusterState } from "./clusters/State";
import { FirstSteps } from "./home/FirstSteps";

const clusters = client(ClusterService);

/** What goes on in the last project, what has failed there, and whether the clusters are well. */
export default function Home() {
  const { recentPlaces } = usePreferences();
  const projects = useProjects();
  const first = projects.data?.[0];
  const place =
    recentPlaces[0] ?? (first?.domains[0] && { project: first.id, domain: first.domains[0].id });
  return (
    <Page title="Home" lede={place && `${place.project} / ${place.domain}`}>
      {place === undefined ? (
        <Loaded query={projects}>{() => <FirstSteps place={undefined} run={undefined} />}</Loaded>
      ) : (
        <div className="stack">
          <First place={place} />
          <div className="split">
            <Section
              place={place}
              title="In progress"
              phases={GOING}
              none="Nothing is in progress."
            />
            <Section
              place={place}
              title="Failed lately"
              phases={FAILED}
              none="Nothing has failed."
            />
          </div>
          <Clusters />
        </div>
      )}
    </Page>
  );
}

const GOING = ["queued", "waiting_for_resources", "initializing", "running", "paused"];
const FAILED = ["failed", "timed_out"];

function useRunsIn(place: Place, phases: readonly string[], limit: number) {
  return useQuery({
    queryKey: ["home", place, phases, limit],
    refetchInterval: 3000,
    queryFn: async ({ signal }) => {
      const filters =
        phases.length === 0
          ? []
          : [{ field: "phase", function: Filter_Function.VALUE_IN, values: [...phases] }];
      const scopeBy = {
        case: "projectId" as const,
        value: { organization: "", name: place.project, domain: place.domain },
      };
      return (await runs.listRuns({ request: { limit, filters }, scopeBy }, { signal })).runs;
    },
  });
}

function Section(props: { place: Place; title: string; phases: readonly string[]; none: string }) {
  const query = useRunsIn(props.place, props.phases, 8);
  return (
    <section className="stack" aria-label={props.title}>
      <h2>{props.title}</h2>
      <Loaded query={query}>
        {(found) =>
          found.length === 0 ? (
            <p className="quiet">{props.none}</p>
          ) : (
            <Table
              label={props.title}
              rows={found}
              keyOf={nameOf}
              columns={[
                { name: "State", cell: (run) => <Phase phase={run.action?.status?.phase ?? 0} /> },
                {
                  name: "Run",
                  cell: (run) => (
                    <To to={runPath(props.place, nameOf(run))}>
                      <Name>{nameOf(run)}</Name>
                    </To>
                  ),
                },
                { name: "Task", cell: taskOf },
                {
                  name: "Started",
                  cell: (run) => <Ago at={msOf(run.action?.status?.startTime)} />,
                },
                {
                  name: "Took",
                  align: "right",
                  cell: (run) => (
                    <Took
                      from={msOf(run.action?.status?.startTime)}
                      until={msOf(run.action?.status?.endTime)}
                    />
                  ),
                },
              ]}
            />
          )
        }
      </Loaded>
    </section>
  );
}

function nameOf(run: Run): string {
  return run.action?.id?.run?.name ?? "";
}

function taskOf(run: Run): string {
  const spec = run.action?.metadata?.spec;
  return spec?.case === "task" ? (spec.value.id?.name ?? "") : "";
}

function Clusters() {
  const may = useMay();
  const query = useQuery({
    queryKey: ["clusters"],
    refetchInterval: 5000,
    retry: false,
    queryFn: async ({ signal }) =>
      (await clusters.listClusters({ pageSize: 200 }, { signal })).clusters,
  });
  if (query.data === undefined) return null;
  return (
    <section className="stack" aria-label="Clusters">
      <h2>Clusters</h2>
      {query.data.length === 0 ? (
        <p>
          There is none, so actions wait.{" "}
          {may("cluster:write") && <To to="/v2/admin/clusters">Add a cluster</To>}
        </p>
      ) : (
        <p className="tags">
          {query.data.slice(0, 12).map((cluster) => (
            <To
              key={cluster.name}
              className="button"
              to={`/v2/admin/clusters/${encodeURIComponent(cluster.name)}`}
            >
              {cluster.name} <ClusterState state={cluster.state} />
            </To>
          ))}
        </p>
      )}
    </section>
  );
}

/** The first steps, until there is a second run. */
function First({ place }: { place: Place }) {
  const { data } = useRunsIn(place, [], 2);
  return data === undefined || data.length > 1 ? null : <FirstSteps place={place} run={data[0]} />;
}
