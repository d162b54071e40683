import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { client } from "../../api/clients";
import { type Role, RoleService } from "../../gen/shared/idl/platform/v1/role_pb";
import { byNoun } from "../../model/permissions";
import { Confirm } from "../../parts/Confirm";
import { CheckField, SelectField, TextField } from "../../parts/inputs";

const service = client(RoleService);

/** Makes a custom role, which begins as a copy of another one. */
export function NewRole(props: {
  roles: readonly Role[];
  permissions: readonly string[];
  onClose: () => void;
}) {
  const permissionsOf = (role: string) =>
    new Set(props.roles.find((each) => each.name === role)?.permissions);
  const [name, setName] = useState("");
  const [description, setDescription] = useState("");
  const [source, setSource] = useState("viewer");
  const [chosen, setChosen] = useState<ReadonlySet<string>>(() => permissionsOf("viewer"));
  const queries = useQueryClient();
  const toggle = (permission: string) => {
    const next = new Set(chosen);
    if (!next.delete(permission)) next.add(permission);
    setChosen(next);
  };
  const permissions = [...chosen].sort();
  const options = permissions.map((permission) => `--permission ${permission}`).join(" ");
  return (
    <Confirm
      title="New role"
      verb="Create"
      command={`volary role create ${name || "NAME"} ${options}`}
      onClose={props.onClose}
      run={async () => {
        await service.createRole({ name, description, permissions });
        await queries.invalidateQueries({ queryKey: ["roles"] });
      }}
    >
      <TextField
        label="Name"
        hint="Small letters, digits and dashes."
        required
        value={name}
        set={setName}
      />
      <TextField label="What it is for" value={description} set={setDescription} />
      <SelectField
        label="Begin with a copy of"
        value={source}
        set={(role) => {
          setSource(role);
          setChosen(permissionsOf(role));
        }}
        choices={props.roles.map((role) => role.name)}
      />
      <fieldset className="permissions">
        <legend>Permissions: you must hold all that you give</legend>
        {byNoun(props.permissions).map(({ noun, verbs }) => (
          <div key={noun} className="permission-row">
            <span>{noun.replaceAll("_", " ")}</span>
            {verbs.map(({ verb, permission }) => (
              <CheckField
                key={permission}
                label={
                  <>
                    {verb}
                    <span className="sr"> {noun.replaceAll("_", " ")}</span>
                  </>
                }
                value={chosen.has(permission)}
                set={() => toggle(permission)}
              />
            ))}
          </div>
        ))}
      </fieldset>
    </Confirm>
  );
}
