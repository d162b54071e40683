"""We test that inputs become the files that raw containers expect, from every kind of store."""

import json
import os
from datetime import UTC, datetime, timedelta

import pytest
import yaml
from flyteidl2.core.literals_pb2 import Binary, KeyValuePair, Literal, Scalar
from flyteidl2.core.types_pb2 import INTEGER
from flyteidl2.task.common_pb2 import Inputs, NamedLiteral
from google.protobuf.struct_pb2 import Struct

from tests.integration.copilot import literals
from tests.integration.copilot.literals import dict_of, file, list_of, primitive
from tests.integration.copilot.pods import Pod

MIB = 1024 * 1024
NOON = datetime(2026, 1, 2, 12, 0, 0, 500_000, tzinfo=UTC)


async def test_simple_values_are_files_of_text(pod: Pod) -> None:
    tree = Struct()
    tree.update({"a": [1, "b"]})
    await pod.give(
        whole=primitive(-7),
        share=primitive(0.25),
        large=primitive(1e22),
        word=primitive("zwei\nWörter "),
        yes=primitive(True),
        at=primitive(NOON),
        took=primitive(timedelta(hours=1, minutes=2, seconds=3.5)),
        nothing=literals.NONE_LITERAL,
        perhaps=literals.union(primitive(3), literals.simple(INTEGER)),
        raw=Literal(scalar=Scalar(binary=Binary(value=b"\0\1"))),
        tree=Literal(scalar=Scalar(generic=tree)),
    )

    ended = await pod.download()

    assert ended.code == 0, ended.output
    texts = {path.name: path.read_bytes() for path in pod.inputs_at.iterdir() if path.suffix == ""}
    assert texts == {
        "whole": b"-7",
        "share": b"0.25",
        "large": b"10000000000000000000000",
        "word": "zwei\nWörter ".encode(),
        "yes": b"true",
        "at": b"2026-01-02T12:00:00.500Z",
        "took": b"1h2m3.5s",
        "nothing": b"null",
        "perhaps": b"3",
        "raw": b"\0\1",
        "tree": b'{"a": [1, "b"]}',
    }
    assert json.loads((pod.inputs_at / "inputs.json").read_text()) == {
        "whole": -7,
        "share": 0.25,
        "large": 1e22,
        "word": "zwei\nWörter ",
        "yes": True,
        "at": "2026-01-02T12:00:00.500Z",
        "took": "1h2m3.5s",
        "nothing": None,
        "perhaps": 3,
        "raw": "AAE=",
        "tree": {"a": [1, "b"]},
    }


async def test_lists_and_dicts_are_directories(pod: Pod) -> None:
    await pod.give(
        xs=list_of(primitive(5), primitive(6)),
        none=list_of(),
        m=dict_of(a=primitive("A"), b=list_of(primitive(1))),
    )

    assert (await pod.download()).code == 0

    assert _tree(pod) == {
        "xs/0": b"5",
        "xs/1": b"6",
        "none/": b"",
        "m/a": b"A",
        "m/b/0": b"1",
    }


@pytest.mark.parametrize(
    ("form", "name"), [("JSON", "inputs.json"), ("YAML", "inputs.yaml"), ("PROTO", "inputs.pb")]
)
async def test_all_inputs_are_one_document_as_well(pod: Pod, form: str, name: str) -> None:
    await pod.give(
        n=primitive(float("nan")), f=file(await pod.put("there/x.bin", b"x")), s=primitive("1e5: y")
    )

    assert (await pod.download(inputs={"format": form})).code == 0

    document = (pod.inputs_at / name).read_bytes()
    path = str(pod.inputs_at / "f")
    if form == "PROTO":
        assert not (pod.inputs_at / "inputs.json").exists()
        named = Inputs.FromString(document).literals
        assert [each.name for each in named] == ["n", "f", "s"]
        assert named[1].value.scalar.blob.uri == path
    else:
        read = json.loads(document) if form == "JSON" else yaml.safe_load(document)
        assert read == {"n": "NaN", "f": path, "s": "1e5: y"}


async def test_files_and_directories_come_from_any_store(any_pod: Pod) -> None:
    pod = any_pod
    odd = pod.signer.bucket.odd
    large = os.urandom(40 * MIB + 3)
    await pod.give(
        f=file(await pod.put(f"there/a{odd}.txt", b"content")),
        empty=file(await pod.put("there/empty", b"")),
        large=file(await pod.put("there/large", large)),
        d=literals.directory(pod.uri("folder/")),
        dirs=list_of(literals.directory(pod.uri("folder"))),
    )
    for number in range(5):
        await pod.put(f"folder/deep{odd}{number}/er/file", b"%d" % number)
    await pod.put("folder2/not", b"this one")

    ended = await pod.download()

    assert ended.code == 0, ended.output
    assert (pod.inputs_at / "large").read_bytes() == large
    (pod.inputs_at / "large").unlink()
    folder = {f"deep{odd}{number}/er/file": b"%d" % number for number in range(5)}
    assert _tree(pod) == {
        "f": b"content",
        "empty": b"",
        **{f"d/{name}": body for name, body in folder.items()},
        **{f"dirs/0/{name}": body for name, body in folder.items()},
    }


async def test_files_keep_their_names_if_asked_to(pod: Pod) -> None:
    one, two = await pod.put("a/reads.fq.gz", b"1"), await pod.put("b/reads.fq.gz", b"2")
    await pod.give(
        single=file(one),
        many=list_of(file(one), file(two), file(await pod.put("c/x", b"3"))),
        keyed=dict_of(k=file(two)),
        number=primitive(1),
        d=literals.directory(pod.uri("a")),
    )

    assert (await pod.download(inputs={"layout": "NAMED_DIR"})).code == 0

    assert _tree(pod) == {
        "single/reads.fq.gz": b"1",
        "many/reads.fq.gz": b"1",
        "many/1_reads.fq.gz": b"2",
        "many/x": b"3",
        "keyed/k/reads.fq.gz": b"2",
        "number": b"1",
        "d/reads.fq.gz": b"1",
    }


async def test_the_runs_start_fills_the_variable_that_asks_for_it(pod: Pod) -> None:
    context = [KeyValuePair(key="_u_kickoff_time_input_arg", value="at")]
    given = [NamedLiteral(name="at", value=literals.NONE_LITERAL)]
    await pod.give_message(Inputs(literals=given, context=context))

    assert (await pod.download(inputs={"run_started_at": NOON.isoformat()})).code == 0

    assert (pod.inputs_at / "at").read_text() == "2026-01-02T12:00:00.500Z"


async def test_many_files_are_asked_for_in_batches(pod: Pod) -> None:
    for number in range(600):
        await pod.put(f"many/{number}", b"%d" % number)
    await pod.give(d=literals.directory(pod.uri("many")))

    assert (await pod.download()).code == 0

    assert {name: int(body) for name, body in _tree(pod).items()} == {
        f"d/{number}": number for number in range(600)
    }
    assert pod.signer.faults.asked == {"get": 4, "list": 2}


def _tree(pod: Pod) -> dict[str, bytes]:
    """Files by path, and empty directories with a slash; without the documents."""
    found = {}
    for path in pod.inputs_at.rglob("*"):
        name = str(path.relative_to(pod.inputs_at))
        if path.is_dir() and not any(path.iterdir()):
            found[f"{name}/"] = b""
        elif path.is_file() and not name.startswith("inputs."):
            found[name] = path.read_bytes()
    return found
