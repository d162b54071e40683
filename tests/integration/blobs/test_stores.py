"""Stores that cannot be opened or reached, and the special rules of directory stores."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import obstore
import pytest

from shared.blobs.errors import BlobOutsideError, BlobStoreError
from shared.blobs.options import S3Options
from shared.blobs.store import open_store
from shared.kit.secrets import SecretText
from tests.servers.seaweed import S3ForTests

SECRET = "hush-hush"  # noqa: S105


@pytest.mark.parametrize(
    "base",
    [
        *("", "/srv/blobs", "file:///", "file://host/dir", "file:relative", "s3://", "s3:///x"),
        *(
            "gs://",
            "az://container",
            "abfss://c@account.dfs.core.windows.net/x",
            "http://host/dir",
            "s3://bucket/../a",
            "file:///a//b",
            "file:///a/./b",
        ),
    ],
)
def test_open_store_rejects_invalid_base(base: str) -> None:
    with pytest.raises(ValueError, match=r"is no blob store|empty, '\.' or '\.\.' part"):
        open_store(base)


def test_open_store_creates_the_directory(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}/a/b/")

    assert (tmp_path / "a/b").is_dir()
    assert store.base == f"file://{tmp_path}/a/b"
    assert not store.signs


def test_open_store_names_directory_it_cannot_create(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(
        BlobStoreError, match=r"cannot create the directory of file://.*/file/blobs"
    ):
        open_store(f"file://{tmp_path}/file/blobs")


def test_store_repr_hides_secrets() -> None:
    options = S3Options(
        access_key="known", secret_key=SecretText(SECRET), session_token=SecretText(SECRET)
    )

    assert SECRET not in repr(options)
    assert SECRET not in repr(open_store("s3://bucket/x", options))


async def test_directory_store_allows_symlink_only_above_its_root(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "real")
    (tmp_path / "real/way").symlink_to(tmp_path)
    store = open_store(f"file://{tmp_path}/root")

    await store.write(store.uri("a"), b"here")

    assert (tmp_path / "real/a").read_bytes() == b"here"
    with pytest.raises(BlobOutsideError, match="symbolic link"):
        await store.write(store.uri("way/b"), b"there")
    with pytest.raises(BlobOutsideError, match="symbolic link"):
        await store.read(store.uri("way/real/a"), limit=9)


async def test_directory_store_does_not_read_directories(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}")
    await store.write(store.uri("org/a"), b"")

    assert not await store.exists(store.uri("org"))
    with pytest.raises(BlobStoreError, match="could not write"):
        await store.write(store.uri("org"), b"")
    with pytest.raises(BlobStoreError, match="could not write"):
        await store.write(store.uri("org/a/b"), b"")


async def test_directory_store_signs_no_links(tmp_path: Path) -> None:
    store = open_store(f"file://{tmp_path}")

    assert await store.sign_get(store.uri("a"), timedelta(minutes=1)) is None
    assert await store.sign_put(store.uri("a"), timedelta(minutes=1)) is None


async def test_store_unreachable_is_named() -> None:
    options = S3Options(
        endpoint="http://127.0.0.1:1",
        region="us-east-1",
        access_key="known",
        secret_key=SecretText(SECRET),
        allow_http=True,
    )
    store = open_store("s3://bucket/x", options)

    with pytest.raises(BlobStoreError, match="could not read s3://bucket/x/a") as failure:
        await store.read(store.uri("a"), limit=1)
    assert SECRET not in str(failure.value)


async def test_store_access_denied_is_reported(s3_server: S3ForTests) -> None:
    store = open_store(
        s3_server.new_base(), replace(s3_server.options, secret_key=SecretText(SECRET))
    )

    with pytest.raises(BlobStoreError, match="403 Forbidden"):
        await store.write(store.uri("a"), b"")
    with pytest.raises(BlobStoreError):
        await store.exists(store.uri("a"))


async def test_blobs_are_all_deleted_though_another_process_deletes_one_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other is quicker by one blob: between the listing of a page and its deletion."""
    store = open_store(f"file://{tmp_path}/blobs")
    for number in range(40):
        await store.write(store.uri(f"run/{number}"), b"x")
    await store.write(store.uri("run0"), b"another's")
    delete_page = obstore.delete_async
    taken: list[str] = []

    async def delete_after_another(of: Any, paths: list[str]) -> None:
        if not taken:
            taken.append(paths[0])
            await delete_page(of, paths[0])
        await delete_page(of, paths)

    monkeypatch.setattr(obstore, "delete_async", delete_after_another)
    assert [count async for count in store.delete_below(store.uri("run"))]
    assert taken
    assert not list((tmp_path / "blobs/run").glob("*"))
    assert await store.exists(store.uri("run0"))
