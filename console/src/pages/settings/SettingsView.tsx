import { type ReactNode, useState } from "react";
import { settingRows } from "../../model/settings";
import { Command } from "../../parts/basics";
import { Page } from "../../parts/Page";
import { Empty, Loaded } from "../../parts/states";
import { Table } from "../../parts/Table";
import { flyteCommand } from "../../shell/command";
import { useMay } from "../../shell/session";
import type { Place } from "../../shell/url";
import { EditSettings } from "./EditSettings";
import { type LevelName, levelsOf, scopeOf, useSettings } from "./levels";

/** A place's settings: each level's values, the one that holds, and where it comes from. */
export function SettingsView(props: {
  place: Place;
  title: string;
  lede: string;
  children?: ReactNode;
}) {
  const { place } = props;
  const [editing, setEditing] = useState<LevelName | undefined>();
  const may = useMay();
  const query = useSettings(place);
  const names = levelsOf(place);
  const titles = { org: "the org", domain: place.domain, project: place.project };
  const editable = names.filter((level) => may("settings:write", scopeOf(level, place)));
  return (
    <Page
      title={props.title}
      lede={props.lede}
      actions={editable.map((level) => (
        <button
          key={level}
          type="button"
          className={level === names.at(-1) ? "primary" : undefined}
          onClick={() => setEditing(level)}
        >
          Edit {titles[level]}
        </button>
      ))}
    >
      {props.children}
      <Loaded query={query}>
        {(levels) => {
          const rows = settingRows(levels);
          return (
            <div className="stack">
              {rows.length === 0 ? (
                <Empty title="Nothing is set">
                  <p>Runs have what their tasks ask for.</p>
                </Empty>
              ) : (
                <Table
                  label="Settings"
                  rows={rows}
                  keyOf={(row) => row.key}
                  columns={[
                    { name: "Setting", cell: (row) => <code>{row.key}</code> },
                    ...names.map((level) => ({
                      name: level,
                      wrap: true,
                      cell: (row: (typeof rows)[number]) => (
                        <code className="lines">{row.levels[level] ?? ""}</code>
                      ),
                    })),
                    {
                      name: "Holds",
                      wrap: true,
                      shown: names.length > 1,
                      cell: (row) => (
                        <>
                          <strong className="lines">{row.value || "nothing"}</strong>{" "}
                          <span className="quiet">from the {row.from}</span>
                        </>
                      ),
                    },
                  ]}
                />
              )}
              {editable.length > 0 && (
                <div className="field">
                  <span className="hint">The same from a terminal:</span>
                  <Command>{flyteCommand("edit settings", place)}</Command>
                </div>
              )}
            </div>
          );
        }}
      </Loaded>
      {editing !== undefined && query.data !== undefined && (
        <EditSettings
          key={`${place.project} ${place.domain}`}
          place={place}
          level={editing}
          title={titles[editing]}
          levels={query.data}
          onClose={() => setEditing(undefined)}
        />
      )}
    </Page>
  );
}
