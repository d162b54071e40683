import { client } from "../api/clients";
import { usePaged } from "../api/paged";
import type { TriggerAutomationSpec } from "../gen/flyteidl2/task/common_pb";
import type { Trigger } from "../gen/flyteidl2/trigger/trigger_definition_pb";
import { TriggerService } from "../gen/flyteidl2/trigger/trigger_service_pb";
import { nameOfIdentity } from "../model/people";
import { msOf } from "../model/time";
import { Act } from "../parts/Act";
import { Ago, To } from "../parts/basics";
import { List } from "../parts/List";
import { Page } from "../parts/Page";
import { Empty } from "../parts/states";
import { useMay } from "../shell/session";
import { placePath, usePath } from "../shell/url";

export const triggers = client(TriggerService);

/** What starts runs by itself: schedules of tasks. */
export default function Triggers() {
  const place = usePath<"project" | "domain">();
  const list = usePaged<Trigger>(
    ["triggers", place],
    async (token, signal) => {
      const scopeBy = {
        case: "projectId" as const,
        value: { organization: "", name: place.project, domain: place.domain },
      };
      const answer = await triggers.listTriggers(
        { request: { limit: 100, token }, scopeBy },
        { signal },
      );
      return { rows: answer.triggers, next: answer.token };
    },
    { refresh: 10_000 },
  );
  const may = useMay();
  const canWrite = may("task:deploy") && may("run:create");
  return (
    <Page
      title="Triggers"
      lede="Schedules of tasks. They are deployed with their tasks, and switched here."
    >
      <List
        label="Triggers"
        list={list}
        keyOf={(trigger) => `${trigger.id?.name?.taskName}/${trigger.id?.name?.name}`}
        empty={
          <Empty title="No trigger yet">
            <p>
              Give a task one with <code>triggers=flyte.Trigger(…)</code>, and deploy it.
            </p>
          </Empty>
        }
        columns={[
          { name: "State", cell: (trigger) => <Active isActive={trigger.active} /> },
          {
            name: "Trigger",
            cell: (trigger) => {
              const id = trigger.id?.name;
              const path = `triggers/${encodeURIComponent(id?.taskName ?? "")}/${encodeURIComponent(id?.name ?? "")}`;
              return <To to={placePath(place, path)}>{id?.name}</To>;
            },
          },
          { name: "Task", cell: (trigger) => trigger.id?.name?.taskName },
          { name: "When", cell: (trigger) => <code>{whenOf(trigger.automationSpec)}</code> },
          { name: "Last fired", cell: (trigger) => <Ago at={msOf(trigger.status?.triggeredAt)} /> },
          { name: "By", cell: (trigger) => nameOfIdentity(trigger.metadata?.deployedBy) },
          {
            name: "Change",
            hidden: true,
            shown: canWrite,
            cell: (trigger) => <Switch trigger={trigger} />,
          },
        ]}
      />
    </Page>
  );
}

export function Active({ isActive }: { isActive: boolean }) {
  return (
    <span className={`phase phase-${isActive ? "succeeded" : "aborted"}`}>
      <span className="glyph" aria-hidden="true">
        {isActive ? "✓" : "‖"}
      </span>
      {isActive ? "active" : "off"}
    </span>
  );
}

export function Switch({
  trigger,
  className,
}: {
  trigger: Pick<Trigger, "id" | "active">;
  className?: string;
}) {
  const name = trigger.id?.name;
  if (name === undefined) return null;
  const verb = trigger.active ? "Switch off" : "Activate";
  return (
    <Act
      label={verb}
      className={className}
      verb={verb}
      title={`${verb} ${name.name}?`}
      says={
        trigger.active
          ? "It starts no runs until it is activated again. Runs that it has started go on."
          : "It starts runs from its next instant on."
      }
      run={() => triggers.updateTriggers({ names: [name], active: !trigger.active })}
    />
  );
}

const UNITS = ["", "minute", "hour", "day"];

/** When a trigger fires, in words. */
export function whenOf(spec: TriggerAutomationSpec | undefined): string {
  if (spec?.automation.case === "artifact") return `artifact ${spec.automation.value.artifactName}`;
  if (spec?.automation.case !== "schedule") return "by hand";
  const { expression } = spec.automation.value;
  switch (expression.case) {
    case "cron":
      return `${expression.value.expression} ${expression.value.timezone || "UTC"}`;
    case "cronExpression":
      return `${expression.value} UTC`;
    case "rate": {
      const { value, unit } = expression.value;
      return `every ${value === 1 ? "" : `${value} `}${UNITS[unit] ?? ""}${value === 1 ? "" : "s"}`;
    }
    default:
      return "";
  }
}
