"""Limits on the resources that a client of the link port may use, agent or not."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkLimits:
    connections: int = 8192  # at most; a further one is closed at once
    handshake_within: timedelta = timedelta(seconds=20)  # HTTP/2's preface and settings
    idle: timedelta = timedelta(minutes=1)  # of a connection without a call
    streams: int = 16  # of one connection; an agent has one, and a probe now and then
    metadata_bytes: int = 16 * 1024  # of one call

    def as_options(self) -> Sequence[tuple[str, int]]:
        """Return the limits as options of a gRPC server."""
        return (
            ("grpc.max_allowed_incoming_connections", self.connections),
            ("grpc.server_handshake_timeout_ms", self.handshake_within // _MILLISECOND),
            ("grpc.http2.settings_timeout", self.handshake_within // _MILLISECOND),
            ("grpc.max_connection_idle_ms", self.idle // _MILLISECOND),
            ("grpc.max_concurrent_streams", self.streams),
            ("grpc.max_metadata_size", self.metadata_bytes),
            # The hard limit too: by default gRPC refuses at random between the two limits.
            ("grpc.absolute_max_metadata_size", self.metadata_bytes),
        )
