"""Limits on the resources that a client of the HTTP port may use; each is a setting."""

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    connections: int = 8192
    connections_per_address: int = 4096
    head_bytes: int = 64 * 1024  # request line and headers
    headers: int = 100
    head_within: timedelta = timedelta(seconds=10)
    body_within: timedelta = timedelta(seconds=60)  # plus a second for each body_bytes_per_second
    body_bytes_per_second: int = 16 * 1024
