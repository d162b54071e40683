"""Uploads as the SDK makes them: request a location, PUT, use the URI."""

import asyncio
import hashlib
from base64 import b64encode
from datetime import timedelta

import httpx
import pytest
from flyteidl2.dataproxy.dataproxy_service_pb2 import (
    CreateUploadLocationRequest,
    CreateUploadLocationResponse,
)

from controlplane.core.errors import AlreadyExistsError, InvalidError, NotFoundError
from tests.contract.blobs.world import CALLER, World

BODY = b"a bundle of code"


def md5_of(body: bytes) -> bytes:
    return hashlib.md5(body, usedforsecurity=False).digest()


def make_request(
    body: bytes = BODY,
    *,
    project: str = "p",
    domain: str = "development",
    filename: str = "fast.tar.gz",
    root: str = "",
    length: int = 0,
    expires_in: timedelta = timedelta(0),
) -> CreateUploadLocationRequest:
    return CreateUploadLocationRequest(
        project=project,
        domain=domain,
        content_md5=md5_of(body),
        filename=filename,
        filename_root=root,
        content_length=length,
        expires_in=expires_in,
    )


async def put(
    world: World, location: CreateUploadLocationResponse, body: bytes = BODY
) -> httpx.Response:
    """Send the headers that the SDK sends."""
    headers = {
        **location.headers,
        "Content-Length": str(len(body)),
        "Content-MD5": b64encode(md5_of(body)).decode(),
    }
    return await world.http.put(location.signed_url, content=body, headers=headers)


async def test_upload_location_is_derived_from_md5(world: World) -> None:
    location = await world.proxy.create_upload_location(CALLER, make_request())
    answer = await put(world, location)

    assert answer.is_success, answer.text
    by_md5 = location.native_url.split("/")[-2]
    uri = f"{world.own}/uploads/p/development/{by_md5}/fast.tar.gz"
    assert location.native_url == world.blobs.native(uri)
    assert await world.blobs.read(uri, limit=100) == BODY


async def test_upload_of_same_file_has_same_location(world: World) -> None:
    first = await world.proxy.create_upload_location(CALLER, make_request())
    second = await world.proxy.create_upload_location(CALLER, make_request())

    assert first.native_url == second.native_url
    async with asyncio.TaskGroup() as tasks:
        answers = [tasks.create_task(put(world, each)) for each in (first, second)]
    assert all(answer.result().is_success for answer in answers)
    assert await world.blobs.read(world.blobs.uri_of_native(first.native_url), limit=100) == BODY


async def test_upload_of_directory_shares_a_prefix(world: World) -> None:
    request = make_request(root="b7e1", filename="part.csv")
    location = await world.proxy.create_upload_location(CALLER, request)
    await put(world, location)

    assert location.native_url.endswith("/b7e1/part.csv")
    await world.proxy.create_upload_location(CALLER, request)  # the same again
    with pytest.raises(AlreadyExistsError, match=r"part\.csv exists already"):
        await world.proxy.create_upload_location(
            CALLER, make_request(b"another", root="b7e1", filename="part.csv")
        )


async def test_upload_of_same_name_concurrently_keeps_both_files(world: World) -> None:
    bodies = [b"one", b"another"]
    locations = [
        await world.proxy.create_upload_location(
            CALLER, make_request(body, root="b7e1", filename="__init__.py")
        )
        for body in bodies
    ]

    async with asyncio.TaskGroup() as tasks:
        puts = [
            tasks.create_task(put(world, location, body))
            for location, body in zip(locations, bodies, strict=True)
        ]

    [_, refused] = sorted(each.result().status_code for each in puts)
    assert refused in {409, 412}  # Azure says that there is a conflict
    kept = await world.blobs.read(world.blobs.uri_of_native(locations[0].native_url), limit=100)
    assert puts[bodies.index(kept)].result().is_success


async def test_upload_without_filename_is_named_by_md5(world: World) -> None:
    location = await world.proxy.create_upload_location(CALLER, make_request(filename=""))

    assert location.native_url.split("/")[-1] == location.native_url.split("/")[-2]


async def test_upload_link_rejects_other_content(world: World) -> None:
    location = await world.proxy.create_upload_location(CALLER, make_request())

    answer = await world.http.put(
        location.signed_url, content=b"something else", headers=location.headers
    )

    assert answer.status_code == 400
    assert not await world.blobs.exists(world.blobs.uri_of_native(location.native_url))


async def test_altered_link_is_rejected(world: World) -> None:
    location = await world.proxy.create_upload_location(CALLER, make_request())
    link = location.signed_url

    headers = location.headers
    elsewhere = await world.http.put(
        link.replace("/fast.tar.gz", "/slow.tar.gz"), content=BODY, headers=headers
    )
    read = await world.http.get(link)
    unsigned = await world.http.put(link.split("?", maxsplit=1)[0], content=BODY, headers=headers)

    assert [answer.status_code for answer in (elsewhere, read, unsigned)] == [403] * 3


async def test_expired_link_is_rejected(world: World) -> None:
    location = await world.proxy.create_upload_location(
        CALLER, make_request(expires_in=timedelta(seconds=1))
    )

    async with asyncio.timeout(60):
        while (await put(world, location)).status_code != 403:
            pass


async def test_upload_link_expires_after_15_minutes_by_default(world: World) -> None:
    usual = await world.proxy.create_upload_location(CALLER, make_request())
    short = await world.proxy.create_upload_location(
        CALLER, make_request(expires_in=timedelta(minutes=1))
    )

    apart = usual.expires_at.ToDatetime() - short.expires_at.ToDatetime()
    assert timedelta(minutes=13) < apart < timedelta(minutes=15)


@pytest.mark.parametrize("name", ["../a", "/etc/passwd", "a/../../b", "a//b", "a\nb", ".."])
async def test_upload_rejects_traversal_in_names(world: World, name: str) -> None:
    for request in (make_request(filename=name), make_request(root=name)):
        with pytest.raises(InvalidError):
            await world.proxy.create_upload_location(CALLER, request)


async def test_upload_rejects_invalid_requests_with_a_reason(world: World) -> None:
    short = make_request()
    short.content_md5 = b"short"
    for request, reason in (
        (short, "5 bytes; give the 16 bytes"),
        (make_request(expires_in=timedelta(hours=2)), "at most 1:00:00"),
        (make_request(length=6 * 1024**3), "one upload takes at most"),
        (make_request(filename="x" * 3000), "filename: must be at most"),
    ):
        with pytest.raises(InvalidError, match=reason):
            await world.proxy.create_upload_location(CALLER, request)


async def test_upload_requires_existing_project_and_domain(world: World) -> None:
    with pytest.raises(NotFoundError, match="project nowhere not found"):
        await world.proxy.create_upload_location(CALLER, make_request(project="nowhere"))
    with pytest.raises(NotFoundError, match="domain nowhere"):
        await world.proxy.create_upload_location(CALLER, make_request(domain="nowhere"))
