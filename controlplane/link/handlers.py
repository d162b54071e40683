"""
Registers the link port's RPCs, with parsers that do not raise on malformed messages.

gRPC's own generated handlers raise where bytes are not a message: a traceback in our log, and
"unknown" or a broken session for the caller.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import DecodeError, Message

from shared.idl.agent.v1 import (
    attempt_tokens_pb2,
    enrolment_pb2,
    link_pb2,
    probe_pb2,
    secrets_pb2,
)
from shared.wire.fields import BadMessageError

_M = TypeVar("_M", bound=Message)


class Unreadable:
    """Stands for a message whose bytes could not be parsed."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    @property
    def error(self) -> BadMessageError:
        return BadMessageError(f"the message is not a valid {self._kind}: the frame cannot be read")


def add_handlers(
    server: grpc.aio.Server, *, connect: Any, probe: Any, fetch_secrets: Any, exchange_leases: Any
) -> None:
    """Serve the port's RPCs; their methods get messages, or :class:`Unreadable`."""
    link = {
        "Connect": grpc.stream_stream_rpc_method_handler(
            connect,
            request_deserializer=_reading(link_pb2.AgentFrame),
            response_serializer=link_pb2.ControlFrame.SerializeToString,
        )
    }
    probes = {
        "Probe": grpc.unary_unary_rpc_method_handler(
            probe,
            request_deserializer=_reading(probe_pb2.ProbeRequest),
            response_serializer=probe_pb2.ProbeReply.SerializeToString,
        )
    }
    secrets = {
        "Fetch": grpc.unary_unary_rpc_method_handler(
            fetch_secrets,
            request_deserializer=_reading(secrets_pb2.FetchSecretsRequest),
            response_serializer=secrets_pb2.FetchSecretsReply.SerializeToString,
        )
    }
    attempt_tokens = {
        "Exchange": grpc.unary_unary_rpc_method_handler(
            exchange_leases,
            request_deserializer=_reading(attempt_tokens_pb2.ExchangeRequest),
            response_serializer=attempt_tokens_pb2.ExchangeReply.SerializeToString,
        )
    }
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler(
                "volary.agent.v1.AttemptTokenService", attempt_tokens
            ),
            grpc.method_handlers_generic_handler("volary.agent.v1.LinkService", link),
            grpc.method_handlers_generic_handler("volary.agent.v1.ProbeService", probes),
            grpc.method_handlers_generic_handler("volary.agent.v1.SecretsService", secrets),
        )
    )


def add_enrolment_handlers(server: grpc.aio.Server, *, enrol: Any, renew: Any) -> None:
    """Serve Enrol and Renew, as :func:`add_handlers` does."""
    enrolment: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "Enrol": grpc.unary_unary_rpc_method_handler(
            enrol,
            request_deserializer=_reading(enrolment_pb2.EnrolRequest),
            response_serializer=enrolment_pb2.EnrolReply.SerializeToString,
        ),
        "Renew": grpc.unary_unary_rpc_method_handler(
            renew,
            request_deserializer=_reading(enrolment_pb2.RenewRequest),
            response_serializer=enrolment_pb2.RenewReply.SerializeToString,
        ),
    }
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("volary.agent.v1.EnrolmentService", enrolment),)
    )


def _reading(kind: type[_M]) -> Callable[[bytes], _M | Unreadable]:
    def read(raw: bytes) -> _M | Unreadable:
        try:
            return kind.FromString(raw)
        except DecodeError:
            return Unreadable(kind.DESCRIPTOR.name)

    return read
