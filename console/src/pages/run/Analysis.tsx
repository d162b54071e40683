import { useQuery } from "@tanstack/react-query";
import { client } from "../../api/clients";
import {
  type ActivityBucket,
  ExplanationService,
  type FailureGroup,
} from "../../gen/shared/idl/platform/v1/explanation_pb";
import { lookOfReason, wordsOfReason } from "../../model/run";
import { formatDuration, msOf, msOfDuration } from "../../model/time";
import { Ago, Dialog, Instant } from "../../parts/basics";
import { Loaded } from "../../parts/states";
import { Table } from "../../parts/Table";
import type { Place } from "../../shell/url";

const explanations = client(ExplanationService);
const BUCKETS = 120;

type Props = { place: Place; run: string; isOver: boolean };

/**
 * The life of a run in one strip: above the line what ran, below it what waited, by reason. Open, it says
 * which chain of actions the run took as long as.
 */
export function Strip({
  place,
  run,
  isOver,
  onChoose,
}: Props & { onChoose: (action: string) => void }) {
  const activity = useQuery({
    queryKey: ["activity", place, run, isOver],
    refetchInterval: isOver ? false : 3000,
    retry: false,
    queryFn: ({ signal }) =>
      explanations.getActivity({ ...place, run, buckets: BUCKETS }, { signal }),
  });
  const path = useQuery({
    queryKey: ["critical path", place, run, isOver],
    refetchInterval: isOver ? false : 5000,
    retry: false,
    queryFn: ({ signal }) => explanations.getCriticalPath({ ...place, run }, { signal }),
  });
  if (activity.data === undefined) return null;
  const { buckets } = activity.data;
  return (
    <details className="strip">
      <summary>
        <Bars buckets={buckets} />
        <span className="strip-words">{path.data?.message || summaryOf(buckets)}</span>
      </summary>
      <div className="strip-more">
        <Legend buckets={buckets} />
        {path.data !== undefined && (
          <div className="split">
            <Table
              label="Where the time went"
              rows={path.data.shares}
              keyOf={(share) => `${share.reason} ${share.title}`}
              columns={[
                {
                  name: "Where the time went",
                  cell: (share) => (
                    <>
                      <Swatch reason={share.reason} /> {share.title || wordsOfReason(share.reason)}
                    </>
                  ),
                },
                {
                  name: "For",
                  align: "right",
                  cell: (share) => formatDuration(msOfDuration(share.duration) ?? 0),
                },
                {
                  name: "Share",
                  align: "right",
                  cell: (share) => `${Math.round(share.fraction * 100)} %`,
                },
              ]}
            />
            <Table
              label="The chain that the run took as long as"
              rows={path.data.pieces.slice(-200)}
              keyOf={(piece) => `${piece.action} ${piece.reason} ${msOf(piece.startedAt)}`}
              columns={[
                {
                  name: "The chain it took as long as",
                  cell: (piece) => (
                    <button
                      type="button"
                      className="tag-button link-like"
                      onClick={() => onChoose(piece.action)}
                    >
                      {piece.title || piece.action}
                    </button>
                  ),
                },
                { name: "Why", cell: (piece) => piece.message || wordsOfReason(piece.reason) },
                {
                  name: "For",
                  align: "right",
                  cell: (piece) =>
                    formatDuration((msOf(piece.endedAt) ?? 0) - (msOf(piece.startedAt) ?? 0)),
                },
              ]}
            />
          </div>
        )}
      </div>
    </details>
  );
}

function Swatch({ reason }: { reason: string }) {
  const { letter } = lookOfReason(reason);
  return (
    <span
      className={`swatch ${reason === "running" ? "fill-running" : `fill-${lookOfReason(reason).shade}`}`}
      aria-hidden="true"
    >
      {letter}
    </span>
  );
}

function Bars({ buckets }: { buckets: readonly ActivityBucket[] }) {
  const waitingOf = (bucket: ActivityBucket) =>
    Object.values(bucket.waiting).reduce((sum, each) => sum + each, 0);
  const high = Math.max(0.001, ...buckets.map((bucket) => bucket.running + bucket.starting));
  const low = Math.max(0.001, ...buckets.map(waitingOf));
  const width = 100 / Math.max(1, buckets.length);
  return (
    <svg
      className="strip-bars"
      viewBox="0 0 100 40"
      preserveAspectRatio="none"
      role="img"
      aria-label={summaryOf(buckets)}
    >
      {buckets.map((bucket, index) => {
        const x = index * width;
        const running = (bucket.running / high) * 24;
        const starting = (bucket.starting / high) * 24;
        let y = 25;
        return (
          // biome-ignore lint/suspicious/noArrayIndexKey: buckets are told apart by their place
          <g key={index}>
            <rect className="fill-running" x={x} y={24 - running} width={width} height={running} />
            <rect
              className="fill-starting"
              x={x}
              y={24 - running - starting}
              width={width}
              height={starting}
            />
            {Object.entries(bucket.waiting)
              .sort(([a], [b]) => (a < b ? -1 : 1))
              .map(([reason, count]) => {
                const height = (count / low) * 15;
                const rect = (
                  <rect
                    key={reason}
                    className={`fill-${lookOfReason(reason).shade}`}
                    x={x}
                    y={y}
                    width={width}
                    height={height}
                  />
                );
                y += height;
                return rect;
              })}
          </g>
        );
      })}
    </svg>
  );
}

function reasonsOf(buckets: readonly ActivityBucket[]): string[] {
  return [...new Set(buckets.flatMap((bucket) => Object.keys(bucket.waiting)))].sort();
}

function summaryOf(buckets: readonly ActivityBucket[]): string {
  const most = Math.round(Math.max(0, ...buckets.map((bucket) => bucket.running)));
  const reasons = reasonsOf(buckets).map(wordsOfReason);
  return `At most ${most} ran at once${reasons.length > 0 ? `; what waited: ${reasons.join(", ")}` : ""}.`;
}

function Legend({ buckets }: { buckets: readonly ActivityBucket[] }) {
  return (
    <p className="tags quiet">
      <span>
        <Swatch reason="running" /> running
      </span>
      {reasonsOf(buckets).map((reason) => (
        <span key={reason}>
          <Swatch reason={reason} /> {wordsOfReason(reason)}
        </span>
      ))}
    </p>
  );
}

/** The failures of a run by cause: which retries each cost, and actions that had it. */
export function Failures(props: {
  place: Place;
  run: string;
  onChoose: (action: string) => void;
  onClose: () => void;
}) {
  const query = useQuery({
    queryKey: ["failure groups", props.place, props.run],
    queryFn: async ({ signal }) =>
      (
        await explanations.listFailures(
          { ...props.place, run: props.run, pageSize: 100 },
          { signal },
        )
      ).failures,
  });
  return (
    <Dialog title="Failures by cause" className="wide" onClose={props.onClose}>
      <Loaded query={query}>
        {(groups) => (
          <div className="stack">
            {groups.map((group) => (
              <Cause
                key={`${group.kind} ${group.code} ${group.message}`}
                group={group}
                onChoose={props.onChoose}
              />
            ))}
          </div>
        )}
      </Loaded>
    </Dialog>
  );
}

function Cause({ group, onChoose }: { group: FailureGroup; onChoose: (action: string) => void }) {
  const [attempts, ended] = [Number(group.attempts), Number(group.ended)];
  return (
    <section className="card" aria-label={group.code}>
      <h3>
        {group.code} <span className="quiet">{group.kind}</span>
      </h3>
      <p className="break">{group.message}</p>
      <p className="quiet">
        {attempts} {attempts === 1 ? "attempt" : "attempts"} of {String(group.actions)}{" "}
        {group.actions === 1n ? "action" : "actions"}; {attempts - ended} were tried again, charged
        to {group.kind || "no"} retries. Last <Ago at={msOf(group.lastAt)} />.
      </p>
      <p className="actions">
        {group.examples.map((name) => (
          <button key={name} type="button" className="small" onClick={() => onChoose(name)}>
            {name}
          </button>
        ))}
      </p>
    </section>
  );
}

/** Every attempt with its lease: who held it, in which session, who ended it, which retries it cost. */
export function Attempts({
  place,
  run,
  action,
  changed,
}: {
  place: Place;
  run: string;
  action: string;
  changed: string;
}) {
  const query = useQuery({
    queryKey: ["attempt history", place, run, action, changed],
    queryFn: async ({ signal }) =>
      (await explanations.listAttempts({ ...place, run, action, pageSize: 100 }, { signal }))
        .attempts,
  });
  return (
    <Loaded query={query}>
      {(attempts) =>
        attempts.length === 0 ? (
          <p className="quiet">No cluster has taken it yet.</p>
        ) : (
          <div className="stack">
            {attempts.map((attempt) => (
              <section
                key={attempt.number}
                className="card"
                aria-label={`Attempt ${attempt.number}`}
              >
                <h3>
                  Attempt {attempt.number}{" "}
                  <span className="quiet">{attempt.phase.replaceAll("_", " ")}</span>
                </h3>
                <table className="plain">
                  <tbody>
                    {[
                      ["Waited since", <Instant key="a" at={msOf(attempt.availableAt)} />],
                      ["Leased", <Instant key="b" at={msOf(attempt.leasedAt)} />],
                      ["Accepted", <Instant key="c" at={msOf(attempt.acceptedAt)} />],
                      ["Started", <Instant key="d" at={msOf(attempt.startedAt)} />],
                      ["Ended", <Instant key="e" at={msOf(attempt.endedAt)} />],
                      ["Ended by", attempt.endedBy],
                      [
                        "Cluster",
                        attempt.cluster && `${attempt.cluster}, session ${attempt.epoch}`,
                      ],
                      [
                        "Lease",
                        attempt.leaseId ? <code key="f">{attempt.leaseId}</code> : "revoked",
                      ],
                      ["Charged to", attempt.charged ? `${attempt.charged} retries` : ""],
                      ["Error", attempt.errorCode && `${attempt.errorCode}: ${attempt.error}`],
                    ]
                      .filter(([, value]) => value !== "")
                      .map(([name, value]) => (
                        <tr key={String(name)}>
                          <th scope="row">{name}</th>
                          <td className="wrap">{value}</td>
                        </tr>
                      ))}
                    {attempt.returnedLeases.map((lease) => (
                      <tr key={msOf(lease.leasedAt)}>
                        <th scope="row">Not accepted</th>
                        <td className="wrap">
                          {lease.cluster}: leased <Instant at={msOf(lease.leasedAt)} />, and went
                          back
                        </td>
                      </tr>
                    ))}
                    {attempt.refusedReports.map((report) => (
                      <tr key={`${report.leaseId} ${msOf(report.refusedAt)}`}>
                        <th scope="row">Refused</th>
                        <td className="wrap">
                          {report.cluster} reported {report.phase.replaceAll("_", " ")}{" "}
                          <Instant at={msOf(report.refusedAt)} /> with a lease that it had lost:{" "}
                          <code>{report.leaseId}</code>. It changed nothing.
                        </td>
                      </tr>
                    ))}
                  </tbody>
                </table>
              </section>
            ))}
          </div>
        )
      }
    </Loaded>
  );
}
