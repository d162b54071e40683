"""Probes whether the control plane would accept a session, without opening one."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import grpc.aio

from dataplane.agent.link.channel import Credential, open_channel
from shared.idl.agent.v1 import probe_pb2, probe_pb2_grpc
from shared.kit.clock import Clock
from shared.wire.fields import parse_timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """Answer of the control plane to an agent it knows."""

    org: str
    cluster: str
    protocols: range  # versions that it supports
    storage_base: str  # URI prefix of everything that the agent reads and writes
    skew: timedelta  # how far the agent's clock is ahead, plus or minus half of ``took``
    took: timedelta  # round trip


class ProbeRefusedError(Exception):
    """The probe failed; ``code`` is gRPC's status code, in lower case."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


async def probe(
    address: str, token: Credential, ca_file: Path | None, clock: Clock, *, at_most: timedelta
) -> Probed:
    """
    Probe the replica at ``host:port``. No session begins or ends.

    DialError: token or certificates cannot be read. ProbeRefusedError: it rejected, or it
    could not be reached (``unavailable``, ``deadline_exceeded``).
    """
    metadata = token.metadata()
    async with open_channel(address, ca_file, token) as channel:
        stub = probe_pb2_grpc.ProbeServiceStub(channel)  # type: ignore[no-untyped-call]
        asked_at = clock.now()
        try:
            reply = await stub.Probe(
                probe_pb2.ProbeRequest(), metadata=metadata, timeout=at_most.total_seconds()
            )
        except grpc.aio.AioRpcError as error:
            raise ProbeRefusedError(
                error.code().name.lower(), _shorten(error.details() or "it gave no reason")
            ) from error
        answered_at = clock.now()
    took = answered_at - asked_at
    return Probed(
        org=reply.org,
        cluster=reply.cluster,
        protocols=range(reply.protocol_min, reply.protocol_max + 1),
        storage_base=reply.storage_base,
        skew=asked_at + took / 2 - parse_timestamp(reply.server_time_us),
        took=took,
    )


def _shorten(text: str) -> str:
    return " ".join(text.split())[:300]
