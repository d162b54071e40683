"""
Errors of the object store, one class for each reaction that a caller may have.

* BlobError
    - BlobNotFoundError: the blob does not exist.
    - BlobExistsError: the blob exists, and the write was not allowed to replace it.
    - BlobTooLargeError: the blob is larger than the reader's limit.
    - BlobOutsideError: the URI lies outside this store, or is no valid name for a blob.
    - BlobRangeError: the requested range begins past the end of the blob.
    - BlobStoreError: the store did not answer, is full, or denied access.
"""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

from obstore import exceptions


class BlobError(Exception):
    """A blob could not be read or written."""


class BlobNotFoundError(BlobError):
    def __init__(self, uri: str) -> None:
        super().__init__(f"blob {uri} does not exist")
        self.uri = uri


class BlobExistsError(BlobError):
    def __init__(self, uri: str) -> None:
        super().__init__(f"{uri} already exists")
        self.uri = uri


class BlobTooLargeError(BlobError):
    def __init__(self, uri: str, *, size: int, limit: int) -> None:
        super().__init__(f"{uri} has {size} bytes; the limit is {limit}")
        self.uri = uri
        self.size = size
        self.limit = limit


class BlobOutsideError(BlobError):
    def __init__(self, uri: str, reason: str) -> None:
        super().__init__(f"{uri!r} {reason}")
        self.uri = uri


class BlobRangeError(BlobError):
    def __init__(self, uri: str) -> None:
        super().__init__(f"the requested range lies outside {uri}")
        self.uri = uri


class BlobStoreError(BlobError):
    """The store failed; the message says how, and the cause is chained."""


_REMEDY_BY_ERRNO = {
    errno.EACCES: "give this process access to that directory",
    errno.EDQUOT: "raise its disk quota",
    errno.ENAMETOOLONG: "shorten the name",
    errno.ENOSPC: "free space on its disk",
    errno.EROFS: "mount it writable",
}


_OUT_OF_RANGE = (
    "range was invalid",
    "416 Range Not Satisfiable",
    "Wanted range starting at",  # Azure returns the whole blob, and obstore finds out
)


@contextmanager
def translated(verb: str, uri: str) -> Iterator[None]:
    """Raise what the library raises as an error of ours; ``verb``: what was tried with ``uri``."""
    try:
        yield
    except (exceptions.BaseError, OSError) as error:
        if isinstance(error, FileNotFoundError) and verb != "write":
            raise BlobNotFoundError(uri) from error
        if isinstance(error, FileExistsError | exceptions.AlreadyExistsError):
            raise BlobExistsError(uri) from error
        text = str(error).split("\n", 1)[0]
        if any(sign in text for sign in _OUT_OF_RANGE):
            raise BlobRangeError(uri) from error
        if "<Code>InvalidBlockList</Code>" in str(error):
            text = "another write of the same blob ended during this one; write it again"
        number = re.search(r"[(\[](?:os error|Errno) (\d+)[)\]]", text)
        remedy = _REMEDY_BY_ERRNO.get(int(number[1])) if number else None
        raise BlobStoreError(
            f"the store could not {verb} {uri}: {text[:300]}" + (f"; {remedy}" if remedy else "")
        ) from error
