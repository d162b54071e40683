"""CallerService: who calls, and what they may do where."""

from collections import defaultdict

from controlplane.authn.anonymous import SUBJECT as ANONYMOUS
from controlplane.core.callers import Caller, Permission
from shared.idl.platform.v1 import caller_pb2 as pb


class CallerService:
    async def get_caller(
        self, caller: Caller, _request: pb.GetCallerRequest
    ) -> pb.GetCallerResponse:
        scopes: defaultdict[tuple[str, str], set[Permission]] = defaultdict(set)
        for grant in caller.grants:
            scopes[grant.project, grant.domain] |= grant.permissions
        return pb.GetCallerResponse(
            caller=pb.Caller(
                subject=caller.subject,
                name=caller.name,
                email=caller.email,
                org=caller.org,
                anonymous=caller.subject == ANONYMOUS,
                grants=[
                    pb.CallerGrant(project=project, domain=domain, permissions=sorted(permissions))
                    for (project, domain), permissions in sorted(scopes.items())
                ],
            )
        )
