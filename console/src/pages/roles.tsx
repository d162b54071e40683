import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { client } from "../api/clients";
import { usePaged } from "../api/paged";
import {
  type Role,
  type RoleBinding,
  RoleBindingService,
  RoleService,
} from "../gen/shared/idl/platform/v1/role_pb";
import { byNoun } from "../model/permissions";
import { msOf } from "../model/time";
import { Act } from "../parts/Act";
import { Ago } from "../parts/basics";
import { List } from "../parts/List";
import { Page } from "../parts/Page";
import { Loaded } from "../parts/states";
import { useMay } from "../shell/session";
import { BindRole } from "./roles/BindRole";
import { NewRole } from "./roles/NewRole";

const service = client(RoleService);
const bindings = client(RoleBindingService);

/** Roles as a matrix of permissions, and whom they are bound to. */
export default function Roles() {
  const query = useQuery({
    queryKey: ["roles"],
    queryFn: async ({ signal }) => {
      const [{ roles: found }, { permissions }] = await Promise.all([
        service.listRoles({ pageSize: 200 }, { signal }),
        service.listPermissions({ pageSize: 1000 }, { signal }),
      ]);
      return { roles: found, permissions };
    },
  });
  const bound = usePaged<RoleBinding>(["bindings"], async (pageToken, signal) => {
    const answer = await bindings.listRoleBindings({ pageSize: 100, pageToken }, { signal });
    return { rows: answer.roleBindings, next: answer.nextPageToken };
  });
  const [asked, setAsked] = useState<"role" | "binding">();
  const may = useMay();
  const close = () => setAsked(undefined);
  return (
    <Page
      title="Roles"
      lede="Who may do what. Built-in roles do not change; custom ones are sets of permissions of your own."
      actions={
        <>
          {may("member:write") && (
            <button type="button" onClick={() => setAsked("binding")}>
              Bind a role
            </button>
          )}
          {may("role:write") && (
            <button type="button" className="primary" onClick={() => setAsked("role")}>
              New role
            </button>
          )}
        </>
      }
    >
      <div className="stack">
        <Loaded query={query}>
          {(found) => <Matrix {...found} canWrite={may("role:write")} />}
        </Loaded>
        <h2>Bindings</h2>
        <List
          label="Role bindings"
          list={bound}
          keyOf={(each) => each.id}
          empty={<p className="quiet">No role is bound to anybody beyond the roles of members.</p>}
          columns={[
            { name: "Who", cell: whoOf },
            { name: "Role", cell: (each) => each.role },
            {
              name: "Where",
              cell: (each) =>
                each.project === ""
                  ? "the org"
                  : `${each.project} ${each.domain || "(all domains)"}`,
            },
            { name: "Since", cell: (each) => <Ago at={msOf(each.createdAt)} /> },
            { name: "By", cell: (each) => each.createdBy },
            {
              name: "Change",
              hidden: true,
              shown: may("member:write"),
              cell: (each) => (
                <Act
                  label="Unbind"
                  verb="Unbind"
                  title={`Unbind ${each.role} from ${whoOf(each)}?`}
                  says="They lose what only this binding gave them, within a second."
                  run={() => bindings.deleteRoleBinding({ id: each.id })}
                />
              ),
            },
          ]}
        />
      </div>
      {asked === "role" && query.data && <NewRole {...query.data} onClose={close} />}
      {asked === "binding" && query.data && <BindRole {...query.data} onClose={close} />}
    </Page>
  );
}

function whoOf(binding: RoleBinding): string {
  const kind = binding.principal?.kind;
  if (kind?.case === "group") return `group ${kind.value}`;
  return kind?.case === "serviceAccountId"
    ? `service account ${kind.value}`
    : `user ${kind?.value ?? ""}`;
}

function Matrix({
  roles: found,
  permissions,
  canWrite,
}: {
  roles: Role[];
  permissions: string[];
  canWrite: boolean;
}) {
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: a wide table scrolls by the keyboard
    <section className="table-box matrix" aria-label="Permissions by role" tabIndex={0}>
      <table className="list">
        <thead>
          <tr>
            <th scope="col">Permission</th>
            {found.map((role) => (
              <th key={role.name} scope="col" title={role.description}>
                {role.name}
                {!role.builtIn && canWrite && (
                  <Act
                    label="Delete"
                    verb="Delete"
                    title={`Delete the role ${role.name}?`}
                    says="A role that somebody still has is not deleted: take it from them first."
                    command={`volary role delete ${role.name}`}
                    run={() => service.deleteRole({ name: role.name })}
                  />
                )}
              </th>
            ))}
          </tr>
        </thead>
        {byNoun(permissions).map(({ noun, verbs }) => (
          <tbody key={noun}>
            {verbs.map(({ verb, permission }) => (
              <tr key={permission}>
                <th scope="row">
                  <span className="quiet">{noun.replaceAll("_", " ")}</span> {verb}
                </th>
                {found.map((role) => (
                  <td key={role.name}>
                    {role.permissions.includes(permission) ? (
                      <span className="phase-succeeded">
                        ✓<span className="sr"> yes</span>
                      </span>
                    ) : (
                      <span className="quiet">
                        ·<span className="sr"> no</span>
                      </span>
                    )}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        ))}
      </table>
    </section>
  );
}
