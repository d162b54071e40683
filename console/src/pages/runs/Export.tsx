import { useMutation } from "@tanstack/react-query";
import { client } from "../../api/clients";
import { problemOf } from "../../api/errors";
import { type RunRow, RunService } from "../../gen/shared/idl/platform/v1/run_pb";
import { formatCsv } from "../../model/csv";
import { msOf } from "../../model/time";
import { save } from "../../parts/save";
import type { Place } from "../../shell/url";
import { sourceOf } from "./cells";
import type { RunFilter } from "./filter";

const service = client(RunService);
const PAGE = 200; // the server's most
const MOST = 10_000; // runs of one file

const HEAD =
  "run,state,task,version,created,started,ended,waited_s,ran_s,actions,failed_action,error_code,error,by,source,labels";

/** Saves the runs that the filter matches as CSV: all columns, whichever are shown. */
export function Export({ place, filter }: { place: Place; filter: RunFilter }) {
  const download = useMutation({
    mutationFn: async () => {
      const { runs, isCut } = await readAll(filter);
      const name = `runs-${place.project}-${place.domain}.csv`;
      save(name, [formatCsv([HEAD.split(","), ...runs.map(cellsOf)])], "text/csv");
      return isCut;
    },
  });
  return (
    <>
      <button
        type="button"
        className="small"
        disabled={download.isPending}
        onClick={() => download.mutate()}
      >
        {download.isPending ? "Reading …" : "CSV"}
      </button>
      {download.data === true && (
        <span role="status" className="quiet">
          The file has the latest {MOST.toLocaleString("en")} runs; narrow the filter for others.
        </span>
      )}
      {download.isError && (
        <span role="alert" className="error-line">
          {problemOf(download.error).message}
        </span>
      )}
    </>
  );
}

async function readAll(filter: RunFilter): Promise<{ runs: RunRow[]; isCut: boolean }> {
  const runs: RunRow[] = [];
  let pageToken = "";
  do {
    const answer = await service.listRunRows({ filter, pageSize: PAGE, pageToken });
    runs.push(...answer.runs);
    pageToken = answer.nextPageToken;
  } while (pageToken !== "" && runs.length < MOST);
  return { runs, isCut: pageToken !== "" };
}

function cellsOf(run: RunRow): (string | number)[] {
  const [created, started, ended] = [msOf(run.createdAt), msOf(run.startedAt), msOf(run.endedAt)];
  const time = (at: number | undefined) => (at === undefined ? "" : new Date(at).toISOString());
  const seconds = (from: number | undefined, until: number | undefined) =>
    from === undefined || until === undefined ? "" : (until - from) / 1000;
  return [
    run.run,
    run.phase,
    run.task,
    run.taskVersion,
    time(created),
    time(started),
    time(ended),
    seconds(created, started),
    seconds(started, ended),
    run.actions.reduce((sum, { count }) => sum + Number(count), 0),
    run.firstError?.action ?? "",
    run.firstError?.code ?? "",
    run.firstError?.message ?? "",
    run.createdBy,
    sourceOf(run),
    Object.entries(run.labels)
      .map(([key, value]) => `${key}=${value}`)
      .join(";"),
  ];
}
