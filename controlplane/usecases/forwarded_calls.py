"""
Use cases of forwarded calls: one replica calls an agent whose stream another replica has.

Each method is one short transaction; a call in progress holds no connection.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from controlplane.core.errors import UnavailableError
from controlplane.core.forwarded_calls import ForwardedCallId, ForwardedCallRef
from controlplane.store.database import Database
from controlplane.store.notify import forwarded_calls as store
from controlplane.store.notify.forwarded_calls import Asked, Put
from controlplane.store.resources import clusters
from controlplane.usecases.agent_sessions import AgentSessionRef, SupersededError
from shared.kit.clock import Clock
from shared.kit.uuids import new_uuid
from shared.model.ids import ClusterName, OrgName

__all__ = ["ForwardedCalls", "Put"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """Replies of a forwarded call that its caller has read."""

    is_claimed: bool  # by the session that answers it
    replies: Sequence[tuple[int, bytes]]  # sequence number and body


class ForwardedCalls:
    """Use cases of both ends: the calling replica and the session that answers."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def new(self, org: OrgName) -> ForwardedCallRef:
        """Return the reference of a new call, so that its caller can subscribe before it is sent."""
        return ForwardedCallRef(org, ForwardedCallId(new_uuid(self._clock.now())))

    async def insert_call(
        self, forwarded: ForwardedCallRef, cluster: ClusterName, call: bytes
    ) -> None:
        """Store a call; UnavailableError when the agent is not connected or has too many calls."""
        async with self._database.for_org(forwarded.org) as tx:
            match await store.insert_call(tx, forwarded.id, cluster, call, self._clock.now()):
                case Asked.ASKED:
                    return
                case Asked.NO_AGENT:
                    raise UnavailableError(
                        f"the agent of cluster {cluster} is not connected; try again"
                    )
                case Asked.TOO_MANY:
                    raise UnavailableError(
                        f"the agent of cluster {cluster} has too many calls in progress; try again"
                    )

    async def take(self, forwarded: ForwardedCallRef) -> Taken:
        """Take the replies that have arrived; UnavailableError when none can arrive any more."""
        now = self._clock.now()
        async with self._database.for_org(forwarded.org) as tx:
            standing, replies = await store.take(tx, forwarded.id, now)
        if standing is None or (not replies and standing.is_lost(now)):
            raise UnavailableError(
                "the replica with the stream of the cluster's agent does not answer; try again"
            )
        return Taken(is_claimed=standing.epoch is not None, replies=replies)

    async def end(self, forwarded: ForwardedCallRef) -> None:
        """End the call: its caller has gone. Idempotent."""
        async with self._database.for_org(forwarded.org) as tx:
            await store.end(tx, forwarded.id)

    async def claim(self, session: AgentSessionRef) -> Mapping[ForwardedCallId, bytes]:
        """Claim the calls that wait for this session's agent; return their bodies by id."""
        cluster = session.cluster
        async with self._database.for_org(cluster.org) as tx:
            if await clusters.find_spec(tx, cluster.name, session.epoch) is None:
                raise SupersededError
            return await store.claim(tx, cluster.name, session.epoch)

    async def put(
        self, session: AgentSessionRef, forwarded: ForwardedCallId, number: int, body: bytes
    ) -> Put:
        """Store a reply for the caller, unless ``MOST_UNREAD`` replies are still unread."""
        async with self._database.for_org(session.cluster.org) as tx:
            return await store.put(tx, forwarded, session.epoch, number, body)

    async def has_caller(self, forwarded: ForwardedCallRef) -> bool:
        """Return whether the call's caller still waits."""
        async with self._database.for_org(forwarded.org) as tx:
            return await store.has_caller(tx, forwarded.id)
