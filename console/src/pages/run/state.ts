import { PHASE_BY_NAME } from "../../model/phases";
import { oneOf, someOf, text, whole } from "../../model/url";
import type { UrlState } from "../../shell/url";
import { TABS } from "./tabs";

/** What the address of a run's page says. */
export const URL_STATE = {
  i: text(),
  tab: oneOf(TABS, "summary"),
  attempt: whole(0, 1),
  line: whole(0, 1),
  view: oneOf(["tree", "timeline", "table"], "tree"),
  sort: oneOf(["attention", "start", "duration", "wait", "name"], "attention"),
  phase: someOf(PHASE_BY_NAME.keys()),
  q: text(),
  t: text(),
};

export type RunUrl = UrlState<typeof URL_STATE>;
