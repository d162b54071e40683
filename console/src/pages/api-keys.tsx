import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { client } from "../api/clients";
import { usePaged } from "../api/paged";
import { serverClock } from "../api/server";
import {
  type ApiKey,
  ApiKeyService,
  type ServiceAccount,
  ServiceAccountService,
} from "../gen/shared/idl/platform/v1/service_account_pb";
import { keyCommands } from "../model/api-key";
import { msOf } from "../model/time";
import { Act } from "../parts/Act";
import { Ago, Command, Dialog } from "../parts/basics";
import { Confirm } from "../parts/Confirm";
import { SelectField, TextField } from "../parts/inputs";
import { List } from "../parts/List";
import { Page } from "../parts/Page";
import { Empty } from "../parts/states";
import { AuditLink } from "../shell/AuditLink";
import { useMay } from "../shell/session";

const accounts = client(ServiceAccountService);
const keys = client(ApiKeyService);

/** Identities of programs, and their keys. A key's secret is shown once, when it is made. */
export default function ApiKeys() {
  const [isNew, setNew] = useState(false);
  const [keyFor, setKeyFor] = useState<ServiceAccount | undefined>();
  const known = usePaged<ServiceAccount>(["service accounts"], async (pageToken, signal) => {
    const answer = await accounts.listServiceAccounts({ pageSize: 100, pageToken }, { signal });
    return { rows: answer.serviceAccounts, next: answer.nextPageToken };
  });
  const list = usePaged<ApiKey>(["api keys"], async (pageToken, signal) => {
    const answer = await keys.listApiKeys({ pageSize: 100, pageToken }, { signal });
    return { rows: answer.apiKeys, next: answer.nextPageToken };
  });
  const canWrite = useMay()("service_account:write");
  const nameOf = (id: string) => known.rows?.find((each) => each.id === id)?.name ?? id;
  const add = canWrite && (
    <button type="button" className="primary" onClick={() => setNew(true)}>
      Create a service account
    </button>
  );
  return (
    <Page
      title="API keys"
      lede="Programs act as service accounts. Role bindings say what each may do."
      actions={add}
    >
      <div className="stack">
        <h2>Service accounts</h2>
        <List
          label="Service accounts"
          list={known}
          keyOf={(each) => each.id}
          empty={
            <Empty title="No service account yet">
              <p>A program, such as a CI job, needs one to have a key.</p>
              {add && <p className="actions">{add}</p>}
            </Empty>
          }
          columns={[
            { name: "Name", cell: (each) => <strong>{each.name}</strong> },
            { name: "About", cell: (each) => each.description },
            { name: "State", cell: (each) => (each.disabled ? "disabled" : "enabled") },
            { name: "Made", cell: (each) => <Ago at={msOf(each.createdAt)} /> },
            {
              name: "Change",
              hidden: true,
              shown: canWrite,
              cell: (each) => (
                <span className="tags">
                  <AuditLink target={`service_account:${each.id}`} name={each.name} />
                  <button
                    type="button"
                    className="small"
                    aria-label={`Create a key of ${each.name}`}
                    onClick={() => setKeyFor(each)}
                  >
                    Create a key
                  </button>
                  <Act
                    label={each.disabled ? "Enable" : "Disable"}
                    verb={each.disabled ? "Enable" : "Disable"}
                    title={`${each.disabled ? "Enable" : "Disable"} ${each.name}?`}
                    says={
                      each.disabled
                        ? "Its keys work again."
                        : "Its keys are refused at once, until it is enabled again."
                    }
                    run={() =>
                      accounts.updateServiceAccount({
                        serviceAccount: {
                          id: each.id,
                          disabled: !each.disabled,
                          version: each.version,
                        },
                        updateMask: { paths: ["disabled"] },
                      })
                    }
                  />
                  <Act
                    label="Delete"
                    verb="Delete"
                    title={`Delete ${each.name}?`}
                    says="Its keys and role bindings go with it. This cannot be undone."
                    typed={each.name}
                    run={() => accounts.deleteServiceAccount({ id: each.id })}
                  />
                </span>
              ),
            },
          ]}
        />
        <h2>Keys</h2>
        <List
          label="API keys"
          list={list}
          keyOf={(each) => each.id}
          empty={<p className="quiet">There is no key.</p>}
          columns={[
            { name: "Key", cell: (each) => <strong>{each.name}</strong> },
            { name: "Of", cell: (each) => nameOf(each.serviceAccountId) },
            { name: "Client", cell: (each) => <code>{each.clientId}</code> },
            { name: "Used", cell: (each) => <Ago at={msOf(each.lastUsedAt)} /> },
            {
              name: "Ends",
              cell: (each) =>
                each.revokedAt ? (
                  "revoked"
                ) : each.expiresAt ? (
                  <Ago at={msOf(each.expiresAt)} />
                ) : (
                  "never"
                ),
            },
            {
              name: "Change",
              hidden: true,
              shown: canWrite,
              cell: (each) =>
                each.revokedAt === undefined && (
                  <Act
                    label="Revoke"
                    verb="Revoke"
                    title={`Revoke the key ${each.name}?`}
                    says="Its tokens and streams end within a second. Runs that it started go on."
                    command={`volary api-key revoke ${each.id}`}
                    run={() => keys.revokeApiKey({ id: each.id })}
                  />
                ),
            },
          ]}
        />
      </div>
      {isNew && <CreateAccount onClose={() => setNew(false)} />}
      {keyFor !== undefined && <CreateKey account={keyFor} onClose={() => setKeyFor(undefined)} />}
    </Page>
  );
}

function CreateAccount({ onClose }: { onClose: () => void }) {
  const [name, setName] = useState("");
  const [description, setDescription] = useState("");
  const [requestId] = useState(() => crypto.randomUUID());
  const queries = useQueryClient();
  return (
    <Confirm
      title="Create a service account"
      verb="Create"
      onClose={onClose}
      run={async () => {
        await accounts.createServiceAccount({ requestId, name, description });
        await queries.invalidateQueries({ queryKey: ["service accounts"] });
      }}
    >
      <TextField label="Name" required value={name} set={setName} />
      <TextField label="What it is for" value={description} set={setDescription} />
    </Confirm>
  );
}

const DAYS = ["30", "90", "365", "0"].map((value) => ({
  value,
  label: value === "0" ? "never" : `after ${value} days`,
}));

function CreateKey({ account, onClose }: { account: ServiceAccount; onClose: () => void }) {
  const [name, setName] = useState("");
  const [days, setDays] = useState("90");
  const [secret, setSecret] = useState<string | undefined>();
  const [requestId] = useState(() => crypto.randomUUID());
  const queries = useQueryClient();
  if (secret !== undefined) {
    return (
      <Dialog title={`The key ${name}`} onClose={onClose}>
        <p>
          This is shown only now. Keep it where the program finds it, such as the secrets of your
          CI.
        </p>
        <Command>{keyCommands(secret, location)}</Command>
      </Dialog>
    );
  }
  return (
    <Confirm
      title={`Create a key of ${account.name}`}
      verb="Create"
      onClose={onClose}
      onDone={() => undefined}
      run={async () => {
        const expiresAt =
          days === "0" ? undefined : timestampFromMs(serverClock.now() + Number(days) * 86_400_000);
        const answer = await keys.createApiKey({
          requestId,
          serviceAccountId: account.id,
          name,
          expiresAt,
        });
        await queries.invalidateQueries({ queryKey: ["api keys"] });
        setSecret(answer.secret?.apiKey ?? "");
      }}
    >
      <TextField label="Name" required value={name} set={setName} />
      <SelectField label="Ends" value={days} set={setDays} choices={DAYS} />
    </Confirm>
  );
}
