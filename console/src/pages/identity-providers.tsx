import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { client } from "../api/clients";
import { usePaged } from "../api/paged";
import {
  type IdentityProvider,
  IdentityProviderService,
} from "../gen/shared/idl/platform/v1/identity_provider_pb";
import { msOf } from "../model/time";
import { Act } from "../parts/Act";
import { Ago, Copy } from "../parts/basics";
import { Confirm } from "../parts/Confirm";
import { TextField } from "../parts/inputs";
import { List } from "../parts/List";
import { Page } from "../parts/Page";
import { Empty } from "../parts/states";
import { AuditLink } from "../shell/AuditLink";
import { useMay } from "../shell/session";

const providers = client(IdentityProviderService);

/** Where the people of the org log in. */
export default function IdentityProviders() {
  const [isNew, setNew] = useState(false);
  const list = usePaged<IdentityProvider>(["providers"], async (pageToken, signal) => {
    const answer = await providers.listIdentityProviders({ pageSize: 50, pageToken }, { signal });
    return { rows: answer.identityProviders, next: answer.nextPageToken };
  });
  const canWrite = useMay()("identity_provider:write");
  const add = canWrite && (
    <button type="button" className="primary" onClick={() => setNew(true)}>
      Add a provider
    </button>
  );
  return (
    <Page
      title="Identity providers"
      lede="OpenID Connect: your company's login, with its groups."
      actions={add}
    >
      <List
        label="Identity providers"
        list={list}
        keyOf={(each) => each.id}
        empty={
          <Empty title="No provider of its own">
            <p>People log in at the installation's provider, if it has one, or by invitation.</p>
          </Empty>
        }
        columns={[
          { name: "Name", cell: (each) => <strong>{each.name}</strong> },
          { name: "Issuer", cell: (each) => each.issuer },
          { name: "State", cell: (each) => (each.disabled ? "disabled" : "enabled") },
          { name: "Domains", cell: (each) => each.emailDomains.join(", ") },
          { name: "Groups", cell: (each) => each.groupsClaim },
          {
            name: "Redirect address",
            cell: (each) => <Copy text={each.callbackUrl} label="Copy" />,
          },
          { name: "Added", cell: (each) => <Ago at={msOf(each.createdAt)} /> },
          {
            name: "Change",
            hidden: true,
            shown: canWrite,
            cell: (each) => (
              <span className="tags">
                <AuditLink target={`identity_provider:${each.id}`} name={each.name} />
                <Act
                  label={each.disabled ? "Enable" : "Disable"}
                  verb={each.disabled ? "Enable" : "Disable"}
                  title={`${each.disabled ? "Enable" : "Disable"} ${each.name}?`}
                  says={
                    each.disabled
                      ? "People can log in there again."
                      : "Sessions that began there end."
                  }
                  run={() =>
                    providers.updateIdentityProvider({
                      identityProvider: {
                        id: each.id,
                        disabled: !each.disabled,
                        version: each.version,
                      },
                      updateMask: { paths: ["disabled"] },
                    })
                  }
                />
                <Act
                  label="Remove"
                  verb="Remove"
                  title={`Remove ${each.name}?`}
                  says="Sessions that began there end; members stay."
                  typed={each.name}
                  run={() => providers.deleteIdentityProvider({ id: each.id })}
                />
              </span>
            ),
          },
        ]}
      />
      {isNew && <Add onClose={() => setNew(false)} />}
    </Page>
  );
}

const FIELDS = [
  ["name", "Name on the login page", "text", true],
  ["issuer", "Issuer, as the provider names itself", "url", true],
  ["clientId", "Client id", "text", true],
  ["clientSecret", "Client secret", "password", false],
  ["groupsClaim", "Claim with a person's groups", "text", false],
  ["emailDomains", "E-mail domains whose people become members", "text", false],
] as const;

function Add({ onClose }: { onClose: () => void }) {
  const [values, setValues] = useState({
    name: "",
    issuer: "",
    clientId: "",
    clientSecret: "",
    groupsClaim: "",
    emailDomains: "",
  });
  const [requestId] = useState(() => crypto.randomUUID());
  const queries = useQueryClient();
  return (
    <Confirm
      title="Add an identity provider"
      verb="Add"
      onClose={onClose}
      run={async () => {
        const emailDomains = values.emailDomains.split(/[\s,]+/).filter((each) => each !== "");
        await providers.createIdentityProvider({ ...values, requestId, emailDomains });
        await queries.invalidateQueries({ queryKey: ["providers"] });
      }}
    >
      <p>
        Register <code>{`${location.origin}/login/callback`}</code> there as the redirect address.
      </p>
      {FIELDS.map(([key, words, type, isRequired]) => (
        <TextField
          key={key}
          label={words}
          type={type}
          required={isRequired}
          value={values[key]}
          set={(value) => setValues({ ...values, [key]: value })}
        />
      ))}
    </Confirm>
  );
}
