import { client } from "../api/clients";
import { usePaged } from "../api/paged";
import type { Run } from "../gen/flyteidl2/workflow/run_definition_pb";
import { TrackedRunService } from "../gen/flyteidl2/workflow/tracked_run_service_pb";
import { nameOfIdentity } from "../model/people";
import { msOf } from "../model/time";
import { Ago, Command, Name, Phase, To, Took } from "../parts/basics";
import { List } from "../parts/List";
import { Page } from "../parts/Page";
import { Empty } from "../parts/states";
import { flyteCommand } from "../shell/command";
import { placePath, usePath } from "../shell/url";

const tracked = client(TrackedRunService);

/** Runs that are executed where they were started, and reported here by the SDK. */
export default function TrackedRuns() {
  const place = usePath<"project" | "domain">();
  const list = usePaged<Run>(
    ["tracked runs", place],
    async (token, signal) => {
      const scopeBy = {
        case: "projectId" as const,
        value: { organization: "", name: place.project, domain: place.domain },
      };
      const answer = await tracked.listRuns({ request: { limit: 50, token }, scopeBy }, { signal });
      return { rows: answer.runs, next: answer.token };
    },
    { refresh: 3000 },
  );
  return (
    <Page
      title="Tracked runs"
      lede="Executed where they were started, on a laptop or in CI, and reported here by the SDK."
    >
      <List
        label="Tracked runs"
        list={list}
        keyOf={nameOf}
        empty={
          <Empty title="No tracked run yet">
            <p>A workflow that runs on your machine is shown here with:</p>
            <Command>{flyteCommand("run --tracked hello.py main", place)}</Command>
          </Empty>
        }
        columns={[
          { name: "State", cell: (run) => <Phase phase={run.action?.status?.phase ?? 0} /> },
          {
            name: "Run",
            cell: (run) => (
              <To to={placePath(place, `tracked-runs/${encodeURIComponent(nameOf(run))}`)}>
                <Name>{nameOf(run)}</Name>
              </To>
            ),
          },
          { name: "Task", cell: taskOf },
          { name: "Started", cell: (run) => <Ago at={msOf(run.action?.status?.startTime)} /> },
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
          { name: "By", cell: (run) => nameOfIdentity(run.action?.metadata?.executedBy) },
        ]}
      />
    </Page>
  );
}

function nameOf(run: Run): string {
  return run.action?.id?.run?.name ?? "";
}

function taskOf(run: Run): string {
  const spec = run.action?.metadata?.spec;
  return spec?.case === "task" ? (spec.value.id?.name ?? "") : "";
}
