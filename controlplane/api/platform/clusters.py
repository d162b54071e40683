"""ClusterService and PoolService: clusters, their desired state, their drains; pools."""

from collections.abc import AsyncIterator
from datetime import timedelta

from controlplane.api.platform.conventions import (
    ListCall,
    parse_mask,
    parse_version,
    render_time,
)
from controlplane.core.callers import Caller
from controlplane.core.clusters import (
    Attestation,
    ClusterChange,
    ClusterStatus,
    LeasedAttempt,
    PastSession,
    ReportedFindings,
)
from controlplane.core.errors import InvalidError
from controlplane.core.names import parse_cluster
from controlplane.core.releases import describe_skew, own_release, read_release
from controlplane.usecases.clusters import Clusters, Draining
from shared.idl.platform.v1 import cluster_pb2 as pb, pool_pb2

_MAX_DEADLINE = timedelta(days=7)


class ClusterService:
    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters

    async def get_cluster(
        self, caller: Caller, request: pb.GetClusterRequest
    ) -> pb.GetClusterResponse:
        name = parse_cluster(request.name)
        found = await self._clusters.get(caller, name)
        findings = await self._clusters.find_findings(caller, name)
        return pb.GetClusterResponse(
            cluster=_render(found),
            findings=None if findings is None else _render_findings(findings),
        )

    async def list_clusters(
        self, caller: Caller, request: pb.ListClustersRequest
    ) -> pb.ListClustersResponse:
        call = ListCall(caller, request)
        found, after = await self._clusters.list(
            caller, limit=call.listing.limit, after=call.listing.token
        )
        return pb.ListClustersResponse(
            clusters=map(_render, found), next_page_token=call.next_token(after)
        )

    async def watch_clusters(
        self, caller: Caller, _request: pb.WatchClustersRequest
    ) -> AsyncIterator[pb.WatchClustersResponse]:
        async for update in self._clusters.watch(caller):
            yield pb.WatchClustersResponse(
                clusters=map(_render, update.changed),
                removed=update.removed,
                complete=update.is_complete,
                as_of=render_time(update.as_of),
            )

    async def list_leased_attempts(
        self, caller: Caller, request: pb.ListLeasedAttemptsRequest
    ) -> pb.ListLeasedAttemptsResponse:
        call = ListCall(caller, request)
        found, after = await self._clusters.list_leased(
            caller,
            parse_cluster(request.cluster),
            limit=call.listing.limit,
            after=call.listing.token,
        )
        return pb.ListLeasedAttemptsResponse(
            attempts=map(_render_leased, found), next_page_token=call.next_token(after)
        )

    async def list_cluster_sessions(
        self, caller: Caller, request: pb.ListClusterSessionsRequest
    ) -> pb.ListClusterSessionsResponse:
        call = ListCall(caller, request)
        found, after = await self._clusters.list_sessions(
            caller,
            parse_cluster(request.cluster),
            limit=call.listing.limit,
            after=call.listing.token,
        )
        return pb.ListClusterSessionsResponse(
            sessions=map(_render_session, found), next_page_token=call.next_token(after)
        )

    async def update_cluster(
        self, caller: Caller, request: pb.UpdateClusterRequest
    ) -> pb.UpdateClusterResponse:
        mask = parse_mask(request.update_mask, ["cordoned", "pool"])
        given = request.cluster
        changed = await self._clusters.update(
            caller,
            parse_cluster(given.name),
            ClusterChange(
                cordoned=given.cordoned if "cordoned" in mask else None,
                pool=given.pool if "pool" in mask else None,
            ),
            parse_version(given.version),
        )
        return pb.UpdateClusterResponse(cluster=_render(changed))

    async def drain_cluster(
        self, caller: Caller, request: pb.DrainClusterRequest
    ) -> pb.DrainClusterResponse:
        name = parse_cluster(request.name)
        drained = await self._clusters.drain(caller, name)
        drain = _render_drain(drained)
        if request.stop_attempts:
            drain = _render_drain(await self._clusters.stop_rest(caller, name))
            drain.returned = drained.returned
        return pb.DrainClusterResponse(drain=drain)

    async def watch_drain(
        self, caller: Caller, request: pb.WatchDrainRequest
    ) -> AsyncIterator[pb.WatchDrainResponse]:
        watched = self._clusters.watch_drain(
            caller,
            parse_cluster(request.name),
            deadline=_parse_deadline(request),
            stop_rest=request.stop_attempts,
        )
        async for found in watched:
            yield pb.WatchDrainResponse(drain=_render_drain(found))

    async def delete_cluster(
        self, caller: Caller, request: pb.DeleteClusterRequest
    ) -> pb.DeleteClusterResponse:
        await self._clusters.delete(
            caller, parse_cluster(request.name), parse_version(request.version)
        )
        return pb.DeleteClusterResponse()


class PoolService:
    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters

    async def list_pools(
        self, caller: Caller, request: pool_pb2.ListPoolsRequest
    ) -> pool_pb2.ListPoolsResponse:
        call = ListCall(caller, request)
        # A page may end with the default pool, whose name is "": a token is never empty.
        token = call.listing.token
        found, after = await self._clusters.list_pools(
            caller, limit=call.listing.limit, after=token[1:] if token else None
        )
        return pool_pb2.ListPoolsResponse(
            pools=[
                pool_pb2.Pool(
                    name=each.name,
                    clusters=each.clusters,
                    ready_clusters=each.ready,
                    queues=each.queues,
                )
                for each in found
            ],
            next_page_token="" if after is None else call.next_token(f"-{after}"),
        )


def _parse_deadline(request: pb.WatchDrainRequest) -> timedelta | None:
    if not request.HasField("deadline"):
        return None
    try:
        deadline: timedelta = request.deadline.ToTimedelta()
    except (ValueError, OverflowError) as error:
        raise InvalidError("deadline: is not a duration") from error
    if not timedelta() <= deadline <= _MAX_DEADLINE:
        raise InvalidError(f"deadline: must be from 0 to {_MAX_DEADLINE.days} days")
    return deadline


def _render(status: ClusterStatus) -> pb.Cluster:
    agent, load = status.agent, status.load
    return pb.Cluster(
        name=status.name,
        pool=status.pool,
        cordoned=status.cordoned,
        draining_since=render_time(status.draining_since),
        state=status.standing.value,
        connected=status.connected,
        connected_at=render_time(status.connected_at),
        seen_at=render_time(status.seen_at),
        epoch=status.epoch,
        agent=pb.ClusterAgent(
            agent_id=agent.agent_id,
            instance_id=agent.instance_id,
            software=agent.software,
            protocol=agent.protocol,
            capabilities=agent.capabilities,
            version_skew=describe_skew(read_release(agent.software), own_release()),
        ),
        load=pb.ClusterLoad(
            leased=status.leased,
            unaccepted=status.unaccepted,
            held=load.held,
            running=load.running,
            slots=load.slots,
            counted_at=render_time(load.counted_at),
        ),
        version=status.version,
        cloned_at=render_time(status.cloned_at),
        cloned=status.cloned,
    )


def _render_findings(found: ReportedFindings) -> pb.ClusterFindings:
    return pb.ClusterFindings(
        findings=[
            pb.ClusterFinding(
                about=each.about,
                outcome=each.outcome.name.lower(),
                text=each.text,
                remedy=each.remedy,
            )
            for each in found.findings
        ],
        checked_at=render_time(found.checked_at),
        received_at=render_time(found.received_at),
    )


def _render_drain(found: Draining) -> pb.Drain:
    return pb.Drain(
        cluster=_render(found.status),
        remaining=map(_render_leased, found.remaining),
        returned=found.returned,
        stopped=found.stopped,
        attestation=None if found.attestation is None else _render_attestation(found.attestation),
    )


def _render_leased(leased: LeasedAttempt) -> pb.LeasedAttempt:
    return pb.LeasedAttempt(
        project=leased.action.run.project,
        domain=leased.action.run.domain,
        run=leased.action.run.name,
        action=leased.action.name,
        attempt=leased.number,
        phase=leased.phase.name.lower(),
        leased_at=render_time(leased.leased_at),
        accepted_at=render_time(leased.accepted_at),
        stop_reason=leased.stop_reason or "",
    )


def _render_session(session: PastSession) -> pb.ClusterSession:
    return pb.ClusterSession(
        epoch=session.epoch,
        opened_at=render_time(session.opened_at),
        ended_at=render_time(session.ended_at),
        ended_because="" if session.ended_because is None else session.ended_because.value,
        agent_id=session.agent_id,
        instance_id=session.instance_id,
        software=session.software,
        certificate=session.serial,
        certificate_expires_at=render_time(session.certificate_until),
        certificate_revoked=session.certificate_revoked,
    )


def _render_attestation(attestation: Attestation) -> pb.DrainAttestation:
    return pb.DrainAttestation(
        cluster=attestation.cluster,
        epoch=attestation.epoch,
        agent_id=attestation.agent_id,
        instance_id=attestation.instance_id,
        draining_since=render_time(attestation.draining_since),
        counted_at=render_time(attestation.counted_at),
        attested_at=render_time(attestation.attested_at),
    )
