import { client } from "../api/clients";
import { usePaged } from "../api/paged";
import type { Artifact } from "../gen/flyteidl2/artifact/artifact_pb";
import { type ArtifactGroup, ArtifactService } from "../gen/flyteidl2/artifact/artifact_service_pb";
import { msOf } from "../model/time";
import { text } from "../model/url";
import { readValue } from "../model/values";
import { Ago, Tag, To } from "../parts/basics";
import { List } from "../parts/List";
import { Page } from "../parts/Page";
import { Empty } from "../parts/states";
import { ValueView } from "../parts/ValueView";
import { type Place, placePath, runPath, usePath, useUrl } from "../shell/url";

const artifacts = client(ArtifactService);

/** Named outputs of runs: their versions and partitions, and the action that made each. */
export default function Artifacts() {
  const { project, domain, artifact } = usePath<"project" | "domain" | "artifact">();
  const place = { project, domain };
  if (artifact !== undefined) return <Versions place={place} name={artifact} />;
  return <Names place={place} />;
}

function Names({ place }: { place: Place }) {
  const projectId = { organization: "", name: place.project, domain: place.domain };
  const list = usePaged<ArtifactGroup>(["artifacts", place], async (token, signal) => {
    const answer = await artifacts.listArtifactNames(
      { request: { limit: 100, token }, projectId },
      { signal },
    );
    return { rows: answer.groups, next: answer.token };
  });
  return (
    <Page title="Artifacts" lede="Outputs that tasks have published under a name.">
      <List
        label="Artifacts"
        list={list}
        keyOf={(group) => group.latest?.artifactId?.name?.name ?? ""}
        empty={
          <Empty title="No artifact yet">
            <p>A task publishes one by the type of its output; docs/artifacts.md says how.</p>
          </Empty>
        }
        columns={[
          {
            name: "Artifact",
            cell: (group) => {
              const name = group.latest?.artifactId?.name?.name ?? "";
              return <To to={placePath(place, `artifacts/${encodeURIComponent(name)}`)}>{name}</To>;
            },
          },
          { name: "Versions", align: "right", cell: (group) => String(group.versions) },
          { name: "Latest", cell: (group) => <Ago at={msOf(group.latest?.createdAt)} /> },
          { name: "Partitions", cell: (group) => group.partitionSchema?.partitionKeys.join(", ") },
        ]}
      />
    </Page>
  );
}

const URL_STATE = { version: text() };

function Versions({ place, name }: { place: Place; name: string }) {
  const projectId = { organization: "", name: place.project, domain: place.domain };
  const { values, set } = useUrl(URL_STATE);
  const list = usePaged<Artifact>(["artifact", place, name], async (token, signal) => {
    const answer = await artifacts.listArtifacts(
      { request: { limit: 50, token }, projectId, name },
      { signal },
    );
    return { rows: answer.artifacts, next: answer.token };
  });
  const chosen =
    list.rows?.find((each) => each.artifactId?.version === values.version) ?? list.rows?.[0];
  return (
    <Page title={name} lede={<To to={placePath(place, "artifacts")}>All artifacts</To>}>
      <div className="stack">
        {chosen?.spec?.value !== undefined && (
          <section className="card" aria-label="Value">
            <h2>
              Version <code>{chosen.artifactId?.version}</code>
            </h2>
            <ValueView value={readValue(chosen.spec.value)} />
          </section>
        )}
        <List
          label="Versions"
          list={list}
          keyOf={(each) => each.artifactId?.version ?? ""}
          empty={<Empty title="It has no version" />}
          columns={[
            {
              name: "Version",
              cell: (each) => (
                <button
                  type="button"
                  className="small"
                  onClick={() => set({ version: each.artifactId?.version ?? "" })}
                >
                  <code>{each.artifactId?.version}</code>
                </button>
              ),
            },
            { name: "Made", cell: (each) => <Ago at={msOf(each.createdAt)} /> },
            { name: "By action", cell: (each) => <Source artifact={each} /> },
            {
              name: "Partitions",
              cell: (each) => (
                <span className="tags">
                  {Object.entries(each.spec?.partitions?.value ?? {}).map(([key, value]) => (
                    <Tag key={key}>
                      {key}={value.value.case === "staticValue" ? value.value.value : "…"}
                    </Tag>
                  ))}
                </span>
              ),
            },
          ]}
        />
      </div>
    </Page>
  );
}

function Source({ artifact }: { artifact: Artifact }) {
  const source = artifact.spec?.source?.source;
  if (source?.case === "externalRef") return source.value;
  const action = source?.case === "taskAction" ? source.value.action : undefined;
  if (action?.run === undefined) return null;
  return (
    <To
      to={runPath(action.run, action.run.name, `?i=${action.name}`)}
    >{`${action.run.name} / ${action.name}`}</To>
  );
}
