"""A client's connection that is reset, as by the kernel when its process was killed."""

import asyncio
import logging
import socket
import struct
from collections.abc import Iterable


def reset(writer: asyncio.StreamWriter) -> None:
    """Reset the connection: what the other side still sends is answered by RST."""
    opened: socket.socket = writer.get_extra_info("socket")
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def faults(records: Iterable[logging.LogRecord]) -> list[str]:
    """Return the lines that a person on call would have to look at."""
    return [
        f"{record.name}: {record.getMessage()} {record.exc_text or record.exc_info}"
        for record in records
        if record.exc_info or record.levelno >= logging.ERROR
    ]
