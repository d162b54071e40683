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
import { type Choice, SelectField, TextField } from "../../parts/inputs";
import { PlaceFields } from "./PlaceFields";

const bindings = client(RoleBindingService);
const members = client(MemberService);
const accounts = client(ServiceAccountService);

type Who = "user" | "service-account" | "group";

const KINDS: readonly Choice<Who>[] = [
  { value: "service-account", label: "service account" },
  { value: "user", label: "member" },
  { value: "group", label: "group of an identity provider" },
];

/** Binds a role to a member, a service account or a group, in the org or in a project. */
export function BindRole({ roles, onClose }: { roles: readonly Role[]; onClose: () => void }) {
  const [kind, setKind] = useState<Who>("service-account");
  const [id, setId] = useState("");
  const [role, setRole] = useState("contributor");
  const [place, setPlace] = useState({ project: "", domain: "" });
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
        await bindings.createRoleBinding({ requestId, principal, role, ...place });
        await queries.invalidateQueries({ queryKey: ["bindings"] });
      }}
    >
      <SelectField
        label="To a"
        value={kind}
        set={(next) => {
          setKind(next);
          setId("");
        }}
        choices={KINDS}
      />
      {kind === "group" ? (
        <TextField
          label="Group"
          hint="As the identity provider names it."
          required
          value={id}
          set={setId}
        />
      ) : (
        <SelectField
          label="Who"
          value={chosen}
          set={setId}
          choices={(known.data ?? []).map((each) => ({ value: each.id, label: each.name }))}
        />
      )}
      <SelectField
        label="Role"
        value={role}
        set={setRole}
        choices={roles.map((each) => each.name)}
      />
      <PlaceFields place={place} set={setPlace} />
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
