export const TABS = [
  "summary",
  "logs",
  "data",
  "files",
  "report",
  "attempts",
  "events",
  "why",
  "spec",
] as const;
export type TabId = (typeof TABS)[number];
