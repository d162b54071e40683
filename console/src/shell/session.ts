import { Code, ConnectError } from "@connectrpc/connect";
import { useQuery } from "@tanstack/react-query";
import { client, identity, projects } from "../api/clients";
import { OrgService } from "../gen/shared/idl/platform/v1/org_pb";

const orgs = client(OrgService);

/** Who acts here. Without logins everybody is the same person, and a banner says so. */
export type Who = { name: string; subject: string; email: string; anonymous: boolean };

export function useWho() {
  return useQuery({
    queryKey: ["who"],
    staleTime: 60_000,
    queryFn: async (): Promise<Who> => {
      const info = await identity.userInfo({});
      const anonymous = info.subject === "" || info.subject.startsWith("anonymous");
      const name = info.name || info.preferredUsername || info.email || info.subject;
      return { name, subject: info.subject, email: info.email, anonymous };
    },
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
