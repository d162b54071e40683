import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { client } from "../api/clients";
import { usePaged } from "../api/paged";
import { serverClock } from "../api/server";
import { type AuditRecord, AuditService } from "../gen/shared/idl/platform/v1/audit_pb";
import { msOf, parseSince } from "../model/time";
import { oneOf, text } from "../model/url";
import { Instant } from "../parts/basics";
import { Field } from "../parts/Field";
import { List } from "../parts/List";
import { Page } from "../parts/Page";
import { Empty } from "../parts/states";
import { useUrl } from "../shell/url";

const audit = client(AuditService);
const SINCE = ["", "1h", "24h", "7d", "30d"] as const;
const URL_STATE = {
  actor: text(),
  action: text(),
  target: text(),
  outcome: oneOf(["", "done", "refused"], ""),
  since: oneOf(SINCE, ""),
};

/** Administrative acts of the org: who did what to what, from where, and whether it was allowed. */
export default function Audit() {
  const { values, set } = useUrl(URL_STATE);
  const since = parseSince(values.since);
  const list = usePaged<AuditRecord>(["audit", values], async (pageToken, signal) => {
    const { actor, action, target, outcome } = values;
    const from = since === undefined ? undefined : timestampFromMs(serverClock.now() - since);
    const request = { pageSize: 100, pageToken, actor, action, target, outcome, since: from };
    const answer = await audit.listAuditRecords(request, { signal });
    return { rows: answer.records, next: answer.nextPageToken };
  });
  return (
    <Page
      title="Audit"
      lede="Administrative acts. Records can be added only, and each carries the hash of the one before."
    >
      <search className="filters">
        <Field
          name="Who (user:…)"
          value={values.actor}
          set={(actor) => set({ actor }, "replace")}
        />
        <Field
          name="Act (noun.verb)"
          value={values.action}
          set={(action) => set({ action }, "replace")}
        />
        <Field
          name="Object (kind:id)"
          value={values.target}
          set={(target) => set({ target }, "replace")}
        />
        <select
          aria-label="Outcome"
          value={values.outcome}
          onChange={(event) => set({ outcome: event.target.value as typeof values.outcome })}
        >
          <option value="">done and refused</option>
          <option value="done">done</option>
          <option value="refused">refused</option>
        </select>
        <select
          aria-label="Since"
          value={values.since}
          onChange={(event) => set({ since: event.target.value as typeof values.since })}
        >
          {SINCE.map((each) => (
            <option key={each} value={each}>
              {each === "" ? "any time" : `last ${each}`}
            </option>
          ))}
        </select>
      </search>
      <List
        label="Audit records"
        list={list}
        keyOf={(record) => String(record.number)}
        empty={<Empty title="No record matches" />}
        columns={[
          { name: "No.", align: "right", cell: (record) => String(record.number) },
          { name: "When", cell: (record) => <Instant at={msOf(record.at)} /> },
          {
            name: "Who",
            cell: (record) => <Pick text={record.actor} set={(actor) => set({ actor })} />,
          },
          {
            name: "Act",
            cell: (record) => <Pick text={record.action} set={(action) => set({ action })} />,
          },
          {
            name: "Object",
            cell: (record) => <Pick text={record.target} set={(target) => set({ target })} />,
          },
          {
            name: "Outcome",
            cell: (record) => (
              <span className={record.outcome === "refused" ? "phase-failed" : "phase-succeeded"}>
                {record.outcome === "refused" ? "✕" : "✓"} {record.outcome}
              </span>
            ),
          },
          { name: "From", cell: (record) => record.peer },
          {
            name: "Detail",
            cell: (record) =>
              Object.entries(record.detail)
                .map(([key, value]) => `${key}=${value}`)
                .join(" "),
          },
        ]}
      />
    </Page>
  );
}

function Pick({ text, set }: { text: string; set: (text: string) => void }) {
  return (
    <button
      type="button"
      className="tag-button link-like"
      title={`Only ${text}`}
      onClick={() => set(text)}
    >
      {text}
    </button>
  );
}
