import { fromJson, type JsonValue } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { SettingsSchema } from "../../gen/flyteidl2/settings/settings_definition_pb";
import {
  type Conflict,
  type Entries,
  type Entry,
  jsonOf,
  rebase,
  SETTINGS,
  type Setting,
  settingRows,
} from "../../model/settings";
import { Dialog } from "../../parts/basics";
import { Failure } from "../../parts/Confirm";
import { SelectField, TextField } from "../../parts/inputs";
import { Table } from "../../parts/Table";
import type { Place } from "../../shell/url";
import { type LevelName, readLevels, type StoredLevel, scopeOf, settings } from "./levels";

/** Settings as they were read, and what was typed since. */
type Draft = { version: bigint; read: Entries; typed: Entries; conflicts: readonly Conflict[] };

/**
 * Edits the settings of one level.
 *
 * If somebody else has changed them meanwhile, what only they changed is taken over, and what both
 * changed is shown to decide: nothing that was typed is lost.
 */
export function EditSettings(props: {
  place: Place;
  level: LevelName;
  title: string;
  levels: readonly StoredLevel[];
  onClose: () => void;
}) {
  const { place, level, levels } = props;
  const stored = levels.find((each) => each.level === level);
  const queries = useQueryClient();
  const [draft, setDraft] = useState<Draft>(() => ({
    version: stored?.version ?? 0n,
    read: stored?.entries ?? new Map(),
    typed: stored?.entries ?? new Map(),
    conflicts: [],
  }));
  const [wasChanged, setChanged] = useState(false);
  const set = (key: string, entry: Entry | undefined) => {
    const typed = new Map(draft.typed);
    if (entry === undefined) typed.delete(key);
    else typed.set(key, entry);
    setDraft({ ...draft, typed });
  };
  const takeUp = async (refused: unknown): Promise<"changed meanwhile"> => {
    const now = (await readLevels(place)).find((each) => each.level === level);
    if (now === undefined || now.version === draft.version) throw refused;
    const { entries, conflicts } = rebase(draft.read, draft.typed, now.entries);
    setDraft({ version: now.version, read: now.entries, typed: entries, conflicts });
    return "changed meanwhile";
  };
  const save = useMutation({
    mutationFn: async (): Promise<"saved" | "changed meanwhile"> => {
      const value = fromJson(SettingsSchema, jsonOf(draft.typed) as JsonValue);
      const key = { org: "", ...scopeOf(level, place) };
      try {
        if (draft.version === 0n) await settings.createSettings({ key, settings: value });
        else await settings.updateSettings({ key, settings: value, version: draft.version });
        return "saved";
      } catch (error) {
        if (!isConflict(error)) throw error;
        return await takeUp(error);
      }
    },
    onSuccess: async (outcome) => {
      setChanged(outcome !== "saved");
      await queries.invalidateQueries({ queryKey: ["settings"] });
      if (outcome === "saved") props.onClose();
    },
  });
  const above = levels.slice(
    0,
    levels.findIndex((each) => each.level === level),
  );
  const inherited = new Map(settingRows(above).map((row) => [row.key, row.value]));
  const groups = [...new Set(SETTINGS.map(({ group }) => group))];
  return (
    <Dialog title={`Settings of ${props.title}`} className="wide" onClose={props.onClose}>
      <form
        className="form"
        onSubmit={(event) => {
          event.preventDefault();
          save.mutate();
        }}
      >
        <p>Runs that are created from now on get them; runs that exist keep what they have.</p>
        {groups.map((group) => (
          <fieldset key={group} className="setting-group">
            <legend>{group}</legend>
            {SETTINGS.filter((each) => each.group === group).map((setting) => (
              <SettingField
                key={setting.key}
                setting={setting}
                entry={draft.typed.get(setting.key)}
                inherited={inherited.get(setting.key)}
                set={(entry) => set(setting.key, entry)}
              />
            ))}
          </fieldset>
        ))}
        {wasChanged && (
          <Changed
            conflicts={draft.conflicts}
            typed={draft.typed}
            take={({ key, theirs }) => set(key, theirs)}
          />
        )}
        {save.isError && <Wrong error={save.error} />}
        <p className="actions">
          <button type="submit" className="primary" disabled={save.isPending}>
            {save.isPending ? "Saving …" : "Save"}
          </button>
          <button type="button" onClick={props.onClose}>
            Cancel
          </button>
        </p>
      </form>
    </Dialog>
  );
}

function isConflict(error: unknown): boolean {
  const { code } = ConnectError.from(error);
  return code === Code.FailedPrecondition || code === Code.AlreadyExists;
}

/** A text that cannot be a value is said by its key; anything else as the server says it. */
function Wrong({ error }: { error: unknown }) {
  if (error instanceof ConnectError || !(error instanceof Error)) return <Failure error={error} />;
  return (
    <p className="error-box" role="alert">
      {error.message}.
    </p>
  );
}

function SettingField(props: {
  setting: Setting;
  entry: Entry | undefined;
  inherited: string | undefined;
  set: (entry: Entry | undefined) => void;
}) {
  const { setting, entry, inherited, set } = props;
  const lines = entry?.text.split("\n").length ?? 1;
  return (
    <div className="setting">
      <SelectField
        label={<code>{setting.key}</code>}
        hint={setting.says}
        value={entry?.state ?? "inherit"}
        set={(state) =>
          set(
            state === "inherit"
              ? undefined
              : { state, text: entry?.text || (setting.kind === "flag" ? "true" : "") },
          )
        }
        choices={[
          {
            value: "inherit",
            label: inherited
              ? `inherited: ${inherited.replaceAll("\n", " ").slice(0, 60)}`
              : "inherited: nothing",
          },
          { value: "value", label: setting.kind === "flag" ? "yes" : "this value" },
          { value: "unset", label: "nothing, whatever is inherited" },
        ]}
      />
      {entry?.state === "value" && setting.kind !== "flag" && (
        <TextField
          label={<span className="sr">Value of {setting.key}</span>}
          required
          rows={setting.kind === "map" ? Math.min(10, lines + 1) : undefined}
          placeholder={setting.kind === "map" ? "NAME=value, one a line" : undefined}
          value={entry.text}
          set={(text) => set({ state: "value", text })}
        />
      )}
    </div>
  );
}

/** What somebody else has changed meanwhile, beside what was typed here. */
function Changed(props: {
  conflicts: readonly Conflict[];
  typed: Entries;
  take: (conflict: Conflict) => void;
}) {
  return (
    <section className="warn-box stack" role="alert" aria-label="Changed meanwhile">
      <p>
        <strong>Somebody else has changed these settings meanwhile.</strong>{" "}
        {props.conflicts.length === 0
          ? "Their changes are in the form now, and so are yours. Save again."
          : "What you typed is kept. Decide about what both of you changed, and save again."}
      </p>
      {props.conflicts.length > 0 && (
        <Table
          label="Changed by both"
          rows={props.conflicts}
          keyOf={(each) => each.key}
          columns={[
            { name: "Setting", cell: (each) => <code>{each.key}</code> },
            { name: "Theirs", wrap: true, cell: (each) => wordsOf(each.theirs) },
            { name: "Yours", wrap: true, cell: (each) => wordsOf(each.mine) },
            {
              name: "Decide",
              hidden: true,
              cell: (each) => (
                <button
                  type="button"
                  className="small"
                  aria-label={`Take theirs of ${each.key}`}
                  disabled={isTaken(each, props.typed)}
                  onClick={() => props.take(each)}
                >
                  {isTaken(each, props.typed) ? "Theirs is taken" : "Take theirs"}
                </button>
              ),
            },
          ]}
        />
      )}
    </section>
  );
}

function isTaken({ key, theirs }: Conflict, typed: Entries): boolean {
  return typed.get(key)?.text === theirs?.text && typed.get(key)?.state === theirs?.state;
}

function wordsOf(entry: Entry | undefined) {
  if (entry === undefined) return <span className="quiet">inherited</span>;
  return entry.state === "unset" ? "nothing" : <code className="lines">{entry.text}</code>;
}
