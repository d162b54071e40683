/** Permissions of one noun: `run` with `abort`, `create`, `read`. */
export type Noun = { noun: string; verbs: { verb: string; permission: string }[] };

/** Groups permissions (`noun:verb`) by noun, both in alphabetical order. */
export function byNoun(permissions: readonly string[]): Noun[] {
  const nouns = new Map<string, Noun>();
  for (const permission of [...permissions].sort()) {
    const [name = "", verb = ""] = permission.split(":");
    const noun = nouns.get(name) ?? { noun: name, verbs: [] };
    noun.verbs.push({ verb, permission });
    nouns.set(name, noun);
  }
  return [...nouns.values()];
}

/** Permissions in a place: `project` empty is the whole org, `domain` empty is all domains. */
export type Grant = { project: string; domain: string; permissions: readonly string[] };

/**
 * Whether grants hold a permission: in the whole org if no place is given. A place without a domain asks
 * for all domains of the project.
 */
export function allows(
  grants: readonly Grant[],
  permission: string,
  place: { project: string; domain: string } = { project: "", domain: "" },
): boolean {
  return grants.some(
    (grant) =>
      (grant.project === "" || grant.project === place.project) &&
      (grant.domain === "" || grant.domain === place.domain) &&
      grant.permissions.includes(permission),
  );
}
