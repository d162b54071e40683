"""Reasons why sessions of agents end, as the agents are sent them."""

import logging

from controlplane.core.agent_identity import ExpelledAgentError, Refusal
from controlplane.core.clusters import AgentInfo
from controlplane.core.errors import UnauthenticatedError
from controlplane.link.session import SessionOverError
from controlplane.usecases.agent_sessions import RefusedCertificateError
from controlplane.usecases.agents.identities import AgentIdentity
from shared.kit.outside_logs import OutsideLog
from shared.model.link_session import End

outside = OutsideLog(logging.getLogger(__name__))

SUPERSEDED = End(
    "superseded", "another agent of this cluster has connected; run one agent for each cluster"
)


def describe_unauthenticated(error: UnauthenticatedError) -> End:
    """Return the end for a refused credential; an agent with a newer certificate tries that."""
    if isinstance(error, ExpelledAgentError):
        return End(
            "unauthenticated",
            str(error),
            retry=False,
            end_attempts=True,
            retry_after=error.retry_after,
        )
    is_retired = isinstance(error, RefusedCertificateError) and error.refusal is Refusal.RETIRED
    return End("unauthenticated", str(error), retry=is_retired)


def require_identity(identity: AgentIdentity, agent: AgentInfo) -> None:
    """Raise SessionOverError if the hello names another cluster than the certificate."""
    cluster = identity.cluster
    if agent.cluster and (agent.org, agent.cluster) != (cluster.org, cluster.name):
        outside.warning(
            "agent claims another identity than its certificate's",
            extra={"org": cluster.org, "cluster": cluster.name, "claimed": agent.cluster},
        )
        text = (
            f"the agent takes itself to be cluster {agent.cluster} of {agent.org}, and its "
            f"certificate is cluster {cluster.name}'s of {cluster.org}; its identity was mixed up "
            "with another's: delete it, and enrol again with a new join token"
        )
        raise SessionOverError(End("identity", text, retry=False))


def first_end(group: BaseExceptionGroup[SessionOverError]) -> End:
    found = first_of(group)
    assert isinstance(found, SessionOverError)  # noqa: S101  # except* has selected these
    return found.end


def first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first = group.exceptions[0]
    return first_of(first) if isinstance(first, BaseExceptionGroup) else first
