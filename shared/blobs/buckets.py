"""Opens a bucket of each kind of store, with what signs its links."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import obstore
from obstore.store import AzureStore, GCSStore, S3Store

from shared.blobs.azure.identity import AzureIdentity, account_key
from shared.blobs.azure.links import AzureLinks
from shared.blobs.gcs.identity import GcsIdentity, key_file
from shared.blobs.gcs.links import ENDPOINT, GcsLinks
from shared.blobs.options import AzureOptions, GcsOptions, S3Options, StoreOptions
from shared.blobs.signing import IF_ABSENT, LinkSigner, Verb
from shared.kit.clock import Clock

if TYPE_CHECKING:  # obstore has these for type checkers only
    from obstore.store import AzureConfig, ClientConfig, GCSConfig, RetryConfig, S3Config

_S3_ENDPOINTS = ("AWS_ENDPOINT", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3")
_CLIENT: "ClientConfig" = {
    "connect_timeout": timedelta(seconds=5),
    "read_timeout": timedelta(seconds=30),
    "timeout": timedelta(hours=1),  # of a whole body; read_timeout ends a stalled one
}
_RETRY: "RetryConfig" = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}
_NONE: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Bucket:
    store: S3Store | GCSStore | AzureStore
    links: LinkSigner
    # Whether it lists by the bytes of names, and resumes after one. Some S3-compatible stores do
    # not ("a-" may come after "a/b"), and Azure's accounts with directories do not: resuming a
    # listing after a path would miss blobs there.
    is_in_order: bool


def open_bucket(scheme: str, name: str, options: StoreOptions, clock: Clock) -> Bucket | None:
    """
    Return the bucket, which is not contacted; None if no store has this scheme.

    ValueError if the options and the environment do not say enough, or are unusable.
    """
    match scheme:
        case "s3":
            return _open_s3(name, options.s3)
        case "gs":
            return _open_gcs(name, options.gcs, clock)
        case "abfs":
            return _open_azure(name, options.azure, clock)
        case _:
            return None


class S3Links:
    """Links that obstore signs."""

    def __init__(self, store: S3Store) -> None:
        self._store = store

    async def sign(self, verb: Verb, key: str, expires: timedelta, *, replace: bool = True) -> str:  # noqa: ARG002 -- S3 heeds the header, signed or not
        return await obstore.sign_async(self._store, verb, key, expires)

    def put_headers(self, *, replace: bool) -> Mapping[str, str]:
        return _NONE if replace else IF_ABSENT


def _open_s3(name: str, options: S3Options) -> Bucket:
    config: S3Config = {"virtual_hosted_style_request": not options.path_style}
    if options.endpoint:
        config["endpoint"] = options.endpoint
    if options.region:
        config["region"] = options.region
    if options.access_key:
        config["access_key_id"] = options.access_key
    if options.secret_key:
        config["secret_access_key"] = options.secret_key.reveal()
    if options.session_token:
        config["session_token"] = options.session_token.reveal()
    store = S3Store(
        name,
        config=config,
        client_options=_client(options.allow_http, "AWS_ALLOW_HTTP"),
        retry_config=_RETRY,
    )
    named = any(os.environ.get(name) for name in _S3_ENDPOINTS)
    return Bucket(store, S3Links(store), is_in_order=not named and not store.config.get("endpoint"))


def _open_gcs(name: str, options: GcsOptions, clock: Clock) -> Bucket:
    endpoint = (options.endpoint or os.environ.get("GOOGLE_BASE_URL", "")).rstrip("/")
    config: GCSConfig = {}
    if endpoint:
        config["base_url"] = endpoint
    if file := key_file(options, os.environ):
        # As application credentials they may be a person's too, which obstore understands.
        config["service_account" if options.credentials_file else "application_credentials"] = file
    store = GCSStore(
        name,
        config=config,
        client_options=_client(options.allow_http, "GOOGLE_ALLOW_HTTP"),
        retry_config=_RETRY,
    )
    links = GcsLinks(
        bucket=name,
        endpoint=endpoint or ENDPOINT,
        identity=GcsIdentity(options, clock),
        clock=clock,
    )
    return Bucket(store, links, is_in_order=not endpoint)


def _open_azure(name: str, options: AzureOptions, clock: Clock) -> Bucket:
    account = options.account or os.environ.get("AZURE_STORAGE_ACCOUNT_NAME", "")
    if not account:
        raise ValueError(
            f"abfs://{name} is a container of a storage account, and none is named; set"
            " VOLARY_AZURE_ACCOUNT, in agents AZURE_STORAGE_ACCOUNT_NAME"
        )
    endpoint = (
        options.endpoint
        or os.environ.get("AZURE_STORAGE_ENDPOINT", "")
        or f"https://{account}.blob.core.windows.net"
    ).rstrip("/")
    config: AzureConfig = {"account_name": account, "endpoint": endpoint}
    if key := account_key(options, os.environ):
        config["account_key"] = key
    store = AzureStore(
        name,
        config=config,
        client_options=_client(options.allow_http, "AZURE_ALLOW_HTTP"),
        retry_config=_RETRY,
    )
    links = AzureLinks(
        account=account,
        container=name,
        endpoint=endpoint,
        identity=AzureIdentity(options, endpoint, clock),
        clock=clock,
    )
    return Bucket(store, links, is_in_order=False)


def _client(allow_http: bool, variable: str) -> "ClientConfig":  # noqa: FBT001
    # obstore reads this from the environment only where no client options are given.
    allowed = os.environ.get(variable, "").lower() in {"1", "true"}
    return {**_CLIENT, "allow_http": allow_http or allowed}
