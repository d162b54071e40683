import { client } from "../../api/clients";
import { usePaged } from "../../api/paged";
import {
  type Delivery,
  NotificationService,
} from "../../gen/shared/idl/platform/v1/notification_pb";
import { msOf } from "../../model/time";
import { Act } from "../../parts/Act";
import { Ago, To } from "../../parts/basics";
import { List } from "../../parts/List";
import { Empty } from "../../parts/states";
import { useMay } from "../../shell/session";
import { runPath } from "../../shell/url";

const notifications = client(NotificationService);
const MOST_AT_ONCE = 1000; // that ResendDeliveries takes

type State = "" | "pending" | "delivered" | "failed";

/** Deliveries, newest first; those that were given up can be sent again. */
export function Deliveries({
  state,
  setState,
}: {
  state: State;
  setState: (state: State) => void;
}) {
  const may = useMay();
  const list = usePaged<Delivery>(
    ["deliveries", state],
    async (pageToken, signal) => {
      const answer = await notifications.listDeliveries(
        { pageSize: 100, pageToken, state },
        { signal },
      );
      return { rows: answer.deliveries, next: answer.nextPageToken };
    },
    { refresh: 5000 },
  );
  const failed = (list.rows ?? [])
    .filter((each) => each.state === "failed" && may("notification:write", each))
    .slice(0, MOST_AT_ONCE);
  const resend = (deliveries: readonly Delivery[]) =>
    notifications.resendDeliveries({ ids: deliveries.map(({ id }) => id) });
  return (
    <div className="stack">
      <search className="filters">
        <select
          aria-label="State"
          value={state}
          onChange={(event) => setState(event.target.value as State)}
        >
          <option value="">all states</option>
          <option value="pending">pending</option>
          <option value="delivered">delivered</option>
          <option value="failed">failed</option>
        </select>
        {failed.length > 1 && (
          <Act
            label={`Send ${failed.length} failed again`}
            className="button"
            verb="Send again"
            title={`Send ${failed.length} deliveries again?`}
            says="Each has the key that it had, so a receiver that has seen it can tell."
            command="volary notification resend --failed"
            run={() => resend(failed)}
          />
        )}
      </search>
      <List
        label="Deliveries"
        list={list}
        keyOf={(each) => each.id}
        empty={
          <Empty title={state === "" ? "Nothing was sent yet" : `No delivery is ${state}`}>
            <p>
              A run reports its end if it names a rule, as in{" "}
              <code>notifications=notify.NamedRule("nightly")</code>. Deliveries are kept for 30
              days.
            </p>
          </Empty>
        }
        columns={[
          { name: "State", cell: (each) => <DeliveryState state={each.state} /> },
          { name: "Made", cell: (each) => <Ago at={msOf(each.createdAt)} /> },
          {
            name: "Run",
            cell: (each) =>
              each.run === "" ? (
                <span className="quiet">deleted</span>
              ) : (
                <To to={runPath(each, each.run, each.action && `?i=${each.action}`)}>{each.run}</To>
              ),
          },
          {
            name: "Project",
            cell: (each) => `${each.project} / ${each.domain}`,
          },
          { name: "About", cell: (each) => each.phase.toLowerCase().replaceAll("_", " ") },
          {
            name: "To",
            cell: (each) => (
              <>
                {each.channel} {each.receiver}
                {each.deliveryConfig && <span className="quiet"> by {each.deliveryConfig}</span>}
              </>
            ),
          },
          { name: "Tries", align: "right", cell: (each) => each.tries },
          {
            name: "Answer",
            wrap: true,
            cell: (each) => (
              <>
                {each.status > 0 && <span className="num">{each.status} </span>}
                {each.error && <span className="error-line">{each.error}</span>}
                {each.state === "pending" && (
                  <span className="quiet">
                    next try <Ago at={msOf(each.dueAt)} />
                  </span>
                )}
              </>
            ),
          },
          {
            name: "Change",
            hidden: true,
            cell: (each) =>
              each.state !== "pending" &&
              may("notification:write", each) && (
                <Act
                  label="Send again"
                  verb="Send again"
                  title={`Send again the ${each.channel} about ${each.run || "a deleted run"}?`}
                  says="It has the key that it had, so a receiver that has seen it can tell."
                  command={`volary notification resend ${each.id}`}
                  run={() => resend([each])}
                />
              ),
          },
        ]}
      />
    </div>
  );
}

const LOOKS: Record<string, [string, string]> = {
  pending: ["queued", "◌"],
  delivered: ["succeeded", "✓"],
  failed: ["failed", "✕"],
};

function DeliveryState({ state }: { state: string }) {
  const [look, glyph] = LOOKS[state] ?? ["unknown", "?"];
  return (
    <span className={`phase phase-${look}`}>
      <span className="glyph" aria-hidden="true">
        {glyph}
      </span>
      {state}
    </span>
  );
}
