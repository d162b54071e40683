"""
Sets fields that later releases of flyteidl2 have, by their numbers.

The SDK pins one release of flyteidl2 exactly, so a control plane beside it cannot have a later one.
Clients with a later release read such a field as any other; in JSON it is not there.
"""

from google.protobuf.message import Message

_LENGTH_DELIMITED = 2  # the wire type of strings


def set_later_text(message: Message, number: int, value: str) -> None:
    """Set a string field; "" leaves it unset."""
    if not value:
        return
    body = value.encode()
    message.MergeFromString(_varint(number << 3 | _LENGTH_DELIMITED) + _varint(len(body)) + body)


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)
