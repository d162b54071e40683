"""Fetches the secrets of an attempt from the control plane, sealed to this agent."""

import itertools
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import grpc
import grpc.aio

from dataplane.agent.core.secrets import (
    FetchedSecrets,
    SecretsRefusedError,
    SecretsUnavailableError,
)
from dataplane.agent.link.channel import Credential, DialError, open_channel
from shared.idl.agent.v1 import secrets_pb2, secrets_pb2_grpc
from shared.model.assignments import Assignment
from shared.wire.ids import render_attempt_id
from shared.wire.secrets import parse_sealed_secret

_TIMEOUT = timedelta(seconds=20)
_REFUSED = frozenset({
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
})  # fmt: skip


class SecretsClient:
    """Calls one replica of the control plane after the other; opens a channel for each call."""

    def __init__(self, addresses: Sequence[str], token: Credential, ca_file: Path | None) -> None:
        self._addresses = itertools.cycle(addresses)
        self._token = token
        self._ca_file = ca_file

    async def fetch(
        self, assignment: Assignment, names: Sequence[str], *, image_pull: bool = False
    ) -> FetchedSecrets:
        """
        Return the secrets that the attempt's scope has by these names.

        SecretsUnavailableError: try again, which dials the next replica. SecretsRefusedError.
        """
        request = secrets_pb2.FetchSecretsRequest(
            attempt=render_attempt_id(assignment.attempt),
            lease_id=assignment.lease.bytes,
            names=names,
            image_pull=image_pull,
        )
        try:
            metadata = self._token.metadata()
            async with open_channel(next(self._addresses), self._ca_file, self._token) as channel:
                stub = secrets_pb2_grpc.SecretsServiceStub(channel)  # type: ignore[no-untyped-call]
                reply = await stub.Fetch(
                    request, metadata=metadata, timeout=_TIMEOUT.total_seconds()
                )
        except DialError as error:
            raise SecretsUnavailableError(str(error)) from error
        except grpc.aio.AioRpcError as error:
            return _handle(error)
        secrets = [parse_sealed_secret(each, assignment.org) for each in reply.secrets]
        return FetchedSecrets(
            by_name={each.asked: each for each in secrets},
            image_pull=[parse_sealed_secret(each, assignment.org) for each in reply.image_pull],
        )


def _handle(error: grpc.aio.AioRpcError) -> FetchedSecrets:
    code = error.code()
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return FetchedSecrets()  # a control plane of an earlier release has no secrets
    details = " ".join((error.details() or "it gave no reason").split())[:500]
    if code in _REFUSED:
        raise SecretsRefusedError(details) from error
    raise SecretsUnavailableError(f"the control plane answers {code.name.lower()}: {details}")
