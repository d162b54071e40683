import { parseLines, writeLines } from "./lines";
import { formatJson } from "./values";

/** How the value of a setting is written in a form. */
export type Kind = "text" | "number" | "flag" | "map" | "device";

/** A setting: its key as in docs/run-settings.md, and its effect. */
export type Setting = { key: string; group: string; kind: Kind; says: string };

const RESOURCES = ["cpu", "memory", "storage", "gpu"];

export const SETTINGS: readonly Setting[] = [
  runs("run.default_queue", "text", "queue of runs that name none"),
  runs("run.max_action_concurrency", "number", "actions of a run at once; 0: no limit"),
  runs("run.run_base_dir", "text", "directory of their data, below the org's prefix"),
  runs("storage.raw_data_path", "text", "prefix of their files and directories"),
  ...RESOURCES.map((name) =>
    resources(`task_resource.min.${name}`, "text", `${name} of tasks that request none`),
  ),
  ...RESOURCES.map((name) =>
    resources(`task_resource.max.${name}`, "text", `the most ${name} that a container may request`),
  ),
  resources("task_resource.mirror_limits_request", "flag", "a missing limit is the request"),
  resources("task_resource.default_accelerator", "device", "device of tasks that name none"),
  pods("security.service_account", "text", "service account of pods"),
  pods("pod_template_name", "text", "PodTemplate of tasks that name none"),
  pods("labels", "map", "added to pods"),
  pods("annotations", "map", "added to pods"),
  pods("environment_variables", "map", "variables of tasks"),
];

function runs(key: string, kind: Kind, says: string): Setting {
  return { key, group: "Runs", kind, says };
}
function resources(key: string, kind: Kind, says: string): Setting {
  return { key, group: "Resources of tasks", kind, says };
}
function pods(key: string, kind: Kind, says: string): Setting {
  return { key, group: "Pods", kind, says };
}

/** What one level says of a setting, as text of a form; a setting that it does not name is inherited. */
export type Entry = { state: "unset" | "value"; text: string };
export type Entries = ReadonlyMap<string, Entry>;

type Json = { [key: string]: unknown };
const VALUE = /^(string|int|bool|map|quantity|accelerator)_value$/;

/** The entries of settings as JSON with the names of their fields. */
export function entriesOf(json: Json, path = ""): Map<string, Entry> {
  const found = new Map<string, Entry>();
  for (const [name, part] of Object.entries(json)) {
    if (typeof part !== "object" || part === null) continue;
    const key = path === "" ? name : `${path}.${name}`;
    const leaf = part as Json;
    const value = Object.entries(leaf).find(([field]) => VALUE.test(field));
    if (leaf.state === "SETTING_STATE_UNSET") found.set(key, { state: "unset", text: "" });
    else if (leaf.state === "SETTING_STATE_VALUE")
      found.set(key, { state: "value", text: textOf(value?.[1] ?? "") });
    else if (value === undefined)
      for (const [inner, entry] of entriesOf(leaf, key)) found.set(inner, entry);
  }
  return found;
}

function textOf(value: unknown): string {
  if (typeof value !== "object" || value === null) return String(value);
  const fields = value as Json;
  if ("entries" in fields) return writeLines(fields.entries as Record<string, string>);
  const names = Object.keys(fields);
  if (names.length === 1 && names[0] === "device") return String(fields.device);
  return formatJson(value);
}

/** Entries as the JSON of settings. Throws an Error in words if a text cannot be a value. */
export function jsonOf(entries: Entries): Json {
  const json: Json = {};
  for (const [key, entry] of entries) {
    const path = key.split(".");
    const last = path.pop() ?? "";
    let at = json;
    for (const name of path) {
      at[name] ??= {};
      at = at[name] as Json;
    }
    at[last] =
      entry.state === "unset"
        ? { state: "SETTING_STATE_UNSET" }
        : { state: "SETTING_STATE_VALUE", ...fieldOf(key, entry.text) };
  }
  return json;
}

function fieldOf(key: string, text: string): Json {
  const setting = SETTINGS.find((each) => each.key === key);
  switch (setting?.kind) {
    case "number":
      if (!/^\d{1,18}$/.test(text.trim())) throw new Error(`${key} must be a whole number`);
      return { int_value: text.trim() };
    case "flag":
      return { bool_value: true };
    case "map":
      return { map_value: { entries: parseLines(key, text) } };
    case "device":
      return { accelerator_value: parseDevice(key, text) };
    default: {
      const isQuantity = /^task_resource\.(min|max)\./.test(key);
      return { [isQuantity ? "quantity_value" : "string_value"]: text.trim() };
    }
  }
}

function parseDevice(key: string, text: string): unknown {
  if (!text.trim().startsWith("{")) return { device: text.trim() };
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`${key}: give the name of a device, or all of it as JSON`);
  }
}

export type Level = { level: string; entries: Entries };
export type SettingRow = {
  key: string;
  levels: Partial<Record<string, string>>;
  value: string;
  from: string;
};

/** Settings of levels, the widest first, as rows: each with the value that holds and its level. */
export function settingRows(levels: readonly Level[]): SettingRow[] {
  const keys = new Set(SETTINGS.map(({ key }) => key));
  for (const { entries } of levels) for (const key of entries.keys()) keys.add(key);
  return [...keys]
    .map((key) => {
      const row: SettingRow = { key, levels: {}, value: "", from: "" };
      for (const { level, entries } of levels) {
        const entry = entries.get(key);
        if (entry === undefined) continue;
        row.levels[level] = entry.state === "unset" ? "unset" : entry.text;
        Object.assign(row, holds(key, row, entry, level));
      }
      return row;
    })
    .filter((row) => Object.keys(row.levels).length > 0);
}

/** Maps are merged entry by entry; of anything else the closest level holds. */
function holds(key: string, row: SettingRow, entry: Entry, level: string): Partial<SettingRow> {
  const isMap = SETTINGS.some((each) => each.key === key && each.kind === "map");
  if (entry.state === "unset") return { value: "", from: level };
  if (!isMap || row.value === "") return { value: entry.text, from: level };
  const merged = { ...parseLines(key, row.value), ...parseLines(key, entry.text) };
  return { value: textOf({ entries: merged }), from: `${row.from} and ${level}` };
}

/** A setting that was changed by somebody else and by the person here, both since it was read. */
export type Conflict = { key: string; theirs: Entry | undefined; mine: Entry | undefined };

/**
 * Puts a person's changes upon settings that were changed meanwhile.
 *
 * What only one of them changed is taken over. What both changed differently stays as typed, and is a
 * conflict to decide.
 */
export function rebase(
  read: Entries,
  mine: Entries,
  theirs: Entries,
): { entries: Entries; conflicts: Conflict[] } {
  const entries = new Map(theirs);
  const conflicts: Conflict[] = [];
  for (const key of new Set([...read.keys(), ...mine.keys(), ...theirs.keys()])) {
    const typed = mine.get(key);
    if (isSame(typed, read.get(key))) continue;
    const other = theirs.get(key);
    if (!isSame(other, read.get(key)) && !isSame(other, typed)) {
      conflicts.push({ key, theirs: other, mine: typed });
    }
    if (typed === undefined) entries.delete(key);
    else entries.set(key, typed);
  }
  return { entries, conflicts };
}

function isSame(a: Entry | undefined, b: Entry | undefined): boolean {
  return a?.state === b?.state && (a?.text ?? "") === (b?.text ?? "");
}
