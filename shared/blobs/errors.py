"""
What can go wrong with a blob, named for what the caller can do about it.

* BlobError
    - BlobNotFoundError: there is no such blob.
    - BlobExistsError: there is one already, and it was not to be replaced.
    - BlobTooLargeError: it is larger than the reader was willing to take.
    - BlobOutsideError: the URI is not one of this store's, or no name a store can hold.
    - BlobRangeError: the blob ends before the wanted range begins.
    - BlobStoreError: the store did not answer, is full, or may not be used by us.
"""


class BlobError(Exception):
    """A blob could not be had or written."""


class BlobNotFoundError(BlobError):
    def __init__(self, uri: str) -> None:
        super().__init__(f"there is no blob {uri}")
        self.uri = uri


class BlobExistsError(BlobError):
    def __init__(self, uri: str) -> None:
        super().__init__(f"{uri} is there already")
        self.uri = uri


class BlobTooLargeError(BlobError):
    def __init__(self, uri: str, *, size: int, limit: int) -> None:
        super().__init__(f"{uri} has {size} bytes; at most {limit} are read here")
        self.uri = uri
        self.size = size
        self.limit = limit


class BlobOutsideError(BlobError):
    def __init__(self, uri: str, reason: str) -> None:
        super().__init__(f"{uri!r} {reason}")
        self.uri = uri


class BlobRangeError(BlobError):
    def __init__(self, uri: str) -> None:
        super().__init__(f"the range asked for does not lie within {uri}")
        self.uri = uri


class BlobStoreError(BlobError):
    """The store itself failed; the message says how, the cause is chained."""
