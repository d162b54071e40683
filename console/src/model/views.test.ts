import { expect, it } from "vitest";
import { type SavedView, viewsOf, withoutView, withView } from "./views";

const VIEW: SavedView = { project: "p", domain: "d", name: "failed", query: "?phase=failed" };

it("keeps views of a place by name, and replaces one of the same name", () => {
  let views = withView([], VIEW);
  views = withView(views, { ...VIEW, name: "  all ", query: "" });
  views = withView(views, { ...VIEW, project: "other" });
  views = withView(views, { ...VIEW, query: "?phase=timed_out" });
  expect(viewsOf(views, VIEW).map(({ name, query }) => [name, query])).toEqual([
    ["all", ""],
    ["failed", "?phase=timed_out"],
  ]);
  expect(viewsOf(withoutView(views, VIEW), VIEW).map(({ name }) => name)).toEqual(["all"]);
});

it("bounds how many there are, and has none without a name", () => {
  let views = withView([], { ...VIEW, name: " " });
  expect(views).toEqual([]);
  for (let index = 0; index < 150; index++) views = withView(views, { ...VIEW, name: `v${index}` });
  expect(views).toHaveLength(100);
  expect(views.at(-1)?.name).toBe("v149");
});
