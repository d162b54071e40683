"""Connect's envelopes: flags, a length, and so many bytes. PURE."""

_PREFIX_BYTES = 5
_END_OF_STREAM = 0b10


class Envelopes:
    """Where in a stream of envelopes the bytes are that went past."""

    def __init__(self) -> None:
        self._prefix = bytearray()
        self._missing = 0  # of the envelope that has begun
        self.is_over = False  # the last one has begun

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
