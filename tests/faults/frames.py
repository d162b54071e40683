"""HTTP/2's frames, as far as a fault needs to know where one ends: RFC 9113, section 4.1."""

from dataclasses import dataclass, field
from random import Random

PREFACE = 24  # bytes of HTTP/2 before a client's first frame
HEADER = 9  # bytes before each frame: length (3), type, flags, stream (4)
_DATA, _HEADERS = 0, 1
_LAST = 0x1  # the flag of a stream's last frame
_MESSAGE = 5  # bytes before each message of gRPC: whether it is compressed, length (4)


@dataclass(slots=True)
class Frames:
    """Counts the HTTP/2 frames of one direction as their bytes go by."""

    left: int  # bytes of what is under way
    count: int = 0
    _header: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes, most: int) -> int:
        """Take in bytes; returns how many of them belong to the first ``most`` frames."""
        at = 0
        while at < len(data):
            if self.left:
                step = min(self.left, len(data) - at)
                self.left -= step
                at += step
                continue
            if self.count >= most:
                return at
            step = min(HEADER - len(self._header), len(data) - at)
            self._header += data[at : at + step]
            at += step
            if len(self._header) == HEADER:
                self.left = int.from_bytes(self._header[:3])
                self._header.clear()
                self.count += 1
        return at


class Disorder:
    """
    Repeats messages of one direction, and swaps neighbours, as its bytes go by.

    Only frames that hold whole messages of gRPC are touched: the link shall hear what makes
    sense, and at the wrong time. A stream that has split a message keeps its order from then on.
    """

    def __init__(self, preface: int, chance: Random, *, repeats: float, swaps: float) -> None:
        self._left = preface
        self._chance = chance
        self._repeats = repeats
        self._swaps = swaps
        self._rest = bytearray()
        self._kept = b""  # comes after the next message
        self._split: set[bytes] = set()  # streams

    def feed(self, data: bytes) -> bytes:
        """Take in bytes; returns those that are due, in whole frames."""
        self._rest += data
        due = bytes(self._rest[: self._left])
        del self._rest[: self._left]
        self._left -= len(due)
        return due + b"".join(iter(self._next, b""))

    def _next(self) -> bytes:
        size = HEADER + int.from_bytes(self._rest[:3])
        if len(self._rest) < max(HEADER, size):
            return b""
        frame = bytes(self._rest[:size])
        del self._rest[:size]
        kept, self._kept = self._kept, b""
        if not self._is_whole(frame):
            if frame[3] in (_DATA, _HEADERS):
                return kept + frame
            self._kept = kept
            return frame
        if kept:
            return frame + kept
        if self._chance.random() < self._swaps:
            self._kept = frame
            return self._next()
        return frame * 2 if self._chance.random() < self._repeats else frame

    def _is_whole(self, frame: bytes) -> bool:
        """Tell whether it is data of whole messages, and not the last of its stream."""
        stream = frame[5:HEADER]
        if frame[3] != _DATA or frame[4] & _LAST or stream in self._split:
            return False
        at = HEADER
        while at + _MESSAGE <= len(frame):
            at += _MESSAGE + int.from_bytes(frame[at + 1 : at + _MESSAGE])
        if at != len(frame):
            self._split.add(stream)
        return at == len(frame) > HEADER
