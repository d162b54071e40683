"""Maps errors of the blob store to errors that a caller can act on."""

from collections.abc import Iterator
from contextlib import contextmanager

from controlplane.core.errors import InvalidError, UnavailableError
from shared.blobs.errors import BlobOutsideError, BlobStoreError


@contextmanager
def map_blob_errors() -> Iterator[None]:
    """Raise InvalidError or UnavailableError in place of an error of the blob store."""
    try:
        yield
    except BlobOutsideError as error:
        raise InvalidError(str(error)) from error
    except BlobStoreError as error:
        raise UnavailableError(str(error)) from error
