import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { client } from "../api/clients";
import { usePaged } from "../api/paged";
import { type Queue, QueueService } from "../gen/shared/idl/platform/v1/queue_pb";
import { Confirm } from "../parts/Confirm";
import { CheckField, NumberField, TextField } from "../parts/inputs";
import { List } from "../parts/List";
import { Page } from "../parts/Page";
import { Empty } from "../parts/states";
import { AuditLink } from "../shell/AuditLink";
import { useMay } from "../shell/session";
import { History } from "./queues/History";

const queues = client(QueueService);

/** Queues: who serves each, its limits, and how much waits. */
export default function Queues() {
  const [editing, setEditing] = useState<Queue | "new" | undefined>();
  const [deleting, setDeleting] = useState<Queue | undefined>();
  const list = usePaged<Queue>(
    ["queues"],
    async (pageToken, signal) => {
      const answer = await queues.listQueues({ pageSize: 100, pageToken }, { signal });
      return { rows: answer.queues, next: answer.nextPageToken };
    },
    { refresh: 3000 },
  );
  const canWrite = useMay()("queue:write");
  const add = canWrite && (
    <button type="button" className="primary" onClick={() => setEditing("new")}>
      Create a queue
    </button>
  );
  return (
    <Page
      title="Queues"
      lede="Each sends its actions to a pool of clusters, by priority and within its limits. Actions that name no queue are in the default one, which has no limits."
      actions={add}
    >
      <div className="stack">
        <List
          label="Queues"
          list={list}
          keyOf={(queue) => queue.name}
          empty={
            <Empty title="Only the default queue">
              <p>
                It takes all actions, without limits. Create a queue to give some work a pool, a
                priority or a limit.
              </p>
              {add && <p className="actions">{add}</p>}
            </Empty>
          }
          columns={[
            { name: "Queue", cell: (queue) => <strong>{queue.name}</strong> },
            { name: "Pool", cell: (queue) => queue.pool || "default" },
            { name: "Priority", align: "right", cell: (queue) => queue.priority },
            {
              name: "Waiting",
              align: "right",
              cell: (queue) => limit(queue.load?.waiting, queue.depth),
            },
            {
              name: "Actions",
              align: "right",
              cell: (queue) => limit(queue.load?.actions, queue.actionConcurrency),
            },
            {
              name: "Runs",
              align: "right",
              cell: (queue) => limit(queue.load?.runs, queue.runConcurrency),
            },
            { name: "Clusters", align: "right", cell: (queue) => clustersOf(queue) },
            {
              name: "Change",
              hidden: true,
              shown: canWrite,
              cell: (queue) => (
                <span className="tags">
                  <AuditLink target={`queue:${queue.name}`} name={queue.name} />
                  <button
                    type="button"
                    className="small"
                    aria-label={`Edit ${queue.name}`}
                    onClick={() => setEditing(queue)}
                  >
                    Edit
                  </button>
                  <button
                    type="button"
                    className="small"
                    aria-label={`Delete ${queue.name}`}
                    onClick={() => setDeleting(queue)}
                  >
                    Delete
                  </button>
                </span>
              ),
            },
          ]}
        />
        <History names={list.rows ?? []} />
      </div>
      {editing !== undefined && <Edit queue={editing} onClose={() => setEditing(undefined)} />}
      {deleting !== undefined && <Delete queue={deleting} onClose={() => setDeleting(undefined)} />}
    </Page>
  );
}

function limit(is: number | undefined, most: number) {
  const text = `${is ?? 0}${most > 0 ? ` of ${most}` : ""}`;
  return (
    <span className={`num ${most > 0 && (is ?? 0) >= most ? "phase-waiting" : ""}`}>{text}</span>
  );
}

function clustersOf(queue: Queue) {
  const count = queue.load?.clusters ?? 0;
  return count === 0 ? <span className="phase-failed">none: its work waits</span> : count;
}

const NUMBERS = [
  ["priority", "Priority", "-1,000 to 1,000; larger goes first", -1000, 1000],
  ["depth", "Waiting at most", "0: no limit", 0, undefined],
  ["actionConcurrency", "Actions at once", "0: no limit", 0, undefined],
  ["runConcurrency", "Runs at once", "0: no limit", 0, undefined],
] as const;

function Edit({ queue, onClose }: { queue: Queue | "new"; onClose: () => void }) {
  const isNew = queue === "new";
  const before = isNew ? undefined : queue;
  const [name, setName] = useState(before?.name ?? "");
  const [pool, setPool] = useState(before?.pool ?? "");
  const [numbers, setNumbers] = useState({
    priority: before?.priority ?? 0,
    depth: before?.depth ?? 0,
    actionConcurrency: before?.actionConcurrency ?? 0,
    runConcurrency: before?.runConcurrency ?? 0,
  });
  const client = useQueryClient();
  const save = async () => {
    const wanted = { name, pool, ...numbers };
    if (isNew) await queues.createQueue({ queue: wanted });
    else {
      await queues.updateQueue({
        queue: { ...wanted, version: before?.version ?? 0n },
        updateMask: {
          paths: ["pool", "priority", "depth", "run_concurrency", "action_concurrency"],
        },
      });
    }
    await client.invalidateQueries({ queryKey: ["queues"] });
  };
  return (
    <Confirm
      title={isNew ? "Create a queue" : `Edit ${name}`}
      verb="Save"
      run={save}
      onClose={onClose}
    >
      {isNew && <TextField label="Name" required value={name} set={setName} />}
      <TextField label="Pool of clusters" placeholder="default" value={pool} set={setPool} />
      {NUMBERS.map(([key, words, hint, min, max]) => (
        <NumberField
          key={key}
          label={words}
          hint={hint}
          min={min}
          max={max}
          value={numbers[key]}
          set={(value) => setNumbers({ ...numbers, [key]: value })}
        />
      ))}
    </Confirm>
  );
}

function Delete({ queue, onClose }: { queue: Queue; onClose: () => void }) {
  const [moves, setMoves] = useState(true);
  const [to, setTo] = useState("");
  const client = useQueryClient();
  return (
    <Confirm
      title={`Delete ${queue.name}?`}
      verb="Delete"
      onClose={onClose}
      run={async () => {
        await queues.deleteQueue({ name: queue.name, moveTo: moves ? to : undefined });
        await client.invalidateQueries({ queryKey: ["queues"] });
      }}
    >
      <CheckField
        label={`Move its runs and ${queue.load?.waiting ?? 0} waiting actions`}
        value={moves}
        set={setMoves}
      />
      {moves && <TextField label="To the queue" placeholder="default" value={to} set={setTo} />}
    </Confirm>
  );
}
