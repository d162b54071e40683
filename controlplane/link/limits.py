"""What clients of the link port may hold of us, agents or not."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkLimits:
    connections: int = 8192  # one more is closed at once
    handshake_within: timedelta = timedelta(seconds=20)  # HTTP/2's preface and settings
    idle: timedelta = timedelta(minutes=1)  # of a connection without a call
    streams: int = 16  # of one connection; an agent has one, and a probe now and then
    metadata_bytes: int = 16 * 1024  # of one call

    def as_options(self) -> Sequence[tuple[str, int]]:
        """Return them as gRPC's server has them."""
        return (
            ("grpc.max_allowed_incoming_connections", self.connections),
            ("grpc.server_handshake_timeout_ms", self.handshake_within // _MILLISECOND),
            ("grpc.http2.settings_timeout", self.handshake_within // _MILLISECOND),
            ("grpc.max_connection_idle_ms", self.idle // _MILLISECOND),
            ("grpc.max_concurrent_streams", self.streams),
            ("grpc.max_metadata_size", self.metadata_bytes),
            # Not refused at random from the size above on, which is gRPC's own way.
            ("grpc.absolute_max_metadata_size", self.metadata_bytes),
        )
