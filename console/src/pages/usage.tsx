import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { client } from "../api/clients";
import { serverClock } from "../api/server";
import {
  type GetUsageResponse,
  type UsageRow,
  UsageService,
} from "../gen/shared/idl/platform/v1/usage_pb";
import { oneOf, text } from "../model/url";
import { daysOf, hours, monthsUntil } from "../model/usage";
import { Command } from "../parts/basics";
import { SelectField } from "../parts/inputs";
import { Page } from "../parts/Page";
import { Empty, Loaded } from "../parts/states";
import { Table } from "../parts/Table";
import { useProjects } from "../shell/session";
import { useUrl } from "../shell/url";

const service = client(UsageService);
const MONTHS = 13; // usage is kept for 400 days
const ROWS = 200;
const BY = ["project", "domain", "task", "cluster", "queue"] as const;
const URL_STATE = { month: text(), project: text(), by: oneOf(BY, "project") };

/** What attempts used in a month, by day and by what is chosen. */
export default function Usage() {
  const { values, set } = useUrl(URL_STATE);
  const projects = (useProjects().data ?? []).map(({ id }) => id);
  const months = monthsUntil(serverClock.now(), MONTHS);
  const month = values.month || months[0]!;
  const { project, by } = values;
  const read = (groupBy: string[], limit: number) => ({
    queryKey: ["usage", month, project, groupBy],
    placeholderData: keepPreviousData,
    queryFn: ({ signal }: { signal: AbortSignal }) =>
      service.getUsage({ month, project, groupBy, limit }, { signal }),
  });
  const days = useQuery(read(["day"], 31));
  const rows = useQuery(read([by], ROWS));
  return (
    <Page
      title="Usage"
      lede="How long attempts ran, and what they had requested meanwhile. An attempt counts when it has ended, on the days (UTC) in which it ran; deleted runs still count."
    >
      <search className="filters">
        <SelectField
          label="Month"
          value={month}
          set={(value) => set({ month: value === months[0] ? "" : value })}
          choices={months.includes(month) ? months : [month, ...months]}
        />
        <SelectField
          label="Project"
          value={project}
          set={(value) => set({ project: value })}
          choices={[
            { value: "", label: "all" },
            ...(project === "" || projects.includes(project) ? projects : [project, ...projects]),
          ]}
        />
        <SelectField label="By" value={by} set={(value) => set({ by: value })} choices={BY} />
      </search>
      <Loaded query={days}>{(usage) => <Days month={month} usage={usage} />}</Loaded>
      <Loaded query={rows}>
        {(usage) =>
          usage.rows.length === 0 ? (
            <Empty title="Nothing ran">
              <p>No attempt that ran in this month has ended{project && ` in ${project}`}.</p>
            </Empty>
          ) : (
            <div className="stack">
              <Table
                label={`Usage by ${by}`}
                rows={usage.rows}
                keyOf={(row) => nameOf(row, by)}
                columns={[
                  {
                    name: by[0]!.toUpperCase() + by.slice(1),
                    cell: (row) => <strong>{nameOf(row, by)}</strong>,
                  },
                  {
                    name: "Attempts",
                    align: "right",
                    cell: (row) => Number(row.amounts?.attempts ?? 0).toLocaleString("en"),
                  },
                  ...AMOUNTS.map(({ name, unit, of }) => ({
                    name: `${name}, ${unit}`,
                    align: "right" as const,
                    cell: (row: UsageRow) => hours(row.amounts?.[of] ?? 0),
                  })),
                ]}
              />
              {!usage.complete && (
                <p className="quiet">The largest {ROWS}; the export below has all.</p>
              )}
              <div className="field">
                <span className="hint">All of it as a table, by day:</span>
                <Command>{`volary usage export --month ${month} --output csv`}</Command>
              </div>
            </div>
          )
        }
      </Loaded>
    </Page>
  );
}

const AMOUNTS = [
  { name: "Ran", unit: "h", of: "actionSeconds" },
  { name: "CPU", unit: "core h", of: "cpuSeconds" },
  { name: "Memory", unit: "GiB h", of: "memoryGibSeconds" },
  { name: "Accelerators", unit: "h", of: "acceleratorSeconds" },
] as const;

function nameOf(row: UsageRow, by: (typeof BY)[number]): string {
  return row[by] || (by === "queue" ? "default" : "–");
}

/** The month's sums, and the hours of each day as bars. */
function Days({ month, usage }: { month: string; usage: GetUsageResponse }) {
  const ran = new Map(usage.rows.map((row) => [row.day, row.amounts?.actionSeconds ?? 0]));
  const most = Math.max(1, ...ran.values());
  const attempts = Number(usage.total?.attempts ?? 0);
  const sums = AMOUNTS.map(
    ({ name, unit, of }) => `${name}: ${hours(usage.total?.[of] ?? 0)} ${unit}`,
  );
  const sentence = `${attempts.toLocaleString("en")} attempts in ${month}. ${sums.join(" · ")}.`;
  return (
    <figure className="histogram-box">
      <div
        className="histogram"
        role="img"
        aria-label={`Hours that attempts ran, by day. ${sentence}`}
      >
        {daysOf(month).map((day) => (
          <span key={day} className="histogram-bar" title={`${day}: ${hours(ran.get(day) ?? 0)} h`}>
            <span
              className="bar-running"
              style={{ height: `${((ran.get(day) ?? 0) / most) * 100}%` }}
            />
          </span>
        ))}
      </div>
      <figcaption className="quiet num">{sentence}</figcaption>
    </figure>
  );
}
