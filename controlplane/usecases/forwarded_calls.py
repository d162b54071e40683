"""
Calls between replicas: one asks, the one that has the agent's stream answers.

Each method is one short transaction; a call that is under way holds no connection.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from controlplane.core.errors import UnavailableError
from controlplane.core.forwarded_calls import ForwardedCallId, ForwardedCallRef
from controlplane.store.database import Database
from controlplane.store.notify import forwarded_calls as store
from controlplane.store.notify.forwarded_calls import Asked, Put
from controlplane.store.resources import clusters
from controlplane.usecases.agent_sessions import SessionRef, SupersededError
from shared.kit.clock import Clock
from shared.kit.uuids import new_uuid
from shared.model.ids import ClusterName, OrgName

__all__ = ["ForwardedCalls", "Put"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    is_claimed: bool  # a session answers
    replies: Sequence[tuple[int, bytes]]  # by their numbers


class ForwardedCalls:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def new(self, org: OrgName) -> ForwardedCallRef:
        """Name a call that is about to be asked, so that its news can be listened for."""
        return ForwardedCallRef(org, ForwardedCallId(new_uuid(self._clock.now())))

    async def insert_call(
        self, forwarded: ForwardedCallRef, cluster: ClusterName, call: bytes
    ) -> None:
        """Ask; UnavailableError when no replica has the agent, or too much is asked of it."""
        async with self._database.for_org(forwarded.org) as tx:
            match await store.insert_call(tx, forwarded.id, cluster, call, self._clock.now()):
                case Asked.ASKED:
                    return
                case Asked.NO_AGENT:
                    raise UnavailableError(f"the agent of cluster {cluster} is away; try again")
                case Asked.TOO_MANY:
                    raise UnavailableError(
                        f"too much is asked of the agent of cluster {cluster}; try again"
                    )

    async def take(self, forwarded: ForwardedCallRef) -> Taken:
        """Take the replies that are there; UnavailableError: there will be none."""
        now = self._clock.now()
        async with self._database.for_org(forwarded.org) as tx:
            standing, replies = await store.take(tx, forwarded.id, now)
        if standing is None or (not replies and standing.is_lost(now)):
            raise UnavailableError("the replica that has the cluster's agent is away; try again")
        return Taken(is_claimed=standing.epoch is not None, replies=replies)

    async def end(self, forwarded: ForwardedCallRef) -> None:
        """Say that nobody waits any more; saying it twice does no harm."""
        async with self._database.for_org(forwarded.org) as tx:
            await store.end(tx, forwarded.id)

    async def claim(self, session: SessionRef) -> Mapping[ForwardedCallId, bytes]:
        """Take what others ask of this session's agent; what each wants, by its id."""
        cluster = session.cluster
        async with self._database.for_org(cluster.org) as tx:
            if await clusters.find_spec(tx, cluster.name, session.epoch) is None:
                raise SupersededError
            return await store.claim(tx, cluster.name, session.epoch)

    async def put(
        self, session: SessionRef, forwarded: ForwardedCallId, number: int, body: bytes
    ) -> Put:
        """Hand a reply to whoever asked, if they have read what they were handed before."""
        async with self._database.for_org(session.cluster.org) as tx:
            return await store.put(tx, forwarded, session.epoch, number, body)

    async def has_caller(self, forwarded: ForwardedCallRef) -> bool:
        """Whether somebody still waits."""
        async with self._database.for_org(forwarded.org) as tx:
            return await store.has_caller(tx, forwarded.id)
