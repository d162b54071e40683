"""Parse Connect's envelopes: flags, a length, and so many bytes. PURE."""

_PREFIX_BYTES = 5
_END_OF_STREAM = 0b10


class Envelopes:
    """Tracks the position of a byte stream relative to its envelopes."""

    def __init__(self) -> None:
        self._prefix = bytearray()
        self._missing = 0  # bytes still to come of the current envelope
        self.is_over = False  # the last envelope has begun

    @property
    def is_between(self) -> bool:
        return not self._prefix and not self._missing and not self.is_over

    def feed(self, chunk: bytes) -> None:
        at = 0
        while at < len(chunk):
            if self._missing:
                took = min(self._missing, len(chunk) - at)
                self._missing -= took
                at += took
                continue
            took = min(_PREFIX_BYTES - len(self._prefix), len(chunk) - at)
            self._prefix += chunk[at : at + took]
            at += took
            if len(self._prefix) == _PREFIX_BYTES:
                self._missing = int.from_bytes(self._prefix[1:], "big")
                self.is_over = bool(self._prefix[0] & _END_OF_STREAM)
                self._prefix.clear()
