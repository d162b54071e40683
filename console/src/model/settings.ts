import { formatJson } from "./values";

export type SettingRow = {
  name: string;
  levels: Partial<Record<string, string>>;
  value: string;
  from: string;
};

/** Settings of several levels, the widest first, as rows: each with the value that holds and its level. */
export function settingRows(
  levels: readonly { level: string; json: Record<string, unknown> }[],
): SettingRow[] {
  const rows = new Map<string, SettingRow>();
  for (const { level, json } of levels) {
    for (const [name, value] of leaves(json)) {
      const row = rows.get(name) ?? { name, levels: {}, value: "", from: "" };
      row.levels[level] = value;
      row.value = value;
      row.from = level;
      rows.set(name, row);
    }
  }
  return [...rows.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
}

const VALUE = /^(string|int64|bool|map|quantity|accelerator)Value$/;

function leaves(json: Record<string, unknown>, path = ""): [string, string][] {
  const state = json.state;
  if (typeof state === "string") {
    if (state === "SETTING_STATE_UNSET") return [[path, "unset"]];
    const entry = Object.entries(json).find(([key]) => VALUE.test(key) || key === "intValue");
    if (state === "SETTING_STATE_INHERIT") return [];
    return [[path, entry === undefined ? "empty" : textOf(entry[1])]];
  }
  return Object.entries(json).flatMap(([key, value]) =>
    typeof value === "object" && value !== null
      ? leaves(value as Record<string, unknown>, path === "" ? key : `${path}.${key}`)
      : [],
  );
}

function textOf(value: unknown): string {
  if (typeof value === "object" && value !== null && "entries" in value)
    return textOf(value.entries);
  return typeof value === "string" ? value : formatJson(value).replaceAll(/\s+/g, " ");
}
