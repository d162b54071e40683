import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { usePaged } from "../../api/paged";
import type { DeliveryConfig } from "../../gen/shared/idl/platform/v1/notification_pb";
import { msOf } from "../../model/time";
import { Command, Dialog, Instant } from "../../parts/basics";
import { Confirm } from "../../parts/Confirm";
import { EditConfig } from "./EditConfig";
import { NamedList } from "./NamedList";
import { configs } from "./service";

/** Where and with what content runs are reported. */
export function Configs() {
  const [signing, setSigning] = useState<DeliveryConfig | undefined>();
  const list = usePaged<DeliveryConfig>(["configs"], async (pageToken, signal) => {
    const answer = await configs.listDeliveryConfigs({ pageSize: 100, pageToken }, { signal });
    return { rows: answer.deliveryConfigs, next: answer.nextPageToken };
  });
  return (
    <>
      <NamedList
        label="Delivery configurations"
        list={list}
        canWrite
        create="Create a delivery configuration"
        empty={{
          title: "No delivery configuration yet",
          says: "It has the address of a webhook, or of people, and what they get. Rules name it.",
        }}
        kind="delivery_config"
        columns={[
          { name: "Name", cell: (each) => <strong>{each.name}</strong> },
          {
            name: "Webhook",
            wrap: true,
            cell: (each) =>
              each.webhook && (
                <code>
                  {each.webhook.method || "POST"} {each.webhook.url}
                </code>
              ),
          },
          { name: "Mail to", wrap: true, cell: (each) => each.email?.to.join(", ") },
          {
            name: "Signed",
            cell: (each) =>
              each.webhook && (each.signed ? "yes" : <span className="quiet">no</span>),
          },
        ]}
        more={(each) =>
          each.webhook && (
            <button
              type="button"
              className="small"
              aria-label={each.signed ? `New secret of ${each.name}` : `Sign ${each.name}`}
              onClick={() => setSigning(each)}
            >
              {each.signed ? "New secret" : "Sign"}
            </button>
          )
        }
        deletion={{
          title: (each) => `Delete ${each.name}?`,
          says: "What is still to be sent by it fails. One that a rule names is not deleted: change the rule first.",
          command: "volary notification config delete",
          typed: true,
        }}
        onDelete={(each) => configs.deleteDeliveryConfig({ name: each.name })}
        form={(config, close) => <EditConfig config={config} onClose={close} />}
      />
      {signing !== undefined && <Sign config={signing} onClose={() => setSigning(undefined)} />}
    </>
  );
}

/** Makes a secret that signs the webhook, and shows it this once. */
function Sign({ config, onClose }: { config: DeliveryConfig; onClose: () => void }) {
  const [made, setMade] = useState<{ secret: string; until: number | undefined } | undefined>();
  const queries = useQueryClient();
  if (made !== undefined) {
    return (
      <Dialog title={`The signing secret of ${config.name}`} onClose={onClose}>
        <p>Give it to the receiver. It is shown only now.</p>
        <Command>{made.secret}</Command>
        {made.until !== undefined && (
          <p>
            The one before signs as well until <Instant at={made.until} />.
          </p>
        )}
      </Dialog>
    );
  }
  return (
    <Confirm
      title={`Make a signing secret for ${config.name}?`}
      verb="Make a secret"
      command={`volary notification config rotate-secret ${config.name}`}
      onClose={onClose}
      onDone={() => undefined}
      run={async () => {
        const { name, version } = config;
        const answer = await configs.rotateSigningSecret({ name, version });
        await queries.invalidateQueries({ queryKey: ["configs"] });
        setMade({ secret: answer.signingSecret, until: msOf(answer.previousUntil) });
      }}
    >
      <p>
        Each request is signed as Standard Webhooks says, so that the receiver knows that it comes
        from here.
        {config.signed && " The secret before signs as well for a day."}
      </p>
    </Confirm>
  );
}
