"""Generates UUIDs of version 7, which sort by creation time."""

import secrets
from datetime import UTC, datetime, timedelta
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


def new_uuid(at: datetime) -> UUID:
    """Return a UUIDv7: 48 bits of milliseconds, then random. Recent ones share index pages."""
    milliseconds = (at - _EPOCH) // _MILLISECOND
    random = int.from_bytes(secrets.token_bytes(10))
    value = (milliseconds & (1 << 48) - 1) << 80 | random
    value &= ~(0xF << 76) & ~(0x3 << 62) & (1 << 128) - 1
    return UUID(int=value | 0x7 << 76 | 0x2 << 62)
