import { toJson } from "@bufbuild/protobuf";
import { useQuery } from "@tanstack/react-query";
import { client } from "../../api/clients";
import { SettingsSchema } from "../../gen/flyteidl2/settings/settings_definition_pb";
import { SettingsService } from "../../gen/flyteidl2/settings/settings_service_pb";
import { type Entries, entriesOf } from "../../model/settings";
import type { Place } from "../../shell/url";

export const settings = client(SettingsService);

/** Levels, the widest first. */
export const LEVELS = ["org", "domain", "project"] as const;
export type LevelName = (typeof LEVELS)[number];

/** The levels that a place has: the org has no domain above it, a domain no project. */
export function levelsOf(place: Place): readonly LevelName[] {
  return LEVELS.slice(0, place.domain === "" ? 1 : place.project === "" ? 2 : 3);
}

/** What a level has stored; version 0: nothing yet. */
export type StoredLevel = { level: LevelName; version: bigint; entries: Entries };

/** The scope of a level: the org's names neither project nor domain. */
export function scopeOf(level: LevelName, place: Place): Place {
  return {
    project: level === "project" ? place.project : "",
    domain: level === "org" ? "" : place.domain,
  };
}

export async function readLevels(place: Place, signal?: AbortSignal): Promise<StoredLevel[]> {
  const answer = await settings.getSettingsForEdit({ key: { org: "", ...place } }, { signal });
  return levelsOf(place).map((level) => {
    const scope = scopeOf(level, place);
    const found = answer.levels.find(
      ({ key }) => key?.project === scope.project && key.domain === scope.domain,
    );
    const json =
      found?.settings === undefined
        ? {}
        : (toJson(SettingsSchema, found.settings, { useProtoFieldName: true }) as object);
    return { level, version: found?.version ?? 0n, entries: entriesOf({ ...json }) };
  });
}

export function useSettings(place: Place) {
  return useQuery({
    queryKey: ["settings", place],
    queryFn: ({ signal }) => readLevels(place, signal),
  });
}
