/** A filter of a list that has a name: its query string is all that it is. */
export type SavedView = { project: string; domain: string; name: string; query: string };

const MOST = 100; // in a browser; the oldest go
const LONGEST_NAME = 80;

/** Adds a view, or replaces the one of its place and name; the latest is the last. */
export function withView(views: readonly SavedView[], view: SavedView): SavedView[] {
  const name = view.name.trim().slice(0, LONGEST_NAME);
  if (name === "") return [...views];
  return [...withoutView(views, { ...view, name }), { ...view, name }].slice(-MOST);
}

export function withoutView(
  views: readonly SavedView[],
  { project, domain, name }: Omit<SavedView, "query">,
): SavedView[] {
  return views.filter(
    (each) => each.project !== project || each.domain !== domain || each.name !== name,
  );
}

/** The views of a place, by name. */
export function viewsOf(
  views: readonly SavedView[],
  { project, domain }: { project: string; domain: string },
): SavedView[] {
  return views
    .filter((each) => each.project === project && each.domain === domain)
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}
