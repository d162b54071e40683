import { Code, ConnectError } from "@connectrpc/connect";
import { useQuery } from "@tanstack/react-query";
import { client, projects } from "../api/clients";
import { type Caller, CallerService } from "../gen/shared/idl/platform/v1/caller_pb";
import { OrgService } from "../gen/shared/idl/platform/v1/org_pb";
import { allows } from "../model/permissions";
import { PAGES, type Page, PROJECT } from "../routes";
import { type Place, usePlace } from "./url";

const callers = client(CallerService);
const orgs = client(OrgService);

/** Who acts here, and what they may do. Without logins everybody is the same person, and a banner says so. */
export function useWho() {
  return useQuery({
    queryKey: ["who"],
    staleTime: 60_000,
    queryFn: readWho,
  });
}

export async function readWho(): Promise<Caller> {
  const { caller } = await callers.getCaller({});
  if (caller === undefined) throw new Error("the answer has no caller");
  return caller;
}

/** Whether the person here has a permission; nothing is allowed until it is known. */
export type May = (permission: string, at?: Place) => boolean;

/**
 * What the person may do in the project of the URL, or in the whole org on pages of the org.
 *
 * Pages leave out what one may not do. The server checks each call; this only spares the click.
 */
export function useMay(): May {
  const grants = useWho().data?.grants ?? [];
  const here = usePlace();
  return (permission, at = here) => allows(grants, permission, at);
}

/** Pages of the rail that have something for the person in a place. */
export function usePages(place: Place | undefined): readonly Page[] {
  const who = useWho().data;
  const grants = who?.grants ?? [];
  return PAGES.filter(({ path, rail, needs, isAnywhere, isForLogins }) => {
    if (isForLogins && who?.anonymous) return false;
    if (rail === undefined || needs === undefined) return rail !== undefined;
    if (isAnywhere) return grants.some(({ permissions }) => permissions.includes(needs));
    return allows(grants, needs, path.startsWith(PROJECT) ? place : undefined);
  });
}

export function useOrg() {
  return useQuery({
    queryKey: ["org"],
    staleTime: 60_000,
    retry: false,
    queryFn: async () => {
      try {
        return (await orgs.getOrg({})).org ?? null;
      } catch (error) {
        if (ConnectError.from(error).code === Code.Unauthenticated) throw error;
        return null; // a mode without orgs
      }
    },
  });
}

export function useProjects() {
  return useQuery({
    queryKey: ["projects"],
    staleTime: 30_000,
    queryFn: async () => {
      const answer = await projects.listProjects({ limit: 200 });
      return answer.projects?.projects ?? [];
    },
  });
}

/** The login page that leads back to where the person is. */
export function loginPath(): string {
  return `/login?next=${encodeURIComponent(location.pathname + location.search)}`;
}
