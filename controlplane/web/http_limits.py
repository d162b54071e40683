"""Limits on the resources that a client of the HTTP port may use."""

from datetime import timedelta

from shared.kit.settings import kinds, setting, settings

IDLE_SECONDS = 75
"""Longest pause between two requests; longer than proxies keep idle connections."""

_CONNECTIONS = kinds.whole_number(1, 1_000_000, unit="connections")
_WITHIN = kinds.seconds(0.1, 86_400)


@settings("Limits of the HTTP port")
class HttpLimits:
    connections: int = setting(
        "VOLARY_HTTP_CONNECTIONS",
        _CONNECTIONS,
        "The most client connections of one replica; one more is answered 503. Each open `watch` "
        "is one. The replica raises its soft limit of open files for them; if the hard limit "
        "(`ulimit -Hn`) is lower, it allows fewer.",
        default=8192,
    )
    connections_per_address: int = setting(
        "VOLARY_HTTP_CONNECTIONS_PER_ADDRESS",
        _CONNECTIONS,
        "The most of these from one address. Clients behind a proxy or an agent share its address.",
        default=4096,
    )
    head_bytes: int = setting(
        "VOLARY_HTTP_HEAD_BYTES",
        kinds.whole_number(4096, 1024 * 1024, unit="bytes"),
        "The most bytes of request line and headers together (431 otherwise).",
        default=64 * 1024,
    )
    headers: int = setting(
        "VOLARY_HTTP_HEADERS",
        kinds.whole_number(1, 1000, unit="headers"),
        "The most headers of one request (431 otherwise).",
        default=100,
    )
    head_within: timedelta = setting(
        "VOLARY_HTTP_HEAD_SECONDS",
        _WITHIN,
        "Time for a TLS handshake, and for a request's line and headers to be complete, counted "
        "from the connection for "
        "the first request and from the first byte for later ones (408 otherwise). Between "
        "requests a connection may be idle for 75 s.",
        default=timedelta(seconds=10),
    )
    body_within: timedelta = setting(
        "VOLARY_HTTP_BODY_SECONDS",
        _WITHIN,
        "Time for a request's body to be complete (408 otherwise); each 16 KiB received add a "
        "second, so that large uploads can finish.",
        default=timedelta(seconds=60),
    )
    body_bytes_per_second: int = 16 * 1024
    read_within: timedelta = setting(
        "VOLARY_HTTP_READ_SECONDS",
        _WITHIN,
        "Time in which a client has to read a part of an answer, some 64 KiB, when it has stopped "
        "reading; then the connection, or the HTTP/2 stream, is cut.",
        default=timedelta(seconds=60),
    )
    streams: int = 250  # of one HTTP/2 connection
