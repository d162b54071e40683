"""Authenticates calls that the proxy forwards: each by the access token of the caller's attempt."""

from collections.abc import Callable, Mapping

from dataplane.agent.core.attempt_tokens import (
    AttemptNotRunningError,
    FindToken,
    TokenUnavailableError,
)
from dataplane.agent.proxy.callers import Caller
from dataplane.agent.proxy.errors import Code, PodCallRefusedError


class AttemptCredentials:
    """Returns the headers of a caller's calls to the control plane."""

    def __init__(
        self, find_token: FindToken, agent_headers: Callable[[], Mapping[str, str]]
    ) -> None:
        """
        ``agent_headers``: the agent's own, for a control plane without logins: a front proxy may
        ask for them. PodCallRefusedError.
        """
        self._find_token = find_token
        self._agent_headers = agent_headers

    async def __call__(self, caller: Caller) -> Mapping[str, str]:
        """PodCallRefusedError if the attempt does not run any more, or its token cannot be had now."""
        if caller.lease is None:
            return self._agent_headers()  # a pod of an earlier release has no token
        try:
            token = await self._find_token(caller.attempt, caller.lease)
        except AttemptNotRunningError as error:
            raise PodCallRefusedError(Code.PERMISSION_DENIED, str(error)) from error
        except TokenUnavailableError as error:
            raise PodCallRefusedError(
                Code.UNAVAILABLE, f"the attempt's access token cannot be renewed now: {error}"
            ) from error
        if token is None:
            return self._agent_headers()
        return {"authorization": f"Bearer {token.text.reveal()}"}
