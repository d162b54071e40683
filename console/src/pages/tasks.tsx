import { usePaged } from "../api/paged";
import { tasks } from "../api/tasks";
import { Filter_Function } from "../gen/flyteidl2/common/list_pb";
import type { Task } from "../gen/flyteidl2/task/task_definition_pb";
import { msOf } from "../model/time";
import { text } from "../model/url";
import { Ago, Command, Phase, To } from "../parts/basics";
import { Field } from "../parts/Field";
import { List } from "../parts/List";
import { Page } from "../parts/Page";
import { Empty } from "../parts/states";
import { flyteCommand } from "../shell/command";
import { placePath, runPath, usePath, useUrl } from "../shell/url";

const URL_STATE = { q: text() };

/** The tasks that are deployed in a project, the latest version of each. */
export default function Tasks() {
  const place = usePath<"project" | "domain">();
  const { values, set } = useUrl(URL_STATE);
  const list = usePaged<Task>(["tasks", place, values.q], async (token, signal) => {
    const filters =
      values.q === ""
        ? []
        : [
            {
              field: "name",
              function: Filter_Function.CONTAINS_CASE_INSENSITIVE,
              values: [values.q],
            },
          ];
    const scopeBy = {
      case: "projectId" as const,
      value: { organization: "", name: place.project, domain: place.domain },
    };
    const answer = await tasks.listTasks(
      { request: { limit: 100, token, filters }, scopeBy },
      { signal },
    );
    return { rows: answer.tasks, next: answer.token };
  });
  return (
    <Page
      title="Tasks"
      lede="What is deployed here. Tasks of a script that was only run are on its run's page."
    >
      <div className="filters">
        <Field name="Task" value={values.q} set={(q) => set({ q }, "replace")} />
      </div>
      <List
        label="Tasks"
        list={list}
        keyOf={(task) => task.taskId?.name ?? ""}
        empty={
          values.q !== "" ? (
            <Empty title="No task is called so" />
          ) : (
            <Empty title="No task is deployed here">
              <p>To deploy the tasks of an environment:</p>
              <Command>{flyteCommand("deploy FILE.py env", place)}</Command>
            </Empty>
          )
        }
        columns={[
          {
            name: "Task",
            cell: (task) => (
              <To to={placePath(place, `tasks/${encodeURIComponent(task.taskId?.name ?? "")}`)}>
                {task.taskId?.name}
              </To>
            ),
          },
          { name: "Environment", cell: (task) => task.metadata?.environmentName },
          { name: "Version", cell: (task) => <code>{task.taskId?.version.slice(0, 12)}</code> },
          { name: "Deployed", cell: (task) => <Ago at={msOf(task.metadata?.deployedAt)} /> },
          {
            name: "Last run",
            cell: (task) => {
              const last = task.taskSummary?.latestRun;
              if (last?.runId === undefined) return <span className="quiet">never</span>;
              return (
                <span className="tags">
                  <Phase phase={last.phase} bare />
                  <To to={runPath(place, last.runId.name)}>
                    <Ago at={msOf(last.runTime)} />
                  </To>
                </span>
              );
            },
          },
          { name: "About", cell: (task) => task.metadata?.shortDescription },
        ]}
      />
    </Page>
  );
}
