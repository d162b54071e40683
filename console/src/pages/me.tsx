import { useEffect } from "react";
import { client } from "../api/clients";
import { usePaged } from "../api/paged";
import { type Session, SessionService } from "../gen/shared/idl/platform/v1/session_pb";
import { byNoun, type Grant } from "../model/permissions";
import { msOf } from "../model/time";
import { oneOf } from "../model/url";
import { Act } from "../parts/Act";
import { Ago, Fields } from "../parts/basics";
import { List } from "../parts/List";
import { Page } from "../parts/Page";
import { announceLogin } from "../shell/Expired";
import { setPreferences, usePreferences } from "../shell/preferences";
import { useOrg, useWho } from "../shell/session";
import { useUrl } from "../shell/url";

const URL_STATE = { again: oneOf(["", "yes"], "") };
const sessions = client(SessionService);

/** Who one is, how the console looks here, and where one is logged in. */
export default function Me() {
  const who = useWho();
  const org = useOrg();
  const { values } = useUrl(URL_STATE);
  useEffect(() => {
    if (values.again === "yes") announceLogin();
  }, [values.again]);
  const isKnown = who.data !== undefined && !who.data.anonymous;
  return (
    <Page
      title="Me"
      actions={
        isKnown && (
          <>
            <a className="button" href="/orgs">
              Change the org
            </a>
            <a className="button" href="/sessions">
              Log out
            </a>
          </>
        )
      }
    >
      <div className="stack">
        {values.again === "yes" && (
          <p className="note-box" role="status">
            <strong>You are logged in again.</strong> Close this window, and go on where you were.
          </p>
        )}
        <div className="split">
          <section className="card" aria-label="Who I am">
            <h2>Who I am</h2>
            <Fields
              rows={[
                ["Name", who.data?.name],
                ["Address", who.data?.email],
                ["Subject", <code key="subject">{who.data?.subject}</code>],
                ["Org", org.data?.displayName || org.data?.name],
              ]}
            />
          </section>
          <Looks />
        </div>
        {who.data !== undefined && <Grants grants={who.data.grants} />}
        {isKnown && <Sessions />}
      </div>
    </Page>
  );
}

/** Permissions by place, those of the whole org first. */
function Grants({ grants }: { grants: readonly Grant[] }) {
  return (
    <section className="stack" aria-label="Permissions">
      <h2>What I may do</h2>
      {grants.length === 0 ? (
        <p className="quiet">Nothing yet. Ask an administrator of the org for a role.</p>
      ) : (
        grants.map(({ project, domain, permissions }) => (
          <details key={`${project}/${domain}`} open={grants.length === 1}>
            <summary>
              {project === "" ? "in the whole org" : `in ${project} ${domain || "(all domains)"}`}{" "}
              <span className="quiet">{permissions.length} permissions</span>
            </summary>
            <Fields
              rows={byNoun(permissions).map(({ noun, verbs }) => [
                noun.replaceAll("_", " "),
                verbs.map(({ verb }) => verb).join(", "),
              ])}
            />
          </details>
        ))
      )}
    </section>
  );
}

function Looks() {
  const preferences = usePreferences();
  const choices = [
    ["theme", "Theme", ["system", "light", "dark"]],
    ["density", "Rows", ["comfortable", "compact"]],
    ["zone", "Times", ["local", "utc"]],
  ] as const;
  return (
    <section className="card" aria-label="Preferences">
      <h2>In this browser</h2>
      {choices.map(([key, words, values]) => (
        <fieldset key={key} className="plain-set">
          <legend>{words}</legend>
          {values.map((value) => (
            <label key={value} className="check">
              <input
                type="radio"
                name={key}
                checked={preferences[key] === value}
                onChange={() => setPreferences({ [key]: value })}
              />
              {value === "utc" ? "UTC" : value}
            </label>
          ))}
        </fieldset>
      ))}
      <label className="check">
        <input
          type="checkbox"
          checked={preferences.singleKeys}
          onChange={(event) => setPreferences({ singleKeys: event.target.checked })}
        />
        Keys without Ctrl act
      </label>
    </section>
  );
}

function Sessions() {
  const list = usePaged<Session>(["sessions"], async (pageToken, signal) => {
    const answer = await sessions.listSessions({ pageSize: 100, pageToken }, { signal });
    return { rows: answer.sessions, next: answer.nextPageToken };
  });
  return (
    <section className="stack" aria-label="Sessions">
      <h2>Where I am logged in</h2>
      <List
        label="Sessions"
        list={list}
        keyOf={(each) => each.id}
        empty={<p className="quiet">Nowhere else.</p>}
        columns={[
          { name: "What", cell: (each) => each.clientId || each.browser || "a browser" },
          { name: "From", cell: (each) => each.peer },
          { name: "Began", cell: (each) => <Ago at={msOf(each.createdAt)} /> },
          { name: "Used", cell: (each) => <Ago at={msOf(each.usedAt)} /> },
          { name: "Ends", cell: (each) => <Ago at={msOf(each.expiresAt)} /> },
          {
            name: "Change",
            hidden: true,
            cell: (each) =>
              each.current ? (
                <span className="quiet">this one</span>
              ) : (
                <Act
                  label="End"
                  verb="End"
                  title={`End the session of ${each.clientId || "a browser"}?`}
                  says="It is logged out within a second."
                  run={() => sessions.revokeSession({ id: each.id })}
                />
              ),
          },
        ]}
      />
    </section>
  );
}
