import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { client } from "../api/clients";
import { type PageOf, usePaged } from "../api/paged";
import { SecretService as FlyteSecretService } from "../gen/flyteidl2/secret/secret_pb";
import { type Secret, SecretService } from "../gen/shared/idl/platform/v1/secret_pb";
import { msOf } from "../model/time";
import { Act } from "../parts/Act";
import { Ago } from "../parts/basics";
import { Confirm } from "../parts/Confirm";
import { SelectField, TextField } from "../parts/inputs";
import { List } from "../parts/List";
import { Page } from "../parts/Page";
import { Empty } from "../parts/states";
import { AuditLink } from "../shell/AuditLink";
import { useMay } from "../shell/session";
import { type Place, usePath } from "../shell/url";

const platform = client(SecretService);
const flyte = client(FlyteSecretService);

/** Secrets that tasks of a project can be given. Their values are written, and shown nowhere. */
export default function Secrets() {
  const place = usePath<"project" | "domain">();
  const [isNew, setNew] = useState(false);
  const list = usePaged<Secret>(["secrets", place], (token, signal) =>
    readSecrets(place, token, signal),
  );
  const may = useMay();
  const canWrite = may("secret:write");
  const add = canWrite && (
    <button type="button" className="primary" onClick={() => setNew(true)}>
      Create a secret
    </button>
  );
  return (
    <Page
      title="Secrets"
      lede="What tasks here may be given: secrets of this project, of its domain and of the org. Values are never shown."
      actions={add}
    >
      <List
        label="Secrets"
        list={list}
        keyOf={(secret) => `${secret.domain}/${secret.project}/${secret.name}`}
        empty={
          <Empty title="No secret yet">
            <p>
              A task asks for one with <code>secrets=flyte.Secret("NAME")</code>.
            </p>
            {add && <p className="actions">{add}</p>}
          </Empty>
        }
        columns={[
          { name: "Secret", cell: (secret) => <strong>{secret.name}</strong> },
          { name: "Scope", cell: scopeOf },
          { name: "Type", cell: (secret) => secret.type.replaceAll("_", " ") },
          { name: "Values", align: "right", cell: (secret) => String(secret.version) },
          { name: "Clusters", cell: (secret) => secret.clusters.replaceAll("_", " ") },
          { name: "Changed", cell: (secret) => <Ago at={msOf(secret.updatedAt)} /> },
          { name: "By", cell: (secret) => secret.createdBy },
          {
            name: "Change",
            hidden: true,
            shown: canWrite,
            cell: (secret) =>
              may("secret:write", secret) && (
                <span className="tags">
                  <AuditLink
                    target={`secret:${secret.project}/${secret.domain}/${secret.name}`}
                    name={secret.name}
                  />
                  <Replace secret={secret} />
                  <Act
                    label="Delete"
                    verb="Delete"
                    title={`Delete ${secret.name}?`}
                    says="Attempts that start from now on do not get it. This cannot be undone."
                    typed={secret.name}
                    run={() =>
                      flyte.deleteSecret({
                        id: {
                          name: secret.name,
                          organization: "",
                          domain: secret.domain,
                          project: secret.project,
                        },
                      })
                    }
                  />
                </span>
              ),
          },
        ]}
      />
      {isNew && <Create place={place} onClose={() => setNew(false)} />}
    </Page>
  );
}

const OF_PROJECT = "project ";

/**
 * Reads a page of the secrets that a project is given: first those of the org and the domain, which the
 * list of the whole org begins with, then the project's own. The token says which list it continues.
 */
async function readSecrets(
  place: Place,
  token: string,
  signal: AbortSignal,
): Promise<PageOf<Secret>> {
  if (token.startsWith(OF_PROJECT)) return await readOwn(place, token, signal);
  const page = await platform.listSecrets({ pageSize: 100, pageToken: token }, { signal });
  const isMore = page.nextPageToken !== "" && page.secrets.every(({ project }) => project === "");
  const rows = page.secrets.filter(
    ({ project, domain }) => project === "" && (domain === "" || domain === place.domain),
  );
  if (isMore) return { rows, next: page.nextPageToken };
  const own = await readOwn(place, OF_PROJECT, signal);
  return { rows: [...rows, ...own.rows], next: own.next };
}

async function readOwn(place: Place, token: string, signal: AbortSignal): Promise<PageOf<Secret>> {
  const pageToken = token.slice(OF_PROJECT.length);
  const page = await platform.listSecrets({ pageSize: 100, pageToken, ...place }, { signal });
  return {
    rows: page.secrets,
    next: page.nextPageToken === "" ? "" : OF_PROJECT + page.nextPageToken,
  };
}

function scopeOf(secret: Secret): string {
  if (secret.project !== "") return "this project";
  return secret.domain !== "" ? `domain ${secret.domain}` : "the org";
}

function ValueField(props: { value: string; set: (value: string) => void }) {
  return (
    <TextField
      {...props}
      label="Value"
      hint="It is sealed at once; nobody can read it here again."
      type="password"
      required
    />
  );
}

function Replace({ secret }: { secret: Secret }) {
  const [isOpen, setOpen] = useState(false);
  const [value, setValue] = useState("");
  const queries = useQueryClient();
  return (
    <>
      <button
        type="button"
        className="small"
        aria-label={`Replace ${secret.name}`}
        onClick={() => setOpen(true)}
      >
        Replace
      </button>
      {isOpen && (
        <Confirm
          title={`Replace the value of ${secret.name}`}
          verb="Replace"
          onClose={() => {
            setOpen(false);
            setValue("");
          }}
          run={async () => {
            const { name, project, domain } = secret;
            await platform.rotateSecret({
              name,
              project,
              domain,
              value: new TextEncoder().encode(value),
            });
            await queries.invalidateQueries({ queryKey: ["secrets"] });
          }}
        >
          <p>Attempts that start from now on get the new value.</p>
          <ValueField value={value} set={setValue} />
        </Confirm>
      )}
    </>
  );
}

function Create({ place, onClose }: { place: Place; onClose: () => void }) {
  const [name, setName] = useState("");
  const [value, setValue] = useState("");
  const [scope, setScope] = useState("project");
  const may = useMay();
  const queries = useQueryClient();
  return (
    <Confirm
      title="Create a secret"
      verb="Create"
      command={`flyte create secret ${name || "NAME"}`}
      onClose={onClose}
      run={async () => {
        await flyte.createSecret({
          id: {
            name,
            organization: "",
            domain: scope === "org" ? "" : place.domain,
            project: scope === "project" ? place.project : "",
          },
          secretSpec: { value: { case: "stringValue", value } },
        });
        await queries.invalidateQueries({ queryKey: ["secrets"] });
      }}
    >
      <TextField label="Name" required value={name} set={setName} />
      <ValueField value={value} set={setValue} />
      <SelectField
        label="For"
        value={scope}
        set={setScope}
        choices={[
          { value: "project", label: `${place.project} / ${place.domain}` },
          ...(may("secret:write", { project: "", domain: place.domain })
            ? [
                { value: "domain", label: `all projects in ${place.domain}` },
                { value: "org", label: "the whole org" },
              ]
            : []),
        ]}
      />
    </Confirm>
  );
}
