import { formatJson } from "./values";

/** A field that differs: its path, and both values as JSON; empty text where there is none. */
export type Change = { path: string; before: string; after: string };

/** What differs between two JSON values, by path, in the order of the first. */
export function changesOf(before: unknown, after: unknown, path = ""): Change[] {
  if (isObject(before) && isObject(after)) {
    const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
    return names.flatMap((name) =>
      changesOf(before[name], after[name], path === "" ? name : `${path}.${name}`),
    );
  }
  if (Array.isArray(before) && Array.isArray(after)) {
    const length = Math.max(before.length, after.length);
    return Array.from({ length }, (_, index) =>
      changesOf(before[index], after[index], `${path}[${index}]`),
    ).flat();
  }
  const [a, b] = [textOf(before), textOf(after)];
  return a === b ? [] : [{ path, before: a, after: b }];
}

function textOf(value: unknown): string {
  if (value === undefined) return "";
  return typeof value === "string" ? value : formatJson(value).replaceAll(/\s+/g, " ");
}

function isObject(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === "object" &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Uint8Array)
  );
}
