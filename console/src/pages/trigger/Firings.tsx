import { client } from "../../api/clients";
import { usePaged } from "../../api/paged";
import { type Firing, TriggerService } from "../../gen/shared/idl/platform/v1/trigger_pb";
import { msOf } from "../../model/time";
import { Ago, Instant, To } from "../../parts/basics";
import { List } from "../../parts/List";
import { Empty } from "../../parts/states";
import { type Place, runPath } from "../../shell/url";

export const platformTriggers = client(TriggerService);

/** A trigger as the platform API names it. */
export type TriggerName = { project: string; domain: string; taskName: string; name: string };

const REASONS: Record<string, string> = {
  on_time: "on time",
  late: "late",
  delayed: "delayed",
  artifact: "for an artifact",
  by_hand: "by hand",
  overlap: "an earlier run had not ended",
  superseded: "a later instant replaced it",
  refused: "refused",
  too_late: "too many were due at once",
  restored: "due between a backup and its restore",
};

/** What became of each instant of a trigger, newest first: its run, or why there is none. */
export function Firings(props: {
  trigger: TriggerName;
  outcome: string;
  setOutcome: (outcome: "" | "started" | "skipped") => void;
}) {
  const { trigger, outcome } = props;
  const place: Place = trigger;
  const list = usePaged<Firing>(
    ["firings", trigger, outcome],
    async (pageToken, signal) => {
      const answer = await platformTriggers.listFirings(
        { ...trigger, outcome, pageSize: 50, pageToken },
        { signal },
      );
      return { rows: answer.firings, next: answer.nextPageToken };
    },
    { refresh: 5000 },
  );
  return (
    <div className="stack">
      <search className="filters">
        <select
          aria-label="Outcome"
          value={outcome}
          onChange={(event) => props.setOutcome(event.target.value as "" | "started" | "skipped")}
        >
          <option value="">started and skipped</option>
          <option value="started">started</option>
          <option value="skipped">skipped</option>
        </select>
      </search>
      <List
        label="Firings"
        list={list}
        keyOf={(each) => String(each.number)}
        empty={<Empty title={outcome === "" ? "It has not fired yet" : `Nothing was ${outcome}`} />}
        columns={[
          { name: "Outcome", cell: (each) => <Outcome firing={each} /> },
          { name: "Instant", cell: (each) => <Instants firing={each} /> },
          { name: "Decided", cell: (each) => <Ago at={msOf(each.decidedAt)} /> },
          {
            name: "Run",
            cell: (each) => each.run && <To to={runPath(place, each.run)}>{each.run}</To>,
          },
          {
            name: "Why",
            wrap: true,
            cell: (each) => (
              <>
                {REASONS[each.reason] ?? each.reason}
                {each.by && ` by ${each.by}`}
                {each.message && <span className="quiet">: {each.message}</span>}
              </>
            ),
          },
        ]}
      />
    </div>
  );
}

function Outcome({ firing }: { firing: Firing }) {
  const isLate = firing.reason === "late" || firing.reason === "delayed";
  const [look, glyph] =
    firing.outcome !== "started"
      ? ["aborted", "⊘"]
      : isLate
        ? ["waiting", "◔"]
        : ["succeeded", "✓"];
  return (
    <span className={`phase phase-${look}`}>
      <span className="glyph" aria-hidden="true">
        {glyph}
      </span>
      {firing.outcome}
      {isLate && ` ${firing.reason}`}
    </span>
  );
}

function Instants({ firing }: { firing: Firing }) {
  const count = Number(firing.instants);
  if (firing.reason === "by_hand") return <span className="quiet">–</span>;
  if (count <= 1) return <Instant at={msOf(firing.instant)} />;
  return (
    <>
      {count.toLocaleString("en")} instants, from <Instant at={msOf(firing.instant)} /> to{" "}
      <Instant at={msOf(firing.lastInstant)} />
    </>
  );
}
