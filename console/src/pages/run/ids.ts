import type { Place } from "../../shell/url";

/** The identifier of an action in flyteidl2's messages; the org is that of the session. */
export function actionId(place: Place, run: string, name: string) {
  return { run: { org: "", project: place.project, domain: place.domain, name: run }, name };
}
