"""Links for copilots: the real one, over a real S3 server, with a pod's token and no key."""

import asyncio
import json
import os
import sys
from base64 import b64encode
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from flyteidl2.core.interface_pb2 import VariableMap
from flyteidl2.core.types_pb2 import BlobType, LiteralType, SimpleType
from flyteidl2.task.common_pb2 import Inputs, Outputs

from shared.blobs.store import BlobStore, open_store
from tests.kube.api.proxy.control import Control
from tests.kube.api.proxy.world import Pod, World, world
from tests.kube.controlplane import KubeForTests
from tests.servers.seaweed import S3ForTests

_LARGE = 70 * 2**20


@dataclass(slots=True)
class Scene:
    here: World
    pod: Pod
    store: BlobStore
    home: Path

    async def ask(self, verb: str, question: object, token: str = "") -> tuple[int, Any]:
        async with httpx.AsyncClient(verify=self.here.trust(), trust_env=False) as http:
            answer = await http.post(
                f"{self.here.url}/copilot/{verb}",
                json=question,
                headers={"authorization": f"Bearer {token or self.pod.token}"},
            )
        good = answer.status_code == 200
        return answer.status_code, answer.json() if good else answer.text

    async def copilot(self, command: str, interface: VariableMap) -> None:
        """Run the copilot as the kubelet would; AssertionError unless it ends well."""
        output = self.pod.assignment
        (self.home / "token").write_text(self.pod.token)
        handoff = {
            "links": {
                "endpoint": f"{self.here.url}/copilot",
                "token_file": str(self.home / "token"),
                "ca_file": str(self.here.ca_file),
            },
            "inputs": {"uri": output.input_uri, "path": str(self.home / "in")},
            "outputs": {
                "prefix": output.output_prefix,
                "raw_prefix": output.raw_data_prefix,
                "path": str(self.home / "out"),
                "interface": b64encode(interface.SerializeToString()).decode(),
            },
            "stay": False,
        }
        file = self.home / f"{command}.json"
        file.write_text(json.dumps(handoff))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "dataplane.copilot", command, "--handoff", str(file)),
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.environ["PATH"]},
        )
        async with asyncio.timeout(60):
            _, words = await process.communicate()
        assert process.returncode == 0, words.decode()


@pytest.fixture
async def scene(
    kube_api: KubeForTests, control: Control, s3_server: S3ForTests, tmp_path: Path
) -> AsyncIterator[Scene]:
    store = open_store(s3_server.new_base(), s3_server.options)
    await store.write(store.uri("first"), b"makes the bucket")
    async with world(kube_api, tmp_path, control.url, s3=s3_server.options) as here:
        yield Scene(here, await here.pod(base=store.base), store, tmp_path)


async def test_signed_links_transfer_inputs_and_outputs(scene: Scene) -> None:
    upload = scene.store.uri("local/uploads/flytesnacks/development/data.bin")
    directory = scene.store.uri("local/uploads/flytesnacks/development/directory")
    await scene.store.write(upload, b"uploaded")
    for name in ("a", "b/c"):
        await scene.store.write(f"{directory}/{name}", name.encode())
    inputs = Inputs()
    inputs.literals.add(name="n").value.scalar.primitive.integer = 7
    inputs.literals.add(name="file").value.scalar.blob.uri = upload
    tree = inputs.literals.add(name="tree").value.scalar.blob
    tree.uri = directory
    tree.metadata.type.dimensionality = BlobType.MULTIPART
    await scene.store.write(scene.pod.assignment.input_uri, inputs.SerializeToString())

    await scene.copilot("download", VariableMap())

    assert (scene.home / "in/n").read_text().strip() == "7"
    assert (scene.home / "in/file").read_bytes() == b"uploaded"
    assert (scene.home / "in/tree/b/c").read_bytes() == b"b/c"

    left = scene.home / "out"
    left.mkdir()
    (left / "words").write_text("as said")
    large = os.urandom(1024) * (_LARGE // 1024)
    (left / "large").write_bytes(large)
    (left / "_SUCCESS").write_bytes(b"")
    interface = VariableMap()
    interface.variables.add(key="words").value.type.CopyFrom(LiteralType(simple=SimpleType.STRING))
    interface.variables.add(key="large").value.type.CopyFrom(LiteralType(blob=BlobType()))
    await scene.copilot("sidecar", interface)

    prefix = scene.pod.assignment.output_prefix
    body = await scene.store.read(f"{prefix}/outputs.pb", limit=2**20)
    outputs = {each.name: each.value for each in Outputs.FromString(body).literals}
    assert outputs["words"].scalar.primitive.string_value == "as said"
    uri = outputs["large"].scalar.blob.uri
    assert uri.startswith(f"{scene.pod.assignment.raw_data_prefix}/")
    assert await scene.store.read(uri, limit=2 * _LARGE) == large
    counts = scene.here.proxy.counts.links
    assert (counts["parts"], counts["complete"]) == (3, 1), "it went in parts"


async def test_parts_have_checksums_where_copilot_and_store_know_them(scene: Scene) -> None:
    uri = f"{scene.pod.assignment.output_prefix}/large"
    asked: dict[str, object] = {"blobs": [{"uri": uri, "size": _LARGE}]}
    _, older = await scene.ask("put", asked)
    _, newer = await scene.ask("put", {**asked, "checksums": ["md6", "crc32"]})
    assert [each["links"][0]["checksum"] for each in (older, newer)] == ["", "crc32"]

    upload = {"uri": uri, "upload": newer["links"][0]["upload"]}
    _, links = await scene.ask("parts", {**upload, "numbers": [1], "crc32": ["AAAAAA=="]})
    assert links["links"][0]["headers"] == {"x-amz-checksum-crc32": "AAAAAA=="}
    for crc32 in ([], ["AAAAAA==", "AAAAAA=="], [1], ["AAAA\nA=="], "AAAAAA=="):
        for verb, of in (("parts", {"numbers": [1]}), ("complete", {"etags": ["x"]})):
            status, words = await scene.ask(verb, {**upload, **of, "crc32": crc32})
            assert (status, "crc32" in words) == (400, True), (verb, crc32)


async def test_written_is_below_the_attempts_own_prefixes_only(scene: Scene) -> None:
    output = scene.pod.assignment
    desired = [
        f"{output.output_prefix}/outputs.pb",
        f"{output.raw_data_prefix}/deep/er",
        f"{output.run_base}/a0/2/outputs.pb",
        f"{output.output_prefix}-other/x",
        f"{output.output_prefix}/../2/outputs.pb",
        output.input_uri,
        scene.store.uri("first"),
        "s3://another-bucket/x",
        "file:///etc/passwd",
    ]
    status, answer = await scene.ask("put", {"blobs": [{"uri": u, "size": 1} for u in desired]})
    assert status == 200
    given = ["url" in link for link in answer["links"]]
    assert given == [True, True, False, False, False, False, False, False, False]
    assert "where the attempt may write" in answer["links"][2]["refusal"]

    about: dict[str, object] = {"upload": "u", "uri": desired[2]}
    for verb, question in [
        ("parts", {**about, "numbers": [1]}),
        ("complete", {**about, "etags": ["x"]}),
        ("abandon", about),
    ]:
        status, words = await scene.ask(verb, question)
        assert (status, "where the attempt may write" in words) == (400, True), verb


async def test_read_is_the_run_and_what_its_inputs_name(scene: Scene) -> None:
    output = scene.pod.assignment
    inputs = Inputs()
    blobs = inputs.literals.add(name="files").value.collection.literals
    for name in ("local/uploads/one", "elsewhere/two"):
        blobs.add().scalar.blob.uri = scene.store.uri(name)
    await scene.store.write(output.input_uri, inputs.SerializeToString())
    desired = [
        output.input_uri,
        f"{output.run_base}/a7/1/raw/x",
        scene.store.uri("local/uploads/one"),
        scene.store.uri("local/uploads/one/below"),
        scene.store.uri("local/uploads/another"),
        scene.store.uri("elsewhere/two"),
        f"{output.run_base}-other/x",
        f"{output.run_base}/../other/x",
        "s3://another-bucket/x",
    ]
    status, answer = await scene.ask("get", {"uris": desired})
    assert status == 200
    given = ["url" in link for link in answer["links"]]
    assert given == [True, True, True, True, False, False, False, False, False]

    status, words = await scene.ask("list", {"uri": desired[4], "after": ""})
    assert (status, "nor named by the inputs" in words) == (400, True)


async def test_directory_is_listed_by_pages(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataplane.agent.proxy.proxy_limits.PAGE_BLOBS", 2)
    base = f"{scene.pod.assignment.run_base}/a1/1/raw"
    for name in ("a", "b/c", "d"):
        await scene.store.write(f"{base}/{name}", b"12")

    _, first = await scene.ask("list", {"uri": base, "after": ""})
    _, last = await scene.ask("list", {"uri": base, "after": "b/c"})

    assert first == {
        "blobs": [{"path": "a", "size": 2}, {"path": "b/c", "size": 2}],
        "more": True,
    }
    assert last == {"blobs": [{"path": "d", "size": 2}], "more": False}


@pytest.mark.parametrize(
    ("verb", "question"),
    [
        ("get", []),
        ("get", {}),
        ("get", {"uris": [1]}),
        ("get", {"uris": ["x"] * 1000}),
        ("put", {"blobs": [{"uri": "x", "size": -1}]}),
        ("put", {"blobs": ["x"]}),
        ("list", {"uri": "", "after": ""}),
        ("steal", {}),
    ],
)
async def test_odd_questions_are_answered_with_a_reason(
    scene: Scene, verb: str, question: object
) -> None:
    status, words = await scene.ask(verb, question)
    assert status == 400
    assert words


async def test_links_need_a_token_of_a_pod_that_lives(scene: Scene) -> None:
    assert (await scene.ask("get", {"uris": []}, "nobody"))[0] == 401
    await scene.here.delete(scene.pod)
    assert (await scene.ask("get", {"uris": []}))[0] in {401, 403}


async def test_directory_store_is_refused_with_the_reason(scene: Scene) -> None:
    other = await scene.here.pod("r2", base=f"file://{scene.home}/blobs")
    status, words = await scene.ask("get", {"uris": [other.assignment.input_uri]}, other.token)
    assert (status, "need a bucket" in words) == (400, True)
