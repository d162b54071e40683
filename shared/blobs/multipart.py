"""Chooses the kind of multipart upload that a store has."""

from collections.abc import Callable
from datetime import datetime

from shared.blobs.azure.links import AzureLinks
from shared.blobs.azure.uploads import BlockUploads
from shared.blobs.gcs.links import GcsLinks
from shared.blobs.keys import AccessKeys
from shared.blobs.store import BlobStore
from shared.blobs.uploads import Uploads
from shared.blobs.xml_uploads import GcsRequests, S3Requests, XmlUploads


def open_uploads(store: BlobStore, keys: AccessKeys, now: Callable[[], datetime]) -> Uploads:
    """Return the uploads to ``store``; ``keys`` and ``now`` are used to sign those to S3."""
    match store.links:
        case AzureLinks() as links:
            return BlockUploads(store, links)
        case GcsLinks() as links:
            return XmlUploads(store, GcsRequests(store, links))
        case _:
            return XmlUploads(store, S3Requests(store, keys, now))
