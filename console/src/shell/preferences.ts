import { useSyncExternalStore } from "react";
import type { SavedView } from "../model/views";
import type { Place } from "./url";

/** What a person chose in this browser. Nothing secret is kept here. */
export type Preferences = {
  theme: "system" | "light" | "dark";
  density: "comfortable" | "compact";
  zone: "utc" | "local";
  singleKeys: boolean;
  railOpen: boolean;
  recentPlaces: Place[];
  /** Columns of the list of runs; none: all. */
  runColumns: string[];
  runViews: SavedView[];
};

const KEY = "volary.preferences";
const DEFAULTS: Preferences = {
  theme: "system",
  density: "comfortable",
  zone: "local",
  singleKeys: true,
  railOpen: true,
  recentPlaces: [],
  runColumns: [],
  runViews: [],
};

const listeners = new Set<() => void>();
let current = load();

function load(): Preferences {
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(KEY) ?? "{}");
    return { ...DEFAULTS, ...(typeof stored === "object" ? stored : {}) };
  } catch {
    return DEFAULTS; // storage is off, or another program wrote it
  }
}

export function preferences(): Preferences {
  return current;
}

export function setPreferences(changes: Partial<Preferences>): void {
  current = { ...current, ...changes };
  try {
    localStorage.setItem(KEY, JSON.stringify(current));
  } catch {
    // Storage is off: they hold until the page is closed.
  }
  apply();
  for (const listener of listeners) listener();
}

export function usePreferences(): Preferences {
  return useSyncExternalStore(subscribe, preferences);
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

/** Puts theme and density on the document, where the style sheet reads them. */
export function apply(): void {
  const root = document.documentElement;
  root.dataset.theme = current.theme;
  root.dataset.density = current.density;
}

export function rememberPlace(place: Place): void {
  const [first] = current.recentPlaces;
  if (first?.project === place.project && first.domain === place.domain) return;
  const others = current.recentPlaces.filter(
    (each) => each.project !== place.project || each.domain !== place.domain,
  );
  setPreferences({ recentPlaces: [place, ...others].slice(0, 8) });
}

window.addEventListener("storage", (event) => {
  if (event.key !== KEY) return;
  current = load();
  apply();
  for (const listener of listeners) listener();
});
