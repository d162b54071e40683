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
  rail?: { section: "project" | "org"; icon: string };
  /** The permission without which there is nothing to see: the rail leaves the page out. */
  needs?: string;
  /** Without logins there is nothing to set up here. */
  isForLogins?: boolean;
  /** A page of the org that shows things of projects: the permission in any of them is enough. */
  isAnywhere?: boolean;
  load: () => Promise<{ default: ComponentType }>;
};

export const PROJECT = "/v2/domain/$domain/project/$project";

export const PAGES: readonly Page[] = [
  {
    path: "/v2",
    title: "Home",
    rail: { section: "project", icon: "home" },
    load: () => import("./pages/home"),
  },
  project("runs", "Runs", "runs", "run:read", () => import("./pages/runs")),
  { path: `${PROJECT}/runs/$run`, title: "Run", load: () => import("./pages/run") },
  { path: `${PROJECT}/compare`, title: "Compare", load: () => import("./pages/compare") },
  project("tasks", "Tasks", "tasks", "task:read", () => import("./pages/tasks")),
  { path: `${PROJECT}/tasks/$task`, title: "Task", load: () => import("./pages/task") },
  { path: `${PROJECT}/launch`, title: "Launch", load: () => import("./pages/launch") },
  project("triggers", "Triggers", "triggers", "task:read", () => import("./pages/triggers")),
  {
    path: `${PROJECT}/triggers/$task/$trigger`,
    title: "Trigger",
    load: () => import("./pages/trigger"),
  },
  project("tracked-runs", "Tracked runs", "link", "run:read", () => import("./pages/tracked-runs")),
  { path: `${PROJECT}/tracked-runs/$run`, title: "Tracked run", load: () => import("./pages/run") },
  project(
    "artifacts",
    "Artifacts",
    "artifacts",
    "artifact:read",
    () => import("./pages/artifacts"),
  ),
  {
    path: `${PROJECT}/artifacts/$artifact`,
    title: "Artifact",
    load: () => import("./pages/artifacts"),
  },
  project("secrets", "Secrets", "secrets", "secret:read", () => import("./pages/secrets")),
  project("settings", "Settings", "settings", "settings:read", () => import("./pages/settings")),
  admin("clusters", "Clusters", "clusters", "cluster:read", () => import("./pages/clusters")),
  { path: "/v2/admin/clusters/$cluster", title: "Cluster", load: () => import("./pages/cluster") },
  admin("queues", "Queues", "queues", "queue:read", () => import("./pages/queues")),
  admin("join-tokens", "Join tokens", "link", "cluster:write", () => import("./pages/join-tokens")),
  admin("members", "People", "people", "member:read", () => import("./pages/members")),
  admin("roles", "Roles", "roles", "role:read", () => import("./pages/roles")),
  admin("api-keys", "API keys", "keys", "service_account:read", () => import("./pages/api-keys")),
  {
    ...admin(
      "identity-providers",
      "Identity providers",
      "providers",
      "identity_provider:read",
      () => import("./pages/identity-providers"),
    ),
    isForLogins: true,
  },
  {
    ...admin(
      "notifications",
      "Notifications",
      "bell",
      "notification:read",
      () => import("./pages/notifications"),
    ),
    isAnywhere: true,
  },
  admin(
    "settings",
    "Org settings",
    "settings",
    "settings:read",
    () => import("./pages/org-settings"),
  ),
  admin("usage", "Usage", "usage", "usage:read", () => import("./pages/usage")),
  admin("retention", "Retention", "clock", "org:read", () => import("./pages/retention")),
  admin("audit", "Audit", "audit", "audit:read", () => import("./pages/audit")),
  { path: "/v2/me", title: "Me", load: () => import("./pages/me") },
];

function project(
  noun: string,
  title: string,
  icon: string,
  needs: string,
  load: Page["load"],
): Page {
  return { path: `${PROJECT}/${noun}`, title, rail: { section: "project", icon }, needs, load };
}

function admin(noun: string, title: string, icon: string, needs: string, load: Page["load"]): Page {
  return { path: `/v2/admin/${noun}`, title, rail: { section: "org", icon }, needs, load };
}
