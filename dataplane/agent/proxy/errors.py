"""What the door answers when it does not let a call through, in Connect's words."""

import json
import struct
from enum import Enum

_END_OF_STREAM = 0b10


class Code(Enum):
    """Connect's codes that the door uses, with the HTTP status of each."""

    INVALID_ARGUMENT = "invalid_argument", 400
    UNAUTHENTICATED = "unauthenticated", 401  # the SDK then reads its token anew
    PERMISSION_DENIED = "permission_denied", 403
    RESOURCE_EXHAUSTED = "resource_exhausted", 429
    UNIMPLEMENTED = "unimplemented", 501
    UNAVAILABLE = "unavailable", 503  # the SDK then tries again
    DEADLINE_EXCEEDED = "deadline_exceeded", 504

    def __init__(self, word: str, status: int) -> None:
        self.word = word
        self.status = status


class RefusedError(Exception):
    """The call ends here; the message says why and what to do."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def as_json(self) -> dict[str, str]:
        return {"code": self.code.word, "message": self.message}

    def as_body(self) -> bytes:
        """Return the answer to a unary call, sent with the code's HTTP status."""
        return json.dumps(self.as_json()).encode()

    def as_end_of_stream(self) -> bytes:
        """Return the last envelope of a stream, which is sent with HTTP status 200."""
        body = json.dumps({"error": self.as_json()}).encode()
        return struct.pack(">BI", _END_OF_STREAM, len(body)) + body
