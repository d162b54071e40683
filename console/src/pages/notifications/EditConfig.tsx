import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import type { DeliveryConfig } from "../../gen/shared/idl/platform/v1/notification_pb";
import { parseLines, writeLines } from "../../model/lines";
import { Confirm } from "../../parts/Confirm";
import { CheckField, SelectField, TextField } from "../../parts/inputs";
import { configs } from "./service";

const METHODS = ["POST", "PUT", "PATCH", "DELETE", "GET"];
const BODY = '{"text": "{{.Run.Name}}: {{.Phase}} {{.Error}}"}';
const SUBJECT = "{{.Run.Name}}: {{.Phase}}";

/** Creates or changes a delivery configuration: a webhook, a mail, or both. */
export function EditConfig(props: { config: DeliveryConfig | "new"; onClose: () => void }) {
  const before = props.config === "new" ? undefined : props.config;
  const [name, setName] = useState(before?.name ?? "");
  const [hasWebhook, setHasWebhook] = useState(
    before === undefined || before.webhook !== undefined,
  );
  const [hasEmail, setHasEmail] = useState(before?.email !== undefined);
  const [webhook, setWebhook] = useState({
    url: before?.webhook?.url ?? "",
    method: before?.webhook?.method || "POST",
    headers: writeLines(before?.webhook?.headers ?? {}),
    body: before?.webhook?.body ?? BODY,
  });
  const [email, setEmail] = useState({
    to: (before?.email?.to ?? []).join(", "),
    cc: (before?.email?.cc ?? []).join(", "),
    bcc: (before?.email?.bcc ?? []).join(", "),
    subject: before?.email?.subject ?? SUBJECT,
    text: before?.email?.text ?? "{{.Error}}",
    html: before?.email?.html ?? "",
  });
  const queries = useQueryClient();
  const save = async () => {
    const deliveryConfig = {
      name,
      version: before?.version ?? 0n,
      webhook: hasWebhook
        ? { ...webhook, headers: parseLines("Headers", webhook.headers) }
        : undefined,
      email: hasEmail
        ? { ...email, to: addresses(email.to), cc: addresses(email.cc), bcc: addresses(email.bcc) }
        : undefined,
    };
    if (before === undefined) await configs.createDeliveryConfig({ deliveryConfig });
    else {
      const updateMask = { paths: ["webhook", "email"] };
      await configs.updateDeliveryConfig({ deliveryConfig, updateMask });
    }
    await queries.invalidateQueries({ queryKey: ["configs"] });
  };
  return (
    <Confirm
      title={before === undefined ? "Create a delivery configuration" : `Edit ${before.name}`}
      verb="Save"
      run={save}
      onClose={props.onClose}
    >
      {before === undefined ? (
        <TextField label="Name" required value={name} set={setName} />
      ) : (
        <p>It holds for runs that exist, too.</p>
      )}
      <CheckField label="Call a webhook" value={hasWebhook} set={setHasWebhook} />
      {hasWebhook && (
        <>
          <TextField
            label="Address"
            type="url"
            required
            placeholder="https://hooks.example.com/…"
            value={webhook.url}
            set={(url) => setWebhook({ ...webhook, url })}
          />
          <SelectField
            label="Method"
            value={webhook.method}
            set={(method) => setWebhook({ ...webhook, method })}
            choices={[...new Set([...METHODS, webhook.method])]}
          />
          <TextField
            label="Headers"
            hint="NAME=value, one a line."
            rows={2}
            value={webhook.headers}
            set={(headers) => setWebhook({ ...webhook, headers })}
          />
          <TextField
            label="Body"
            hint="{{.Run.Project}}, {{.Run.Domain}}, {{.Run.Name}}, {{.Phase}} and {{.Error}} are filled in, escaped."
            rows={3}
            value={webhook.body}
            set={(body) => setWebhook({ ...webhook, body })}
          />
        </>
      )}
      <CheckField label="Send a mail" value={hasEmail} set={setHasEmail} />
      {hasEmail && (
        <>
          <TextField
            label="To"
            required
            hint="Addresses, separated by commas."
            value={email.to}
            set={(to) => setEmail({ ...email, to })}
          />
          <TextField label="Copy to" value={email.cc} set={(cc) => setEmail({ ...email, cc })} />
          <TextField
            label="Blind copy to"
            value={email.bcc}
            set={(bcc) => setEmail({ ...email, bcc })}
          />
          <TextField
            label="Subject"
            required
            value={email.subject}
            set={(subject) => setEmail({ ...email, subject })}
          />
          <TextField
            label="Text"
            rows={3}
            value={email.text}
            set={(text) => setEmail({ ...email, text })}
          />
          <TextField
            label="HTML"
            hint="Empty: text only."
            rows={2}
            value={email.html}
            set={(html) => setEmail({ ...email, html })}
          />
        </>
      )}
    </Confirm>
  );
}

function addresses(text: string): string[] {
  return text.split(/[\s,;]+/).filter((each) => each !== "");
}
