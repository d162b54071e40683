import { toJson } from "@bufbuild/protobuf";
import { useQuery } from "@tanstack/react-query";
import { runs } from "../api/clients";
import { usePaged } from "../api/paged";
import { tasks } from "../api/tasks";
import { type TaskDetails, TaskSpecSchema } from "../gen/flyteidl2/task/task_definition_pb";
import type { ListVersionsResponse_VersionResponse } from "../gen/flyteidl2/task/task_service_pb";
import { changesOf } from "../model/diff";
import { msOf } from "../model/time";
import { oneOf, text } from "../model/url";
import { formatJson } from "../model/values";
import { Ago, Copy, Fields, Phase, To, Took } from "../parts/basics";
import { List } from "../parts/List";
import { Page } from "../parts/Page";
import { RunTicks } from "../parts/RunTicks";
import { Empty, Loaded } from "../parts/states";
import { Table } from "../parts/Table";
import { Tabs } from "../parts/Tabs";
import { JsonTree } from "../parts/ValueView";
import { useMay } from "../shell/session";
import { type Place, placePath, runPath, usePath, useUrl } from "../shell/url";

const TABS = [
  { id: "runs", name: "Runs" },
  { id: "versions", name: "Versions" },
  { id: "inputs", name: "Inputs and outputs" },
  { id: "spec", name: "Spec" },
] as const;
const URL_STATE = {
  tab: oneOf(["runs", "versions", "inputs", "spec"], "runs"),
  version: text(),
  against: text(),
};

/** One task: how it has run, its versions and what differs between them, what it takes and gives. */
export default function Task() {
  const { project, domain, task: name } = usePath<"project" | "domain" | "task">();
  const place = { project, domain };
  const { values, set } = useUrl(URL_STATE);
  const versions = useVersions(place, name);
  const version = values.version || versions.rows?.[0]?.version || "";
  const details = useDetails(place, name, version);
  const canRun = useMay()("run:create");
  return (
    <Page
      title={name}
      lede={details.data?.metadata?.shortDescription || undefined}
      actions={
        canRun && (
          <To
            className="button primary"
            to={placePath(
              place,
              `launch?task=${encodeURIComponent(name)}${version ? `&version=${version}` : ""}`,
            )}
          >
            Launch
          </To>
        )
      }
    >
      <Tabs label="Task" tabs={TABS} chosen={values.tab} onChoose={(tab) => set({ tab })}>
        {values.tab === "runs" && <TaskRuns place={place} name={name} />}
        {values.tab === "versions" && (
          <Versions
            versions={versions}
            place={place}
            name={name}
            version={version}
            against={values.against}
            set={(changes) => set(changes)}
          />
        )}
        {values.tab === "inputs" && (
          <Loaded query={details}>{(found) => <Interface details={found} />}</Loaded>
        )}
        {values.tab === "spec" && (
          <Loaded query={details}>
            {(found) =>
              found.spec === undefined ? (
                <Empty title="It has no specification" />
              ) : (
                <>
                  <p className="actions">
                    <Copy
                      text={formatJson(toJson(TaskSpecSchema, found.spec))}
                      label="Copy as JSON"
                    />
                  </p>
                  <JsonTree json={toJson(TaskSpecSchema, found.spec)} depth={0} />
                </>
              )
            }
          </Loaded>
        )}
      </Tabs>
    </Page>
  );
}

function taskId(place: Place, name: string, version: string) {
  return { org: "", project: place.project, domain: place.domain, name, version };
}

export function useDetails(place: Place, name: string, version: string) {
  return useQuery<TaskDetails>({
    queryKey: ["task", place, name, version],
    enabled: name !== "" && version !== "",
    queryFn: async ({ signal }) => {
      const answer = await tasks.getTaskDetails(
        { taskId: taskId(place, name, version) },
        { signal },
      );
      if (answer.details === undefined) throw new Error("the answer has no details");
      return answer.details;
    },
  });
}

export function useVersions(place: Place, name: string) {
  return usePaged<ListVersionsResponse_VersionResponse>(
    ["versions", place, name],
    async (token, signal) => {
      const taskName = { org: "", project: place.project, domain: place.domain, name };
      const answer = await tasks.listVersions(
        { request: { limit: 50, token }, taskName },
        { signal },
      );
      return { rows: answer.versions, next: answer.token };
    },
    { enabled: name !== "" },
  );
}

function TaskRuns({ place, name }: { place: Place; name: string }) {
  const query = useQuery({
    queryKey: ["task runs", place, name],
    refetchInterval: 5000,
    queryFn: ({ signal }) =>
      runs.listRuns(
        {
          request: { limit: 40 },
          scopeBy: {
            case: "taskName",
            value: { org: "", project: place.project, domain: place.domain, name },
          },
        },
        { signal },
      ),
  });
  return (
    <Loaded query={query}>
      {({ runs: found }) =>
        found.length === 0 ? (
          <Empty title="It has never run" />
        ) : (
          <div className="stack">
            <RunTicks runs={found} pathOf={(run) => runPath(place, run)} />
            <Table
              label="Last runs"
              rows={found}
              keyOf={(run) => run.action?.id?.run?.name ?? ""}
              columns={[
                { name: "State", cell: (run) => <Phase phase={run.action?.status?.phase ?? 0} /> },
                {
                  name: "Run",
                  cell: (run) => {
                    const one = run.action?.id?.run?.name ?? "";
                    return <To to={runPath(place, one)}>{one}</To>;
                  },
                },
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
                {
                  name: "Version",
                  cell: (run) => {
                    const spec = run.action?.metadata?.spec;
                    return (
                      <code>
                        {spec?.case === "task" ? spec.value.id?.version.slice(0, 12) : ""}
                      </code>
                    );
                  },
                },
              ]}
            />
          </div>
        )
      }
    </Loaded>
  );
}

function Versions(props: {
  versions: ReturnType<typeof useVersions>;
  place: Place;
  name: string;
  version: string;
  against: string;
  set: (changes: { version?: string; against?: string }) => void;
}) {
  const { place, name, version, against } = props;
  return (
    <div className="stack">
      <List
        label="Versions"
        list={props.versions}
        keyOf={(each) => each.version}
        empty={<Empty title="It has no version" />}
        columns={[
          {
            name: "Version",
            cell: (each) => (
              <button
                type="button"
                className="small"
                aria-pressed={each.version === version}
                onClick={() => props.set({ version: each.version })}
              >
                <code>{each.version}</code>
              </button>
            ),
          },
          { name: "Deployed", cell: (each) => <Ago at={msOf(each.deployedAt)} /> },
          {
            name: "Differences",
            cell: (each) =>
              each.version === version ? (
                <span className="quiet">chosen</span>
              ) : (
                <button
                  type="button"
                  className="small"
                  onClick={() => props.set({ against: each.version })}
                >
                  Compare with the chosen one
                </button>
              ),
          },
        ]}
      />
      {against !== "" && <Differences place={place} name={name} a={against} b={version} />}
    </div>
  );
}

function Differences({ place, name, a, b }: { place: Place; name: string; a: string; b: string }) {
  const [before, after] = [useDetails(place, name, a), useDetails(place, name, b)];
  if (before.data?.spec === undefined || after.data?.spec === undefined) return null;
  const changes = changesOf(
    toJson(TaskSpecSchema, before.data.spec),
    toJson(TaskSpecSchema, after.data.spec),
  );
  return (
    <section aria-label="Differences">
      <h2>
        From {a.slice(0, 12)} to {b.slice(0, 12)}
      </h2>
      {changes.length === 0 ? (
        <p>Their specifications are the same.</p>
      ) : (
        <Table
          label="Differences"
          rows={changes}
          keyOf={(change) => change.path}
          columns={[
            { name: "Field", cell: (change) => <code>{change.path}</code> },
            { name: a.slice(0, 12), wrap: true, cell: (change) => <code>{change.before}</code> },
            { name: b.slice(0, 12), wrap: true, cell: (change) => <code>{change.after}</code> },
          ]}
        />
      )}
    </section>
  );
}

function Interface({ details }: { details: TaskDetails }) {
  const template = details.spec?.taskTemplate;
  const inputs = template?.interface?.inputs?.variables ?? [];
  const outputs = template?.interface?.outputs?.variables ?? [];
  const rows = (variables: typeof inputs) =>
    variables.map(({ key, value }) => [key, value?.description || typeOf(value?.type)] as const);
  return (
    <div className="split">
      <section className="card" aria-label="Inputs">
        <h2>Inputs</h2>
        {inputs.length === 0 ? (
          <p className="quiet">It takes none.</p>
        ) : (
          <Fields rows={rows(inputs)} />
        )}
      </section>
      <section className="card" aria-label="Outputs">
        <h2>Outputs</h2>
        {outputs.length === 0 ? (
          <p className="quiet">It returns none.</p>
        ) : (
          <Fields rows={rows(outputs)} />
        )}
      </section>
    </div>
  );
}

const SIMPLE = [
  "None",
  "int",
  "float",
  "str",
  "bool",
  "datetime",
  "timedelta",
  "bytes",
  "error",
  "dict",
];

type Type = NonNullable<
  NonNullable<NonNullable<NonNullable<TaskDetails["spec"]>["taskTemplate"]>["interface"]>["inputs"]
>["variables"][number]["value"];

/** The name of a type as Python writes it. */
export function typeOf(type: NonNullable<Type>["type"]): string {
  switch (type?.type.case) {
    case "simple":
      return SIMPLE[type.type.value] ?? "value";
    case "collectionType":
      return `list[${typeOf(type.type.value)}]`;
    case "mapValueType":
      return `dict[str, ${typeOf(type.type.value)}]`;
    case "unionType":
      return type.type.value.variants.map(typeOf).join(" | ");
    case "enumType":
      return type.type.value.values.map((each) => JSON.stringify(each)).join(" | ");
    case "blob":
      return type.type.value.dimensionality === 1 ? "Dir" : "File";
    case "structuredDatasetType":
      return "DataFrame";
    default:
      return "value";
  }
}
