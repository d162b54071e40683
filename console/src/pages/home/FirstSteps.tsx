import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { client, projects } from "../../api/clients";
import type { Run } from "../../gen/flyteidl2/workflow/run_definition_pb";
import { ClusterService } from "../../gen/shared/idl/platform/v1/cluster_pb";
import { Command, Name, Phase, To } from "../../parts/basics";
import { Failure } from "../../parts/Confirm";
import { TextField } from "../../parts/inputs";
import { useMay } from "../../shell/session";
import { type Place, runPath } from "../../shell/url";
import { AddCluster } from "../clusters/AddCluster";

const clusters = client(ClusterService);

const WORKFLOW = `cat > hello.py <<'END'
import flyte

env = flyte.TaskEnvironment(name="hello")


@env.task
async def main(name: str = "world") -> str:
    return f"Hello, {name}!"
END
flyte run hello.py main --name you`;

/** The way from an empty org to a first result; each step shows by itself that it is done. */
export function FirstSteps({ place, run }: { place: Place | undefined; run: Run | undefined }) {
  const may = useMay();
  const [isAdding, setAdding] = useState(false);
  const found = useQuery({
    queryKey: ["first clusters"],
    refetchInterval: 2000,
    retry: false,
    enabled: may("cluster:read"),
    queryFn: async ({ signal }) =>
      (await clusters.listClusters({ pageSize: 200 }, { signal })).clusters,
  });
  const connected = found.data?.find((cluster) => cluster.connected);
  return (
    <section className="stack" aria-label="First steps">
      <h2>First steps</h2>
      <ol className="steps">
        <Step title="Create a project" isDone={place !== undefined}>
          {place === undefined ? (
            <NewProject canWrite={may("project:write")} />
          ) : (
            <p>
              {place.project} has the domain {place.domain}.
            </p>
          )}
        </Step>
        {found.data !== undefined && (
          <Step title="Add a cluster" isDone={connected !== undefined}>
            {connected !== undefined ? (
              <p>
                <To to={`/v2/admin/clusters/${encodeURIComponent(connected.name)}`}>
                  {connected.name}
                </To>{" "}
                is connected.
              </p>
            ) : (
              <>
                <p>Tasks run in a cluster of yours, by an agent that you install there.</p>
                {may("cluster:write") && (
                  <p>
                    <button type="button" className="primary" onClick={() => setAdding(true)}>
                      Add a cluster
                    </button>
                  </p>
                )}
              </>
            )}
          </Step>
        )}
        {place !== undefined && (
          <>
            <Step title="Tell the command line where this is" isDone={run !== undefined}>
              <Command>{configOf(place)}</Command>
            </Step>
            <Step title="Run a workflow" isDone={run !== undefined}>
              <Command>{WORKFLOW}</Command>
            </Step>
            <Step title="See its result" isDone={run?.action?.status?.endTime !== undefined}>
              {run === undefined ? (
                <p>The run appears here by itself.</p>
              ) : (
                <p>
                  <Phase phase={run.action?.status?.phase ?? 0} />{" "}
                  <To to={runPath(place, run.action?.id?.run?.name ?? "")}>
                    <Name>{run.action?.id?.run?.name ?? ""}</Name>
                  </To>
                </p>
              )}
            </Step>
          </>
        )}
      </ol>
      {isAdding && <AddCluster onClose={() => setAdding(false)} />}
    </section>
  );
}

function configOf(place: Place): string {
  const insecure = location.protocol === "http:" ? " --insecure" : "";
  return `pip install flyte
flyte create config --endpoint ${location.host}${insecure} --project ${place.project} --domain ${place.domain}`;
}

function Step(props: { title: string; isDone: boolean; children: ReactNode }) {
  return (
    <li className={props.isDone ? "is-done" : undefined}>
      <h3>
        {props.title}{" "}
        {props.isDone ? (
          <span className="phase-succeeded">✓ done</span>
        ) : (
          <span className="quiet">◌ to do</span>
        )}
      </h3>
      {props.children}
    </li>
  );
}

function NewProject({ canWrite }: { canWrite: boolean }) {
  const [name, setName] = useState("");
  const queries = useQueryClient();
  const create = useMutation({
    mutationFn: () => projects.createProject({ project: { id: name, name } }),
    onSuccess: () => queries.invalidateQueries({ queryKey: ["projects"] }),
  });
  if (!canWrite) return <p>Ask an administrator of your org for a project.</p>;
  return (
    <form
      className="form"
      onSubmit={(event) => {
        event.preventDefault();
        create.mutate();
      }}
    >
      <TextField
        label="Name of the project"
        hint="Small letters, digits and dashes. Runs, tasks and their data belong to a project."
        required
        placeholder="my-project"
        value={name}
        set={setName}
      />
      {create.isError && <Failure error={create.error} />}
      <p className="actions">
        <button type="submit" className="primary" disabled={create.isPending}>
          Create
        </button>
      </p>
    </form>
  );
}
