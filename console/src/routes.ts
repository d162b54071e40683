import type { ComponentType } from "react";

/**
 * All pages, in the order of the rail. To add one: a file in `pages/` and a line here (README.md).
 *
 * `title` is what the tab says. `rail`: the page has a link there, under that section; pages without
 * are reached from others. Paths below `PROJECT` get the project and domain of the URL.
 */
export type Page = {
  path: string;
  title: string;
  rail?: { section: "project" | "org"; icon: string; key?: string };
  load: () => Promise<{ default: ComponentType }>;
};

export const PROJECT = "/v2/domain/$domain/project/$project";

export const PAGES: readonly Page[] = [
  { path: "/v2", title: "Home", load: () => import("./pages/home") },
  {
    path: `${PROJECT}/runs`,
    title: "Runs",
    rail: { section: "project", icon: "runs" },
    load: () => import("./pages/runs"),
  },
  {
    path: `${PROJECT}/runs/$run`,
    title: "Run",
    load: () => import("./pages/run"),
  },
];
