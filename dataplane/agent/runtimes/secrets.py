"""
Resolves the secrets that a task names: reads the requests, fetches envelopes, opens them.

Values are resolved at the start of each attempt, so a new value takes effect with the next
attempt. They are kept in no ledger, log or message.
"""

import asyncio
import re
import shlex
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol, TypeVar

from flyteidl2.core import security_pb2

from dataplane.agent.core.secrets import (
    FetchedSecrets,
    SecretsRefusedError,
    SecretsUnavailableError,
)
from dataplane.agent.runtimes.tasks import BadSpecError
from shared.kit.backoff import Backoff
from shared.kit.secrets import SecretBytes
from shared.model.assignments import Assignment
from shared.model.reports import Failure, FailureKind
from shared.model.secrets import SealedSecret, SecretName, list_candidates
from shared.secrets.envelopes import EnvelopeError, KeyringEnvelopes
from shared.secrets.keyrings import PrivateKey

MAX_VARIABLE_BYTES = 128 * 1024 - 256
"""Most bytes of a variable's value: Linux limits a string of the environment to 128 KiB."""
DIRECTORY = "/etc/flyte/secrets"
"""Directory of a task's secret files in a container, fixed by the SDK."""

_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_T = TypeVar("_T")
_TRIES = 8
_BACKOFF = Backoff(first=timedelta(seconds=0.5), at_most=timedelta(seconds=15))


class SecretError(Exception):
    """The attempt cannot have its secrets; ``failure`` is what it fails with."""

    def __init__(self, code: str, kind: FailureKind, message: str) -> None:
        super().__init__(message)
        self.failure = Failure(
            code=code, kind=kind, message=message, recoverable=kind is not FailureKind.USER
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretRequest:
    """One secret that a task names, and the variable or files in which the task reads it."""

    group: str
    key: str
    variable: str = ""
    paths: Sequence[str] = ()  # below DIRECTORY: in lower case, then as the key is spelt


def read_requests(secrets: Iterable[security_pb2.Secret]) -> Sequence[SecretRequest]:
    """Return the requests of a task's security context; BadSpecError if two of them collide."""
    requests = [_read(secret) for secret in secrets]
    by_variable: dict[str, SecretRequest] = {}
    by_path: dict[str, SecretRequest] = {}
    for each in requests:
        if each.variable and by_variable.setdefault(each.variable, each) != each:
            raise BadSpecError(
                f"two secrets set the same variable {each.variable}; give one of them another"
                " name with as_env_var"
            )
        if each.paths and by_path.setdefault(each.paths[0], each) != each:
            raise BadSpecError(
                f"two secrets are the same file {DIRECTORY}/{each.paths[0]}: keys are files in"
                " lower case; give one of them another group, or take it as a variable"
            )
    return requests


def _read(secret: security_pb2.Secret) -> SecretRequest:
    group, key = secret.group, secret.key
    if _KEY.fullmatch(key) is None or key in {".", ".."}:
        raise BadSpecError(
            f"the secret's key {key!r} is not a valid key of a Kubernetes Secret; use letters,"
            " digits, '-', '_' and '.'"
        )
    if secret.mount_requirement == security_pb2.Secret.FILE:
        paths = ["/".join(filter(None, [group, name])) for name in (key.lower(), key)]
        if any(part in {"", ".", ".."} for part in paths[0].split("/")):
            raise BadSpecError(f"the secret's group {group!r} leads outside of {DIRECTORY}")
        return SecretRequest(group=group, key=key, paths=list(dict.fromkeys(paths)))
    usual = "_".join(filter(None, [group, key])).upper()
    variable = secret.env_var or re.sub(r"[^A-Z0-9_]", "_", usual)
    if _VARIABLE.fullmatch(variable) is None:
        raise BadSpecError(
            f"the secret {key!r} cannot be the variable {variable!r}; choose a name with as_env_var"
        )
    return SecretRequest(group=group, key=key, variable=variable)


class SecretSource(Protocol):
    """Interface to the control plane's secrets."""

    async def fetch(
        self, assignment: Assignment, names: Sequence[str], *, image_pull: bool = False
    ) -> FetchedSecrets:
        """Return the sealed secrets; SecretsUnavailableError, SecretsRefusedError."""


class OutsideSecrets(Protocol):
    """Interface to a secret manager outside of Volary."""

    async def find(self, asked: Iterable[SecretName]) -> Mapping[str, SecretBytes]:
        """Return values by key; SecretsUnavailableError, SecretsRefusedError."""

    def describe(self, asked: SecretName) -> str:
        """Return where the secret is looked for."""


class NoSecretSource:
    """Has no secret, for agents and tests without a control plane that has some."""

    async def fetch(
        self,
        assignment: Assignment,  # noqa: ARG002 - the protocol's
        names: Sequence[str],  # noqa: ARG002 - the protocol's
        *,
        image_pull: bool = False,  # noqa: ARG002 - the protocol's
    ) -> FetchedSecrets:
        return FetchedSecrets()


class TaskSecrets:
    """
    Finds the secrets of attempts: the control plane's, opened with the agent's private keys,
    and of a key that it has in no scope the secret manager's.
    """

    def __init__(
        self,
        source: SecretSource,
        keys: Sequence[PrivateKey] = (),
        outside: OutsideSecrets | None = None,
    ) -> None:
        self._source = source
        self._outside = outside
        self._envelopes = KeyringEnvelopes(openers=keys)

    async def find(
        self, assignment: Assignment, names: Iterable[str], stop: asyncio.Event
    ) -> Mapping[str, SecretBytes]:
        """
        Return the values of those of ``names`` that exist.

        SecretError: the values cannot be had, or ``stop`` was set meanwhile.
        """
        asked = sorted(set(names))
        if not asked:
            return {}
        fetched = await _retry(lambda: self._source.fetch(assignment, asked), stop)
        found = {
            name: await self._open(assignment, sealed)
            for name in asked
            if (sealed := fetched.by_name.get(name)) is not None and sealed.name is not None
        }
        outside = self._outside
        absent = [_name(assignment, name) for name in asked if name not in found]
        if outside is not None and absent:
            found |= await _retry(lambda: outside.find(absent), stop)
        return found

    async def find_image_pull(
        self, assignment: Assignment, stop: asyncio.Event
    ) -> Sequence[SecretBytes]:
        """Return the org's image pull secrets, the latest changed first; SecretError."""
        fetched = await _retry(lambda: self._source.fetch(assignment, (), image_pull=True), stop)
        return [await self._open(assignment, sealed) for sealed in fetched.image_pull]

    def require_all(
        self, assignment: Assignment, requests: Iterable[SecretRequest], found: Iterable[str]
    ) -> None:
        """Raise SecretError for the first request whose secret was not found."""
        known = set(found)
        for request in requests:
            if request.key not in known:
                raise self.missing(assignment, request.key)

    def missing(self, assignment: Assignment, key: str) -> SecretError:
        """Return the error of a missing secret: where it was looked for, and how to create it."""
        run, name = assignment.key.run, _name(assignment, key)
        scopes = "; ".join(each.scope for each in list_candidates(name))
        outside = f"; {self._outside.describe(name)}" if self._outside else ""
        return SecretError(
            "SecretMissing",
            FailureKind.USER,
            f"secret {key!r} was not found in: {scopes}{outside}. Create it with `flyte create "
            f"secret {shlex.quote(key)} --project {run.project} --domain {run.domain}`, or without "
            "--project for a wider scope",
        )

    async def _open(self, assignment: Assignment, sealed: SealedSecret) -> SecretBytes:
        name = sealed.name
        if sealed.problem or name is None:
            raise SecretError("SecretUnreadable", FailureKind.SYSTEM, sealed.problem)
        if name not in list_candidates(_name(assignment, name.name)):
            raise SecretError(
                "SecretUnreadable",
                FailureKind.SYSTEM,
                f"the control plane sent secret {name}, which is of another scope",
            )
        try:
            return await self._envelopes.open(name, sealed.envelope)
        except EnvelopeError as error:
            raise SecretError("SecretUnreadable", FailureKind.SYSTEM, str(error)) from error


async def _retry(call: Callable[[], Awaitable[_T]], stop: asyncio.Event) -> _T:
    """Return what ``call`` returns; try again while it raises SecretsUnavailableError."""
    failures = 0
    while True:
        try:
            return await call()
        except SecretsRefusedError as error:
            raise SecretError("SecretRefused", FailureKind.USER, str(error)) from error
        except SecretsUnavailableError as error:
            failures += 1
            if failures == _TRIES or stop.is_set():
                raise SecretError("SecretsUnavailable", FailureKind.SYSTEM, str(error)) from error
        try:
            async with asyncio.timeout(_BACKOFF.delay(failures).total_seconds()):
                await stop.wait()
        except TimeoutError:
            pass  # not stopped: try again


def as_variable(request: SecretRequest, value: SecretBytes, *, most: int) -> str:
    """Return a value as the text of a variable of at most ``most`` bytes; SecretError."""
    raw = value.reveal()
    reason = ""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        text, reason = "", "is not UTF-8 text"
    if "\0" in text:
        reason = "holds a NUL character"
    elif len(raw) > most:
        reason = f"has {len(raw)} bytes, and a variable at most {most}"
    if reason:
        raise SecretError(
            "SecretNotText",
            FailureKind.USER,
            f"the value of secret {request.key!r} cannot be the variable {request.variable}: it "
            f"{reason}; take it as a file, with mount={DIRECTORY!r}",
        )
    return text


def _name(assignment: Assignment, key: str) -> SecretName:
    run = assignment.key.run
    return SecretName(org=assignment.org, project=run.project, domain=run.domain, name=key)
