import type { EnrichedIdentity } from "../gen/flyteidl2/common/identity_pb";

/** Who it was, in words: an address or a name, otherwise the subject. */
export function nameOfIdentity(identity: EnrichedIdentity | undefined): string {
  const principal = identity?.principal;
  if (principal?.case === "user")
    return principal.value.spec?.email || principal.value.id?.subject || "";
  if (principal?.case === "application")
    return principal.value.spec?.name || principal.value.id?.subject || "";
  return "";
}
