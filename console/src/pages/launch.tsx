import type { JsonObject } from "@bufbuild/protobuf";
import { useMutation, useQuery } from "@tanstack/react-query";
import { useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { client, runs } from "../api/clients";
import { usePaged } from "../api/paged";
import { tasks } from "../api/tasks";
import { Filter_Function } from "../gen/flyteidl2/common/list_pb";
import { RelationType } from "../gen/flyteidl2/common/run_pb";
import type { Task, TaskSpec } from "../gen/flyteidl2/task/task_definition_pb";
import { RunSource } from "../gen/flyteidl2/workflow/run_definition_pb";
import { TranslatorService } from "../gen/flyteidl2/workflow/translator_service_pb";
import { fillForm, type Input, initialText, inputsOf, optionsOf, type Schema } from "../model/form";
import { text } from "../model/url";
import { Command, To } from "../parts/basics";
import { Failure } from "../parts/Confirm";
import { Field } from "../parts/Field";
import { CheckField, SelectField, TextField } from "../parts/inputs";
import { List } from "../parts/List";
import { Page } from "../parts/Page";
import { Empty, Loaded } from "../parts/states";
import { flyteCommand } from "../shell/command";
import { type Place, placePath, runPath, usePath, useUrl } from "../shell/url";
import { useDetails, useVersions } from "./task";

const translator = client(TranslatorService);
const URL_STATE = { task: text(), version: text(), run: text(), q: text() };

type Launchable = {
  name: string;
  version: string;
  spec: TaskSpec;
  form: Schema;
  from: string;
};

/** Starts a run: of a deployed task, or of an earlier run with its inputs. */
export default function Launch() {
  const place = usePath<"project" | "domain">();
  const { values, set } = useUrl(URL_STATE);
  if (values.run !== "") return <Rerun place={place} run={values.run} />;
  if (values.task !== "")
    return <OfTask place={place} task={values.task} version={values.version} />;
  return <Choose place={place} query={values.q} find={(q) => set({ q }, "replace")} />;
}

function Choose(props: { place: Place; query: string; find: (query: string) => void }) {
  const { place, query } = props;
  const list = usePaged<Task>(["launch", place, query], async (token, signal) => {
    const filters =
      query === ""
        ? []
        : [{ field: "name", function: Filter_Function.CONTAINS_CASE_INSENSITIVE, values: [query] }];
    const scopeBy = {
      case: "projectId" as const,
      value: { organization: "", name: place.project, domain: place.domain },
    };
    const answer = await tasks.listTasks(
      { request: { limit: 50, token, filters }, scopeBy },
      { signal },
    );
    return { rows: answer.tasks, next: answer.token };
  });
  return (
    <Page title="Launch" lede="Choose a task that is deployed here.">
      <div className="filters">
        <Field name="Task" value={query} set={props.find} />
      </div>
      <List
        label="Tasks to launch"
        list={list}
        keyOf={(task) => task.taskId?.name ?? ""}
        empty={
          <Empty title="No task is deployed here">
            <Command>{flyteCommand("deploy FILE.py env", place)}</Command>
          </Empty>
        }
        columns={[
          {
            name: "Task",
            cell: (task) => (
              <To
                to={placePath(place, `launch?task=${encodeURIComponent(task.taskId?.name ?? "")}`)}
              >
                {task.taskId?.name}
              </To>
            ),
          },
          { name: "Environment", cell: (task) => task.metadata?.environmentName },
          { name: "About", cell: (task) => task.metadata?.shortDescription },
        ]}
      />
    </Page>
  );
}

function OfTask({ place, task, version }: { place: Place; task: string; version: string }) {
  const versions = useVersions(place, task);
  const chosen = version || versions.rows?.[0]?.version || "";
  const details = useDetails(place, task, chosen);
  const query = useQuery<Launchable>({
    queryKey: ["form", place, task, chosen],
    enabled: details.data?.spec !== undefined,
    queryFn: async ({ signal }) => {
      const spec = details.data!.spec!;
      const answer = await translator.taskSpecToLaunchFormJson({ taskSpec: spec }, { signal });
      return { name: task, version: chosen, spec, form: (answer.json ?? {}) as Schema, from: "" };
    },
  });
  const shown = details.isError ? details : query;
  return (
    <Page title={`Launch ${task}`} lede={chosen && <>Version {chosen}</>}>
      <Loaded query={shown as typeof query}>
        {(found) => <Form place={place} of={found} key={found.version} />}
      </Loaded>
    </Page>
  );
}

function Rerun({ place, run }: { place: Place; run: string }) {
  const runId = { org: "", project: place.project, domain: place.domain, name: run };
  const query = useQuery<Launchable>({
    queryKey: ["form of", place, run],
    staleTime: Number.POSITIVE_INFINITY,
    queryFn: async ({ signal }) => {
      const { details } = await runs.getRunDetails({ runId }, { signal });
      const action = details?.action;
      if (action?.spec.case !== "task") throw new Error("this run has no task");
      const spec = action.spec.value;
      const owner = { case: "actionId" as const, value: { run: runId, name: "a0" } };
      const variables = spec.taskTemplate?.interface?.inputs;
      const { inputs } = await runs.getActionData({ actionId: owner.value }, { signal });
      const answer = await translator.literalsToLaunchFormJson(
        { variables, literals: inputs?.literals ?? [], owner },
        { signal },
      );
      const id = action.metadata?.spec.case === "task" ? action.metadata.spec.value.id : undefined;
      return {
        name: id?.name ?? run,
        version: id?.version ?? "",
        spec,
        form: (answer.json ?? {}) as Schema,
        from: run,
      };
    },
  });
  return (
    <Page
      title={`Rerun ${run}`}
      lede="The same code with the same inputs, unless you change them here. A recovery takes over what has succeeded."
    >
      <Loaded query={query}>{(found) => <Form place={place} of={found} />}</Loaded>
    </Page>
  );
}

function Form({ place, of }: { place: Place; of: Launchable }) {
  const inputs = inputsOf(of.form);
  const [typed, setTyped] = useState<ReadonlyMap<string, string>>(new Map());
  const [name, setName] = useState("");
  const [queue, setQueue] = useState("");
  const [labels, setLabels] = useState("");
  const [recover, setRecover] = useState(false);
  const [overwrite, setOverwrite] = useState(false);
  const navigate = useNavigate();
  const launch = useMutation({
    mutationFn: async () => {
      const json = fillForm(of.form, typed) as JsonObject;
      const { literals } = await translator.launchFormJsonToLiterals({ json });
      const source = { org: "", project: place.project, domain: place.domain, name: of.from };
      const relationType = recover ? RelationType.RECOVER : RelationType.RERUN;
      const answer = await runs.createRun({
        id:
          name === ""
            ? {
                case: "projectId",
                value: { organization: "", name: place.project, domain: place.domain },
              }
            : {
                case: "runId",
                value: { org: "", project: place.project, domain: place.domain, name },
              },
        task: { case: "taskSpec", value: of.spec },
        inputWrapper: { case: "inputs", value: { literals } },
        source: RunSource.WEB,
        runSpec: {
          queue,
          labels: { values: parseLabels(labels) },
          cacheConfig: { overwriteCache: overwrite },
          ...(of.from === "" ? {} : { relation: { relatedTo: source, relationType } }),
        },
      });
      return answer.run?.action?.id?.run?.name ?? "";
    },
    onSuccess: (run) => void navigate({ to: runPath(place, run) }),
  });
  const options = optionsOf(of.form, typed);
  const command =
    of.from === ""
      ? flyteCommand(`run deployed-task ${of.name}${options}`, place)
      : flyteCommand(`rerun ${of.from}${recover ? " --recover" : ""}${options}`, place);
  return (
    <form
      className="form"
      onSubmit={(event) => {
        event.preventDefault();
        launch.mutate();
      }}
    >
      {inputs.length === 0 && <p className="quiet">It takes no inputs.</p>}
      {inputs.map((input) => (
        <InputField
          key={input.name}
          input={input}
          value={typed.get(input.name) ?? initialText(input)}
          set={(value) => setTyped(new Map(typed).set(input.name, value))}
        />
      ))}
      <details>
        <summary>More: name, queue, labels, cache</summary>
        <div className="form">
          <TextField
            label="Name of the run"
            placeholder="made up if empty"
            value={name}
            set={setName}
          />
          <TextField label="Queue" placeholder="default" value={queue} set={setQueue} />
          <TextField
            label="Labels"
            placeholder="team=vision, kind=test"
            value={labels}
            set={setLabels}
          />
          <CheckField
            label="Run what is cached again, and replace it"
            value={overwrite}
            set={setOverwrite}
          />
        </div>
      </details>
      {of.from !== "" && (
        <CheckField
          label={`Recover: take over what succeeded in ${of.from}`}
          value={recover}
          set={setRecover}
        />
      )}
      {launch.isError && <LaunchFailure error={launch.error} />}
      <p className="actions">
        <button type="submit" className="primary" disabled={launch.isPending}>
          {launch.isPending ? "Starting …" : "Run"}
        </button>
      </p>
      <div className="field">
        <span className="hint">The same from a terminal:</span>
        <Command>{command}</Command>
      </div>
    </form>
  );
}

/** An input that cannot be is said by its name; anything else as the server says it. */
function LaunchFailure({ error }: { error: unknown }) {
  if (error instanceof Error && error.constructor === Error) {
    return (
      <p className="error-box" role="alert">
        {error.message}.
      </p>
    );
  }
  return <Failure error={error} />;
}

function InputField({
  input,
  value,
  set,
}: {
  input: Input;
  value: string;
  set: (value: string) => void;
}) {
  const label = (
    <span>
      <code>{input.name}</code> <span className="hint">{input.hint}</span>
      {input.isRequired && <span className="hint"> required</span>}
    </span>
  );
  if (input.kind === "bool" || input.kind === "choice") {
    const choices = input.kind === "bool" ? ["false", "true"] : input.choices;
    const unset = choices.includes(value) ? [] : [{ value, label: "choose" }];
    return <SelectField label={label} value={value} set={set} choices={[...unset, ...choices]} />;
  }
  const isLong = input.kind === "json" || value.length > 60 || value.includes("\n");
  const rows = isLong ? Math.min(14, value.split("\n").length + 1) : undefined;
  return <TextField label={label} value={value} set={set} rows={rows} />;
}

function parseLabels(text: string): Record<string, string> {
  const pairs = text
    .split(",")
    .map((each) => each.trim())
    .filter((each) => each !== "");
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf("=");
      if (at <= 0) throw new Error(`the label ${pair} must be key=value`);
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}
