import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { client } from "../api/clients";
import { usePaged } from "../api/paged";
import { type Invitation, InvitationService } from "../gen/shared/idl/platform/v1/invitation_pb";
import { type Member, MemberService } from "../gen/shared/idl/platform/v1/member_pb";
import { RoleService } from "../gen/shared/idl/platform/v1/role_pb";
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
import { PlaceFields } from "./roles/PlaceFields";

const members = client(MemberService);
const invitations = client(InvitationService);
const roles = client(RoleService);

/** The people of the org: their roles, where they come from, and who is invited. */
export default function Members() {
  const [isInviting, setInviting] = useState(false);
  const list = usePaged<Member>(["members"], async (pageToken, signal) => {
    const answer = await members.listMembers({ pageSize: 100, pageToken }, { signal });
    return { rows: answer.members, next: answer.nextPageToken };
  });
  const invited = usePaged<Invitation>(["invitations"], async (pageToken, signal) => {
    const answer = await invitations.listInvitations({ pageSize: 50, pageToken }, { signal });
    return { rows: answer.invitations, next: answer.nextPageToken };
  });
  const canWrite = useMay()("member:write");
  return (
    <Page
      title="People"
      lede="Members of this org. A role holds in the whole org; bindings give more in projects and domains."
      actions={
        canWrite && (
          <button type="button" className="primary" onClick={() => setInviting(true)}>
            Invite
          </button>
        )
      }
    >
      <div className="stack">
        <List
          label="Members"
          list={list}
          keyOf={(member) => member.userId}
          empty={
            <Empty title="No member yet">
              <p>
                Without logins there are no people here: whoever reaches this address may do
                anything.
              </p>
            </Empty>
          }
          columns={[
            { name: "Name", cell: (member) => <strong>{member.name || member.email}</strong> },
            { name: "Address", cell: (member) => member.email },
            {
              name: "Role",
              cell: (member) =>
                canWrite ? <RoleOf member={member} /> : member.role || "by bindings only",
            },
            { name: "From", cell: (member) => member.source.replaceAll("_", " ") },
            { name: "Groups", cell: (member) => member.groups.join(", ") },
            { name: "Seen", cell: (member) => <Ago at={msOf(member.seenAt)} /> },
            {
              name: "Change",
              hidden: true,
              cell: (member) => (
                <span className="tags">
                  <AuditLink
                    target={`user:${member.userId}`}
                    name={member.email || member.userId}
                  />
                  {canWrite && (
                    <Act
                      label="Remove"
                      verb="Remove"
                      title={`Remove ${member.email || member.userId}?`}
                      says="Their sessions end, and their role bindings are deleted. Runs that they started go on."
                      command={`volary member remove ${member.userId}`}
                      run={() => members.removeMember({ userId: member.userId })}
                    />
                  )}
                </span>
              ),
            },
          ]}
        />
        <h2>Invitations</h2>
        <List
          label="Invitations"
          list={invited}
          keyOf={(each) => each.id}
          empty={<p className="quiet">Nobody is invited.</p>}
          columns={[
            { name: "Address", cell: (each) => each.email || "whoever has the link" },
            { name: "Role", cell: (each) => each.role },
            {
              name: "Where",
              cell: (each) => (each.project === "" ? "the org" : `${each.project} ${each.domain}`),
            },
            {
              name: "Ends",
              cell: (each) => (each.usedAt ? "used" : <Ago at={msOf(each.expiresAt)} />),
            },
            { name: "By", cell: (each) => each.createdBy },
            {
              name: "Change",
              hidden: true,
              shown: canWrite,
              cell: (each) => (
                <Act
                  label="Withdraw"
                  verb="Withdraw"
                  title={`Withdraw the invitation ${each.email ? `of ${each.email}` : ""}?`}
                  says="Its link stops working. A member who has joined by it stays."
                  run={() => invitations.withdrawInvitation({ id: each.id })}
                />
              ),
            },
          ]}
        />
      </div>
      {isInviting && <Invite onClose={() => setInviting(false)} />}
    </Page>
  );
}

/** The names of roles, for a field that chooses one. */
export function useRoleNames(): string[] {
  const query = useQuery({
    queryKey: ["role names"],
    staleTime: 60_000,
    queryFn: async ({ signal }) =>
      (await roles.listRoles({ pageSize: 100 }, { signal })).roles.map((role) => role.name),
  });
  return query.data ?? [];
}

function RoleOf({ member }: { member: Member }) {
  const [next, setNext] = useState<string | undefined>();
  const names = useRoleNames();
  const queries = useQueryClient();
  return (
    <>
      <select
        aria-label={`Role of ${member.email || member.userId}`}
        value={member.role}
        onChange={(event) => setNext(event.target.value)}
      >
        <option value="">by bindings only</option>
        {[...new Set([...names, member.role])]
          .filter((name) => name !== "")
          .map((name) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
      </select>
      {next !== undefined && (
        <Confirm
          title={`Give ${member.email || member.userId} the role ${next || "by bindings only"}?`}
          verb="Give"
          onClose={() => setNext(undefined)}
          run={async () => {
            await members.updateMember({
              member: { userId: member.userId, role: next, version: member.version },
              updateMask: { paths: ["role"] },
            });
            await queries.invalidateQueries({ queryKey: ["members"] });
          }}
        >
          <p>It holds in the whole org, at once. Now it is {member.role || "by bindings only"}.</p>
        </Confirm>
      )}
    </>
  );
}

function Invite({ onClose }: { onClose: () => void }) {
  const [email, setEmail] = useState("");
  const [role, setRole] = useState("");
  const [place, setPlace] = useState({ project: "", domain: "" });
  const [link, setLink] = useState<string | undefined>();
  const [requestId] = useState(() => crypto.randomUUID());
  const names = useRoleNames();
  // The least of the built-in ones, unless another one is chosen.
  const chosen = role || (names.includes("viewer") ? "viewer" : (names[0] ?? ""));
  const queries = useQueryClient();
  if (link !== undefined) {
    return (
      <Dialog title="The invitation" onClose={onClose}>
        <p>
          Send this link to {email || "the person"}. It works once, for seven days, and is shown
          only now.
        </p>
        <Command>{link}</Command>
      </Dialog>
    );
  }
  return (
    <Confirm
      title="Invite a person"
      verb="Make the link"
      onClose={onClose}
      onDone={() => undefined}
      run={async () => {
        const answer = await invitations.createInvitation({
          requestId,
          email,
          role: chosen,
          ...place,
        });
        await queries.invalidateQueries({ queryKey: ["invitations"] });
        setLink(answer.link);
      }}
    >
      <TextField
        label="Address"
        type="email"
        hint="Only a login with this verified address may use the link; empty: anybody who has it."
        value={email}
        set={setEmail}
      />
      <SelectField label="Role" value={chosen} set={setRole} choices={names} />
      <PlaceFields place={place} set={setPlace} />
    </Confirm>
  );
}
