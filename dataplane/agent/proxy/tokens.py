"""
Authenticate tokens: reviewed once by the API server, checked against the pods at every call.

A token names a pod by name and uid. Whether that pod still exists is looked up each time in the
informer, so a token is rejected once its pod is gone, though it be valid for an hour.
"""

import asyncio
import binascii
import hashlib
import json
import logging
from base64 import urlsafe_b64decode
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from dataplane.agent.core.pod_identity import TOKEN_AUDIENCE
from dataplane.agent.kube.client import Kube, Reviewed
from dataplane.agent.kube.errors import KubeError, NotFoundError
from dataplane.agent.kube.informer import Informer
from dataplane.agent.kube.objects import MANAGED_LABEL, POD, Name, Object
from dataplane.agent.proxy import proxy_limits
from dataplane.agent.proxy.callers import Caller, identify, require_own_namespace
from dataplane.agent.proxy.errors import Code, PodCallRefusedError
from shared.kit.cache import ExpiringCache
from shared.kit.clock import Clock

logger = logging.getLogger(__name__)

_REVIEW_TIMEOUT_SECONDS = proxy_limits.REVIEW_TIMEOUT.total_seconds()
_BEARER = "bearer "
_ACCOUNT = "system:serviceaccount:"
_TOKENLESS = (
    "the call has no token; send that of /var/run/volary/token as 'Authorization: Bearer …'"
)


@dataclass(frozen=True, slots=True)
class _Known:
    """The API server's review of a token, and until when it is cached."""

    until: datetime
    pod: Name
    uid: str
    refusal: tuple[Code, str] | None = None


class Tokens:
    """Turns the Authorization header of a call into the caller."""

    def __init__(self, kube: Kube, pods: Informer, clock: Clock, *, namespaces: str) -> None:
        """``namespaces`` is the template of the namespaces of attempts."""
        self._namespaces = namespaces
        self._kube = kube.with_retry_timeout(proxy_limits.REVIEW_TIMEOUT)
        self._pods = pods
        self._clock = clock
        self._known: ExpiringCache[bytes, _Known] = ExpiringCache(proxy_limits.TOKENS_KNOWN, clock)
        self._reviews: dict[bytes, asyncio.Lock] = {}
        self._room = asyncio.Semaphore(proxy_limits.REVIEWS_AT_ONCE)
        self.reviews = 0

    def __repr__(self) -> str:
        return f"<Tokens known={len(self._known)} reviews={self.reviews}>"

    async def admit(self, authorization: str | None) -> Caller:
        """Return the caller; PodCallRefusedError if the token is invalid, or its pod no longer exists."""
        token = _bearer(authorization)
        mark = hashlib.sha256(token.encode()).digest()
        known = self._known.get(mark)
        if known is None:
            known = await self._review_once(mark, token)
        if known.refusal is not None:
            raise PodCallRefusedError(*known.refusal)
        pod = await self._pod(known)
        if pod is None:
            # A uid is never reused.
            raise self._reject(
                mark, known, f"the pod {known.pod} is gone; its token is no longer accepted"
            )
        if (pod["metadata"].get("labels") or {}).get(MANAGED_LABEL) != "true":
            soon = replace(known, until=self._clock.now() + proxy_limits.REJECTION_TTL)
            raise self._reject(
                mark, soon, f"the pod {known.pod} does not belong to an attempt of this agent"
            )
        caller = identify(pod)
        require_own_namespace(caller, self._namespaces)
        return caller

    def _reject(self, mark: bytes, known: _Known, why: str) -> PodCallRefusedError:
        """Cache that the token is invalid, and return the error."""
        refusal = (Code.PERMISSION_DENIED, why)
        self._known.put(mark, replace(known, refusal=refusal), until=known.until)
        return PodCallRefusedError(*refusal)

    async def _review_once(self, mark: bytes, token: str) -> _Known:
        """Review the token; concurrent calls with the same token share one request."""
        lock = self._reviews.setdefault(mark, asyncio.Lock())
        try:
            async with lock:
                known = self._known.get(mark)
                if known is None:
                    known = await self._review(token)
                    self._known.put(mark, known, until=known.until)
                return known
        finally:
            if not lock.locked():
                self._reviews.pop(mark, None)

    async def _review(self, token: str) -> _Known:
        try:
            async with asyncio.timeout(_REVIEW_TIMEOUT_SECONDS), self._room:
                self.reviews += 1
                reviewed = await self._kube.review_token(token, TOKEN_AUDIENCE)
        except (KubeError, TimeoutError) as error:
            logger.warning("token review failed", extra={"detail": str(error)})
            raise PodCallRefusedError(
                Code.UNAVAILABLE,
                "the agent cannot ask the Kubernetes API whose token this is; try again",
            ) from error
        now = self._clock.now()
        refusal = _reason_against(reviewed)
        if refusal:
            refused = (Code.UNAUTHENTICATED, refusal)
            return _Known(now + proxy_limits.REJECTION_TTL, Name("", ""), "", refused)
        namespace = reviewed.user.removeprefix(_ACCOUNT).partition(":")[0]
        until = min(now + proxy_limits.REVIEW_LASTS, _expiry(token) or now)
        return _Known(until, Name(namespace, reviewed.pod), reviewed.pod_uid)

    async def _pod(self, known: _Known) -> Object | None:
        """
        Return the token's pod if it exists; a pod of the same name with another uid does not
        count.
        """
        pod = self._pods.get(known.pod)
        if pod is None or pod["metadata"]["uid"] != known.uid:
            # It may be so new that the informer does not have it yet.
            pod = await self._get(known.pod)
        if pod is None or pod["metadata"]["uid"] != known.uid:
            return None
        return pod

    async def _get(self, name: Name) -> Object | None:
        try:
            async with asyncio.timeout(_REVIEW_TIMEOUT_SECONDS):
                return await self._kube.get(POD, name)
        except NotFoundError:
            return None
        except (KubeError, TimeoutError) as error:
            raise PodCallRefusedError(
                Code.UNAVAILABLE,
                f"the agent cannot ask the Kubernetes API for the pod {name}; try again",
            ) from error


def _bearer(authorization: str | None) -> str:
    if authorization is None or not authorization.lower().startswith(_BEARER):
        raise PodCallRefusedError(Code.UNAUTHENTICATED, _TOKENLESS)
    token = authorization[len(_BEARER) :].strip()
    if not token or len(token) > proxy_limits.TOKEN_BYTES or not token.isascii():
        raise PodCallRefusedError(Code.UNAUTHENTICATED, _TOKENLESS)
    return token


def _reason_against(reviewed: Reviewed) -> str:
    if not reviewed.authenticated:
        return (
            f"the Kubernetes API does not accept the token for the audience {TOKEN_AUDIENCE};"
            " read the file again: the token is rotated, and expires with its pod"
        )
    if not reviewed.user.startswith(_ACCOUNT) or not reviewed.pod or not reviewed.pod_uid:
        return "the token is bound to no pod; only tokens that the kubelet mounts are accepted"
    return ""


def _expiry(token: str) -> datetime | None:
    """Return the expiry of an accepted token; None if it has none in a JWT's form."""
    try:
        payload = token.split(".")[1]
        claims = json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return datetime.fromtimestamp(claims["exp"], UTC)
    except (IndexError, KeyError, TypeError, ValueError, binascii.Error, OverflowError):
        return None
