"""EnrolmentService: creates clusters and join tokens, accepts and revokes agents."""

from datetime import datetime

from controlplane.api.platform.conventions import ListCall, render_time
from controlplane.authn.agent_authority import name_key
from controlplane.core.agent_identity import Enrolment, JoinToken
from controlplane.core.callers import Caller
from controlplane.core.names import parse_cluster
from controlplane.usecases.agents.enrolment import Enrolments
from shared.idl.platform.v1 import enrolment_pb2 as pb
from shared.kit.clock import Clock


class EnrolmentService:
    def __init__(self, enrolments: Enrolments, clock: Clock) -> None:
        self._enrolments = enrolments
        self._clock = clock

    async def create_cluster(
        self, caller: Caller, request: pb.CreateClusterRequest
    ) -> pb.CreateClusterResponse:
        made = await self._enrolments.create_cluster(
            caller,
            request.name,
            pool=request.pool,
            auto_accept=request.auto_accept,
            request_id=request.request_id,
        )
        return pb.CreateClusterResponse(
            enrolment=self._render(made.enrolment), join_token=_reveal(made)
        )

    async def create_join_token(
        self, caller: Caller, request: pb.CreateJoinTokenRequest
    ) -> pb.CreateJoinTokenResponse:
        made = await self._enrolments.create_token(
            caller,
            parse_cluster(request.cluster),
            auto_accept=request.auto_accept,
            request_id=request.request_id,
        )
        return pb.CreateJoinTokenResponse(
            enrolment=self._render(made.enrolment), join_token=_reveal(made)
        )

    async def list_enrolments(
        self, caller: Caller, request: pb.ListEnrolmentsRequest
    ) -> pb.ListEnrolmentsResponse:
        call = ListCall(caller, request)
        cluster = parse_cluster(request.cluster) if request.cluster else ""
        # A thousand at most, with ids in the order of their creation.
        found = sorted(await self._enrolments.list(caller, cluster), key=lambda each: each.id)
        page, token = call.slice(found, lambda each: str(each.id))
        return pb.ListEnrolmentsResponse(enrolments=map(self._render, page), next_page_token=token)

    async def accept_enrolment(
        self, caller: Caller, request: pb.AcceptEnrolmentRequest
    ) -> pb.AcceptEnrolmentResponse:
        accepted = await self._enrolments.accept(
            caller, parse_cluster(request.cluster), key=request.key
        )
        return pb.AcceptEnrolmentResponse(enrolment=self._render(accepted))

    async def revoke_agent(
        self, caller: Caller, request: pb.RevokeAgentRequest
    ) -> pb.RevokeAgentResponse:
        revoked = await self._enrolments.revoke(caller, parse_cluster(request.cluster))
        return pb.RevokeAgentResponse(certificates=revoked)

    def _render(self, enrolment: Enrolment) -> pb.Enrolment:
        return _render(enrolment, self._clock.now())


def _reveal(made: JoinToken) -> str:
    return "" if made.token is None else made.token.reveal()


def _render(enrolment: Enrolment, now: datetime) -> pb.Enrolment:
    return pb.Enrolment(
        id=str(enrolment.id),
        cluster=enrolment.cluster,
        state=enrolment.state(now).value,
        auto_accept=enrolment.auto_accept,
        created_by=enrolment.created_by,
        created_at=render_time(enrolment.created_at),
        expires_at=render_time(enrolment.expires_at),
        key=name_key(enrolment.public_key) if enrolment.public_key else "",
        used_at=render_time(enrolment.used_at),
        peer=enrolment.peer,
        software=enrolment.software,
        accepted_at=render_time(enrolment.accepted_at),
        accepted_by=enrolment.accepted_by,
    )
