"""Errors with which the proxy rejects a call, encoded as Connect requires."""

import json
import struct
from enum import Enum

_END_OF_STREAM = 0b10


class Code(Enum):
    """Connect's codes that the proxy uses, with the HTTP status of each."""

    INVALID_ARGUMENT = "invalid_argument", 400
    UNAUTHENTICATED = "unauthenticated", 401  # the SDK then reads its token again
    PERMISSION_DENIED = "permission_denied", 403
    RESOURCE_EXHAUSTED = "resource_exhausted", 429
    UNIMPLEMENTED = "unimplemented", 501
    UNAVAILABLE = "unavailable", 503  # the SDK then retries
    DEADLINE_EXCEEDED = "deadline_exceeded", 504

    def __init__(self, word: str, status: int) -> None:
        self.word = word
        self.status = status


class PodCallRefusedError(Exception):
    """The call is rejected; the message gives the reason and the remedy."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def as_json(self) -> dict[str, str]:
        return {"code": self.code.word, "message": self.message}

    def as_body(self) -> bytes:
        """Return the body of a unary call's response, sent with the code's HTTP status."""
        return json.dumps(self.as_json()).encode()

    def as_end_of_stream(self) -> bytes:
        """Return the last envelope of a stream, which is sent with HTTP status 200."""
        body = json.dumps({"error": self.as_json()}).encode()
        return struct.pack(">BI", _END_OF_STREAM, len(body)) + body
