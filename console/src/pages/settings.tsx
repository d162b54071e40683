import { toJson } from "@bufbuild/protobuf";
import { useQuery } from "@tanstack/react-query";
import { client } from "../api/clients";
import { SettingsSchema } from "../gen/flyteidl2/settings/settings_definition_pb";
import { SettingsService } from "../gen/flyteidl2/settings/settings_service_pb";
import { type SettingRow, settingRows } from "../model/settings";
import { Command } from "../parts/basics";
import { Page } from "../parts/Page";
import { Empty, Loaded } from "../parts/states";
import { Table } from "../parts/Table";
import { flyteCommand } from "../shell/command";
import { usePath } from "../shell/url";

const settings = client(SettingsService);
const LEVELS = ["org", "domain", "project"] as const;

/** What runs here are given: each level's values, the one that holds, and where it comes from. */
export default function Settings() {
  const place = usePath<"project" | "domain">();
  const key = { org: "", domain: place.domain, project: place.project };
  const query = useQuery({
    queryKey: ["settings", place],
    queryFn: async ({ signal }) => {
      const answer = await settings.getSettingsForEdit({ key }, { signal });
      return settingRows(
        answer.levels.map(({ key: level, settings: values }) => ({
          level: level?.project ? "project" : level?.domain ? "domain" : "org",
          json:
            values === undefined ? {} : (toJson(SettingsSchema, values) as Record<string, unknown>),
        })),
      );
    },
  });
  const edit = flyteCommand("edit settings", place);
  return (
    <Page
      title="Settings"
      lede="Defaults and limits of the runs of this project. The closest level that has a value holds: project, then domain, then org."
    >
      <Loaded query={query}>
        {(rows) => (
          <div className="stack">
            {rows.length === 0 ? (
              <Empty title="Nothing is set">
                <p>Runs have what their tasks ask for.</p>
              </Empty>
            ) : (
              <Table
                label="Settings"
                rows={rows}
                keyOf={(row) => row.name}
                columns={[
                  { name: "Setting", cell: (row: SettingRow) => <code>{row.name}</code> },
                  ...LEVELS.map((level) => ({
                    name: level,
                    wrap: true,
                    cell: (row: SettingRow) => <code>{row.levels[level] ?? ""}</code>,
                  })),
                  {
                    name: "Holds",
                    wrap: true,
                    cell: (row: SettingRow) => (
                      <>
                        <strong>{row.value}</strong>{" "}
                        <span className="quiet">from the {row.from}</span>
                      </>
                    ),
                  },
                ]}
              />
            )}
            <div className="field">
              <span className="hint">To change them, from a terminal:</span>
              <Command>{edit}</Command>
            </div>
          </div>
        )}
      </Loaded>
    </Page>
  );
}
