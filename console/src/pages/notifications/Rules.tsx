import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { client } from "../../api/clients";
import { usePaged } from "../../api/paged";
import {
  type NotificationRule,
  NotificationRuleService,
} from "../../gen/shared/idl/platform/v1/notification_pb";
import { Confirm } from "../../parts/Confirm";
import { CheckField, TextField } from "../../parts/inputs";
import { NamedList } from "./NamedList";
import { configs } from "./service";

const rules = client(NotificationRuleService);
const PHASES = ["SUCCEEDED", "FAILED", "ABORTED", "TIMED_OUT"];

/** What is reported: the phases of runs, and by which delivery configurations. Runs name rules. */
export function Rules({ canWrite }: { canWrite: boolean }) {
  const list = usePaged<NotificationRule>(["rules"], async (pageToken, signal) => {
    const answer = await rules.listNotificationRules({ pageSize: 100, pageToken }, { signal });
    return { rows: answer.notificationRules, next: answer.nextPageToken };
  });
  return (
    <NamedList
      label="Rules"
      list={list}
      canWrite={canWrite}
      create="Create a rule"
      empty={{
        title: "No rule yet",
        says: (
          <>
            A rule says which ends of runs are reported, and to whom. Runs name it:{" "}
            <code>notifications=notify.NamedRule("nightly")</code>.
          </>
        ),
      }}
      kind="notification_rule"
      columns={[
        { name: "Rule", cell: (each) => <strong>{each.name}</strong> },
        {
          name: "Reports",
          cell: (each) =>
            each.phases.map((phase) => phase.toLowerCase().replaceAll("_", " ")).join(", "),
        },
        { name: "By", cell: (each) => each.deliveryConfigs.join(", ") },
      ]}
      deletion={{
        title: (each) => `Delete the rule ${each.name}?`,
        says: "Runs that name it are reported no longer, also those that exist.",
        command: "volary notification rule delete",
      }}
      onDelete={(each) => rules.deleteNotificationRule({ name: each.name })}
      form={(rule, close) => <EditRule rule={rule} onClose={close} />}
    />
  );
}

function EditRule({ rule, onClose }: { rule: NotificationRule | "new"; onClose: () => void }) {
  const before = rule === "new" ? undefined : rule;
  const [name, setName] = useState(before?.name ?? "");
  const [phases, setPhases] = useState<ReadonlySet<string>>(
    () => new Set(before?.phases ?? ["FAILED", "TIMED_OUT"]),
  );
  const [by, setBy] = useState<ReadonlySet<string>>(() => new Set(before?.deliveryConfigs));
  const queries = useQueryClient();
  const known = useQuery({
    queryKey: ["configs", "names"],
    queryFn: async ({ signal }) =>
      (await configs.listDeliveryConfigs({ pageSize: 200 }, { signal })).deliveryConfigs.map(
        (each) => each.name,
      ),
  });
  const names = [...new Set([...(known.data ?? []), ...by])];
  const chosen = { phases: PHASES.filter((each) => phases.has(each)), deliveryConfigs: [...by] };
  const options = [
    ...chosen.phases.map((each) => `--phase ${each}`),
    ...chosen.deliveryConfigs.map((each) => `--config ${each}`),
  ].join(" ");
  return (
    <Confirm
      title={before === undefined ? "Create a rule" : `Edit the rule ${before.name}`}
      verb="Save"
      command={`volary notification rule set ${name || "NAME"} ${options}`}
      onClose={onClose}
      run={async () => {
        if (before === undefined) {
          await rules.createNotificationRule({ notificationRule: { name, ...chosen } });
        } else {
          await rules.updateNotificationRule({
            notificationRule: { name, ...chosen, version: before.version },
            updateMask: { paths: ["phases", "delivery_configs"] },
          });
        }
        await queries.invalidateQueries({ queryKey: ["rules"] });
      }}
    >
      {before === undefined ? (
        <TextField label="Name" required value={name} set={setName} />
      ) : (
        <p>It holds for runs that exist, too.</p>
      )}
      <fieldset className="permissions">
        <legend>Reports that a run has</legend>
        {PHASES.map((phase) => (
          <CheckField
            key={phase}
            label={phase.toLowerCase().replaceAll("_", " ")}
            value={phases.has(phase)}
            set={(value) => setPhases(changed(phases, phase, value))}
          />
        ))}
      </fieldset>
      <fieldset className="permissions">
        <legend>By these delivery configurations</legend>
        {names.length === 0 && (
          <p className="quiet">There is none yet. Create one first: it has the address.</p>
        )}
        {names.map((each) => (
          <CheckField
            key={each}
            label={each}
            value={by.has(each)}
            set={(value) => setBy(changed(by, each, value))}
          />
        ))}
      </fieldset>
    </Confirm>
  );
}

function changed(set: ReadonlySet<string>, name: string, isIn: boolean): ReadonlySet<string> {
  const next = new Set(set);
  if (isIn) next.add(name);
  else next.delete(name);
  return next;
}
