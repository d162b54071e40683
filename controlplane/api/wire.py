"""
Bounds request bodies before they are decompressed, and reports malformed ones to the caller.

connectrpc reads a body whole, decompresses it whole, and only then checks its size; its own
gzip would make gigabytes of a few kilobytes. Malformed messages would be logged as bugs.
"""

import re
from typing import Any

from connectrpc.code import Code
from connectrpc.codec import Codec, proto_binary_codec, proto_json_codec
from connectrpc.compression import Compression
from connectrpc.errors import ConnectError
from google.protobuf.json_format import ParseError, SerializeToJsonError
from google.protobuf.message import DecodeError, Message

from shared.kit import gzip

_UNKNOWN_FIELD = re.compile(r'has no field named "([\w.-]{1,64})"')
"""The only part of a JSON parser's message that is returned: others may quote a value, a secret."""

MAX_REQUEST_BYTES = 16 * 1024 * 1024
"""The SDK sends inputs of up to 10 MiB inline."""


def too_large() -> ConnectError:
    return ConnectError(
        Code.RESOURCE_EXHAUSTED,
        f"the request is larger than {MAX_REQUEST_BYTES} bytes; upload large data as files",
    )


class BoundedGzip(Compression):
    """Gzip that stops decompressing at the size limit of a request."""

    def name(self) -> str:
        return "gzip"

    def compress(self, data: bytes | bytearray | memoryview) -> bytes:
        return gzip.compress(data)

    def decompress(self, data: bytes | bytearray | memoryview) -> bytes:
        try:
            return gzip.decompress(data, at_most=MAX_REQUEST_BYTES)
        except gzip.GzipTooLargeError as error:
            raise too_large() from error
        except gzip.GzipError as error:
            raise ConnectError(
                Code.INVALID_ARGUMENT, f"the request cannot be decompressed: {error}"
            ) from error


class _NoCompression(Compression):
    """Compression of a stream whose headers name none: a compressed envelope is an error."""

    def name(self) -> str:
        return "identity"

    def compress(self, data: bytes | bytearray | memoryview) -> bytes:
        return bytes(data)

    def decompress(self, data: bytes | bytearray | memoryview) -> bytes:
        del data
        raise ConnectError(
            Code.INVALID_ARGUMENT,
            "an envelope of the request is flagged as compressed, but no header names its encoding",
        )


class CheckedProtocol:
    """
    A connectrpc protocol whose compression headers are checked.

    connectrpc answers "internal" to a compressed envelope without an encoding, and treats an
    unknown encoding as none.
    """

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol

    def __getattr__(self, name: str) -> Any:
        return getattr(self._protocol, name)

    def negotiate_stream_compression(
        self, headers: Any, compressions: dict[str, Compression]
    ) -> tuple[Compression | None, Compression]:
        """Return the request's compression, None for an unknown one, and the answer's."""
        _, answers = self._protocol.negotiate_stream_compression(headers, compressions)
        named = headers.get(self._protocol.compression_header_name(), "identity")
        if named == "identity":
            return _NO_COMPRESSION, answers
        return compressions.get(named), answers


_NO_COMPRESSION = _NoCompression()


class CheckedCodec(Codec[Any, Any]):
    """A codec whose error about a malformed message is returned to the caller."""

    def __init__(self, codec: Codec[Any, Any]) -> None:
        self._codec = codec

    def name(self) -> str:
        return self._codec.name()

    def encode(self, message: Message) -> bytes:
        try:
            return self._codec.encode(message)
        except (SerializeToJsonError, TypeError, ValueError) as error:
            # A tenant's data, such as a NaN in a Struct, need not have a form in JSON.
            raise ConnectError(
                Code.FAILED_PRECONDITION,
                f"the answer cannot be written as {self.name()}: {error};"
                " ask for application/proto",
            ) from error

    def decode(self, data: bytes | bytearray, message: Message) -> Message:
        try:
            return self._codec.decode(data, message)  # type: ignore[no-any-return]
        except (DecodeError, ParseError, ValueError, RecursionError) as error:
            unknown = _UNKNOWN_FIELD.search(str(error))
            because = f": it has no field {unknown[1]!r}" if unknown else ""
            raise ConnectError(
                Code.INVALID_ARGUMENT,
                f"the request is not a {message.DESCRIPTOR.full_name}{because}",
            ) from error


JSON_CODEC = CheckedCodec(proto_json_codec())
CODECS = (CheckedCodec(proto_binary_codec()), JSON_CODEC)
COMPRESSIONS = (BoundedGzip(),)
