"""We test that what a task leaves becomes outputs.pb and blobs, in every kind of store."""

import asyncio
import os
from datetime import UTC, datetime, timedelta
from math import isnan

import pytest
from flyteidl2.core.literals_pb2 import Literal
from flyteidl2.core.types_pb2 import (
    BINARY,
    BOOLEAN,
    DATETIME,
    DURATION,
    FLOAT,
    INTEGER,
    NONE,
    STRING,
    STRUCT,
    EnumType,
    LiteralType,
    StructuredDatasetType,
)

from tests.integration.copilot.buckets import S3Bucket
from tests.integration.copilot.literals import (
    DIRECTORY_TYPE,
    FILE_TYPE,
    optional,
    primitive,
    simple,
    union,
)
from tests.integration.copilot.pods import Pod

MIB = 1024 * 1024


async def test_files_of_text_are_simple_values(pod: Pod) -> None:
    left = {
        "whole": (simple(INTEGER), " -7\n", primitive(-7)),
        "share": (simple(FLOAT), "1.5e3\n", primitive(1500.0)),
        "word": (simple(STRING), " as it is\n", primitive(" as it is\n")),
        "yes": (simple(BOOLEAN), "True\n", primitive(True)),
        "at": (
            simple(DATETIME),
            "2026-01-02T03:04:05.678+01:00\n",
            primitive(datetime(2026, 1, 2, 2, 4, 5, 678_000, tzinfo=UTC)),
        ),
        "took": (simple(DURATION), "1 day, 0:00:01.5", primitive(timedelta(days=1, seconds=1.5))),
        "colour": (
            LiteralType(enum_type=EnumType(values=["red", "blue"])),
            "red\n",
            primitive("red"),
        ),
        "perhaps": (
            optional(simple(INTEGER, "int")),
            "5",
            union(primitive(5), simple(INTEGER, "int")),
        ),
    }
    pod.outputs_wanted = {name: kind for name, (kind, _, _) in left.items()}
    for name, (_, text, _) in left.items():
        pod.leave(name, text)

    ended = await pod.sidecar()

    assert ended.code == 0, ended.output
    assert await pod.shipped() == {name: literal for name, (_, _, literal) in left.items()}
    assert list(await pod.shipped()) == list(left), "the interface's order is kept"
    assert await pod.error() is None


async def test_other_values_have_files_too(pod: Pod) -> None:
    pod.outputs_wanted = {
        "tree": simple(STRUCT),
        "raw": simple(BINARY),
        "void": simple(NONE),
        "absent": optional(simple(STRING)),
        "n": simple(FLOAT),
    }
    pod.leave("tree", '{"a": [1, null]}')
    pod.leave("raw", b"\0\xff")
    pod.leave("n", "nan")

    assert (await pod.sidecar()).code == 0

    shipped = await pod.shipped()
    assert shipped["raw"].scalar.binary.value == b"\0\xff"
    assert shipped["tree"].scalar.generic["a"][0] == 1
    assert shipped["void"].scalar.HasField("none_type")
    assert shipped["absent"].scalar.union.value.scalar.HasField("none_type")
    assert shipped["absent"].scalar.union.type == simple(NONE, "none")
    assert isnan(shipped["n"].scalar.primitive.float_value)


async def test_lists_and_dicts_are_directories_or_json(pod: Pod) -> None:
    pod.outputs_wanted = {
        "xs": LiteralType(collection_type=simple(INTEGER)),
        "ys": LiteralType(collection_type=optional(simple(STRING))),
        "m": LiteralType(map_value_type=LiteralType(collection_type=simple(FLOAT))),
        "k": LiteralType(map_value_type=simple(BOOLEAN)),
        "files": LiteralType(collection_type=FILE_TYPE),
        "none": LiteralType(collection_type=FILE_TYPE),
    }
    for number in (10, 9, 0, 1):
        pod.leave(f"xs/{number}", str(number))
    pod.leave("ys", '["a", null]')
    pod.leave("m", '{"b": [1, 2.5], "a": []}')
    pod.leave("k/no", "false")
    pod.leave("files/0", "zero")
    (pod.outputs_at / "none").mkdir()

    ended = await pod.sidecar()

    assert ended.code == 0, ended.output
    shipped = await pod.shipped()
    assert [_value(each) for each in shipped["xs"].collection.literals] == [0, 1, 9, 10]
    ys = [each.scalar.union.value for each in shipped["ys"].collection.literals]
    assert _value(ys[0]) == "a"
    assert ys[1].scalar.HasField("none_type")
    assert [_value(each) for each in shipped["m"].map.literals["b"].collection.literals] == [1, 2.5]
    assert _value(shipped["k"].map.literals["no"]) is False
    [file] = shipped["files"].collection.literals
    assert file.scalar.blob.uri == pod.uri("a0/1/raw/files/0")
    assert await pod.get("a0/1/raw/files/0") == b"zero"
    assert len(shipped["none"].collection.literals) == 0


async def test_files_and_directories_go_to_any_store(any_pod: Pod) -> None:
    pod = any_pod
    odd = pod.signer.bucket.odd
    pod.outputs_wanted = {
        "f": FILE_TYPE,
        "empty": FILE_TYPE,
        "large": FILE_TYPE,
        "d": DIRECTORY_TYPE,
        "t": LiteralType(structured_dataset_type=StructuredDatasetType(format="parquet")),
    }
    pod.leave("f", "content")
    pod.leave("empty", b"")
    large = os.urandom(23 * MIB + 1)
    pod.leave("large", large)
    pod.leave(f"d/de{odd}ep/er/x", "1")
    pod.leave("d/y", "2")
    pod.leave("t/00000", "rows")

    ended = await pod.sidecar()

    assert ended.code == 0, ended.output
    assert await pod.get("a0/1/raw/f") == b"content"
    assert await pod.get("a0/1/raw/empty") == b""
    assert await pod.get("a0/1/raw/large") == large
    assert await pod.get(f"a0/1/raw/d/de{odd}ep/er/x") == b"1"
    assert await pod.get("a0/1/raw/d/y") == b"2"
    shipped = await pod.shipped()
    assert shipped["d"].scalar.blob.metadata.type == DIRECTORY_TYPE.blob
    assert shipped["d"].scalar.blob.uri == pod.uri("a0/1/raw/d")
    assert shipped["t"].scalar.structured_dataset.uri == pod.uri("a0/1/raw/t")
    parted = pod.signer.faults.asked["complete"]
    assert parted == (0 if pod.uri("").startswith("file:") else 1)


async def test_uploaded_outputs_can_be_downloaded_as_inputs(pod: Pod) -> None:
    pod.outputs_wanted = {"d": DIRECTORY_TYPE, "n": LiteralType(collection_type=simple(DURATION))}
    pod.leave("d/a/b", "c")
    pod.leave("n/0", "-1.5h")
    assert (await pod.sidecar()).code == 0

    body = await pod.get("a0/1/outputs.pb")
    assert body
    await pod.put("a0/inputs.pb", body)
    assert (await pod.download()).code == 0

    assert (pod.inputs_at / "d/a/b").read_text() == "c"
    assert (pod.inputs_at / "n/0").read_text() == "-1h30m0s"


async def test_a_task_without_outputs_has_an_empty_document(pod: Pod) -> None:
    assert (await pod.sidecar()).code == 0
    assert await pod.get("a0/1/outputs.pb") == b""


async def test_the_mark_of_success_is_enough(pod: Pod) -> None:
    pod.outputs_wanted = {"x": simple(INTEGER)}
    async with pod.running_sidecar(stay=False) as sidecar:
        pod.leave("x", "1")
        pod.leave("_SUCCESS", "")
        async with asyncio.timeout(60):
            assert await sidecar.wait() == 0
    assert await pod.shipped() == {"x": primitive(1)}


async def test_native_sidecar_stays_until_sigterm(pod: Pod) -> None:
    async with pod.running_sidecar() as sidecar:
        pod.leave("_SUCCESS", "")
        async with asyncio.timeout(60):
            while await pod.get("a0/1/outputs.pb") is None:  # noqa: ASYNC110 - in a process
                await asyncio.sleep(0.01)
        assert sidecar.returncode is None
        sidecar.terminate()
        async with asyncio.timeout(60):
            assert await sidecar.wait() == 0
    assert pod.signer.faults.asked["put"] == 1, "what was shipped is not shipped again"


@pytest.mark.parametrize(
    ("output", "code", "message", "recoverable"),
    [
        ("it broke\n", "UserError", "it broke", True),
        ('{"message": "no", "code": "Bad", "recoverable": false}', "Bad", "no", False),
        ('{"other": 1}', "UserError", '{"other": 1}', True),
        ("", "UserError", "the task failed; its _ERROR file has no message", True),
    ],
)
async def test_error_file_of_the_task_becomes_error_pb(
    pod: Pod,
    output: str,
    code: str,
    message: str,
    recoverable: bool,  # noqa: FBT001
) -> None:
    pod.outputs_wanted = {"x": simple(INTEGER)}
    pod.leave("_ERROR", output)

    ended = await pod.sidecar()

    assert ended.code == 0, ended.output
    error = await pod.error()
    assert error is not None
    assert (error.code, error.message, error.kind) == (code, message, int(recoverable))
    assert error.origin == 1, "the user's"
    assert await pod.get("a0/1/outputs.pb") is None


async def test_a_large_upload_that_fails_leaves_no_parts(s3_pod: Pod) -> None:
    pod = s3_pod
    pod.outputs_wanted = {"large": FILE_TYPE, "other": FILE_TYPE}
    pod.leave("large", os.urandom(23 * MIB))
    pod.leave("other", b"x")
    pod.signer.faults.refused.add(pod.uri("a0/1/raw/large/parts"))

    ended = await pod.sidecar()

    assert ended.code == 1, ended.output
    assert pod.signer.faults.asked["abandon"] == 1
    assert isinstance(pod.signer.bucket, S3Bucket)
    assert await pod.signer.bucket.uploads() == []
    assert await pod.get("a0/1/outputs.pb") is None
    error = await pod.error()
    assert error is not None
    assert "as planned" in error.message
    assert error.origin == 2, "the system's"


def _value(literal: Literal) -> object:
    primitive = literal.scalar.primitive
    return getattr(primitive, primitive.WhichOneof("value"))
