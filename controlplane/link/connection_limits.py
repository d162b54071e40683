"""Limits on the resources that a client of the link port may use, agent or not."""

from collections.abc import Sequence
from datetime import timedelta

from shared.kit.settings import kinds, setting, settings

_MILLISECOND = timedelta(milliseconds=1)


@settings("Limits of the agents' link")
class LinkLimits:
    connections: int = setting(
        "VOLARY_LINK_CONNECTIONS",
        kinds.whole_number(1, 1_000_000, unit="connections"),
        "The most connections of one replica; one more is closed at once. Each agent has one. A "
        "connection has 20 s for the HTTP/2 handshake, and is closed after a minute without a "
        "call; a call may have 16 KiB of metadata. There is no limit for each address: set one at "
        "the load balancer or firewall in front of the port.",
        default=8192,
    )
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
