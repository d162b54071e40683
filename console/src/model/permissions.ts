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
