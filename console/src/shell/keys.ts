import { useEffect } from "react";
import { preferences } from "./preferences";

/** A key and what it does; the table of `?` lists those that are active. */
export type Key = { key: string; does: string; run: () => void };

const layers: (readonly Key[])[] = [];

/** Makes keys act while the component is shown; the newest layer goes first. */
export function useKeys(keys: readonly Key[]): void {
  useEffect(() => {
    layers.push(keys);
    return () => {
      layers.splice(layers.lastIndexOf(keys), 1);
    };
  });
}

export function activeKeys(): Key[] {
  const known = new Map<string, Key>();
  for (const layer of layers) for (const key of layer) known.set(key.key, key);
  return [...known.values()];
}

const TYPING = "input, textarea, select, [contenteditable=true]";

/** Handles one key press; returns whether a key of ours was pressed. */
export function handle(event: KeyboardEvent): boolean {
  const target = event.target instanceof Element ? event.target : null;
  if (event.defaultPrevented || event.altKey) return false;
  const withCommand = event.ctrlKey || event.metaKey;
  if (!withCommand && (!preferences().singleKeys || target?.closest(TYPING))) return false;
  if (!withCommand && document.querySelector("dialog[open]")) return false;
  const name = withCommand ? `Ctrl+${event.key.toLowerCase()}` : event.key;
  for (const layer of [...layers].reverse()) {
    const found = layer.find((each) => each.key === name);
    if (found === undefined) continue;
    event.preventDefault();
    found.run();
    return true;
  }
  return false;
}
