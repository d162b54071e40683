import { type Timestamp, timestampFromMs } from "@bufbuild/protobuf/wkt";
import { serverClock } from "../../api/server";
import { PHASE_BY_NAME } from "../../model/phases";
import { wordOfPhase } from "../../model/run";
import { parseSince } from "../../model/time";
import { oneOf, someOf, text } from "../../model/url";
import type { Place, UrlState } from "../../shell/url";

export const SINCE = ["", "1h", "24h", "7d", "30d"] as const;

/** What the address of the list of runs says. */
export const URL_STATE = {
  phase: someOf(PHASE_BY_NAME.keys()),
  q: text(),
  task: text(),
  by: text(),
  label: text(),
  since: oneOf(SINCE, ""),
};

export const NO_FILTERS = { phase: [], q: "", task: "", by: "", label: "", since: "" as const };

export type FilterUrl = UrlState<typeof URL_STATE>;

export type RunFilter = {
  project: string;
  domain: string;
  task: string;
  phases: string[];
  createdBy: string;
  text: string;
  labels: Record<string, string>;
  since: Timestamp | undefined;
};

/** What the server is asked for. `since` is of a whole minute, so that equal questions are asked once. */
export function filterOf(place: Place, values: FilterUrl["values"]): RunFilter {
  const [key = "", value = ""] = values.label.split(/=(.*)/s);
  const since = parseSince(values.since);
  return {
    project: place.project,
    domain: place.domain,
    task: values.task,
    phases: values.phase.map((name) => wordOfPhase(PHASE_BY_NAME.get(name) ?? 0)),
    createdBy: values.by,
    text: values.q,
    labels: key !== "" && values.label.includes("=") ? { [key]: value } : {},
    since:
      since === undefined
        ? undefined
        : timestampFromMs(Math.floor((serverClock.now() - since) / 60_000) * 60_000),
  };
}
