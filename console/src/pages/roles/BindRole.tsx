import type { MessageInitShape } from "@bufbuild/protobuf";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { client } from "../../api/clients";
import { MemberService } from "../../gen/shared/idl/platform/v1/member_pb";
import {
  type PrincipalSchema,
  type Role,
  RoleBindingService,
} from "../../gen/shared/idl/platform/v1/role_pb";
import { ServiceAccountService } from "../../gen/shared/idl/platform/v1/service_account_pb";
import { Confirm } from "../../parts/Confirm";

const bindings = client(RoleBindingService);
const members = client(MemberService);
const accounts = client(ServiceAccountService);

type Who = "user" | "service-account" | "group";

/** Binds a role to a member, a service account or a group, in the org or in a project. */
export function BindRole({ roles, onClose }: { roles: readonly Role[]; onClose: () => void }) {
  const [kind, setKind] = useState<Who>("service-account");
  const [id, setId] = useState("");
  const [role, setRole] = useState("contributor");
  const [project, setProject] = useState("");
  const [domain, setDomain] = useState("");
  const [requestId] = useState(() => crypto.randomUUID());
  const queries = useQueryClient();
  const known = useQuery({
    queryKey: ["principals", kind],
    enabled: kind !== "group",
    queryFn: async ({ signal }) => {
      if (kind === "user") {
        const answer = await members.listMembers({ pageSize: 200 }, { signal });
        return answer.members.map((each) => ({ id: each.userId, name: each.name || each.email }));
      }
      const answer = await accounts.listServiceAccounts({ pageSize: 200 }, { signal });
      return answer.serviceAccounts.map((each) => ({ id: each.id, name: each.name }));
    },
  });
  const chosen = id || known.data?.[0]?.id || "";
  return (
    <Confirm
      title="Bind a role"
      verb="Bind"
      onClose={onClose}
      run={async () => {
        const principal = principalOf(kind, chosen);
        await bindings.createRoleBinding({ requestId, principal, role, project, domain });
        await queries.invalidateQueries({ queryKey: ["bindings"] });
      }}
    >
      <label>
        To a
        <select
          value={kind}
          onChange={(event) => {
            setKind(event.target.value as Who);
            setId("");
          }}
        >
          <option value="service-account">service account</option>
          <option value="user">member</option>
          <option value="group">group of an identity provider</option>
        </select>
      </label>
      {kind === "group" ? (
        <label>
          Group
          <input
            type="text"
            required
            value={id}
            autoComplete="off"
            onChange={(event) => setId(event.target.value)}
          />
          <span className="hint">As the identity provider names it.</span>
        </label>
      ) : (
        <label>
          Who
          <select value={chosen} onChange={(event) => setId(event.target.value)}>
            {known.data?.map((each) => (
              <option key={each.id} value={each.id}>
                {each.name}
              </option>
            ))}
          </select>
        </label>
      )}
      <label>
        Role
        <select value={role} onChange={(event) => setRole(event.target.value)}>
          {roles.map((each) => (
            <option key={each.name}>{each.name}</option>
          ))}
        </select>
      </label>
      <label>
        Project
        <input
          type="text"
          value={project}
          autoComplete="off"
          onChange={(event) => setProject(event.target.value)}
        />
        <span className="hint">Empty: the whole org.</span>
      </label>
      {project !== "" && (
        <label>
          Domain
          <input
            type="text"
            value={domain}
            autoComplete="off"
            onChange={(event) => setDomain(event.target.value)}
          />
          <span className="hint">Empty: all domains of the project.</span>
        </label>
      )}
    </Confirm>
  );
}

function principalOf(kind: Who, value: string): MessageInitShape<typeof PrincipalSchema> {
  switch (kind) {
    case "user":
      return { kind: { case: "userId", value } };
    case "service-account":
      return { kind: { case: "serviceAccountId", value } };
    case "group":
      return { kind: { case: "group", value } };
  }
}
