"""We test that what passes is outlasted, and that what does not is told in a sentence."""

import hashlib
import json
import os
from base64 import b64encode

import pytest

from controlplane.core.signing import Method
from tests.integration.copilot.literals import (
    DIRECTORY_TYPE,
    FILE_TYPE,
    directory,
    file,
    list_of,
    primitive,
    simple,
)
from tests.integration.copilot.pods import Pod
from tests.integration.copilot.unreliable import BreakOff, Corrupt, Refuse

INTEGER = 1
MIB = 1024 * 1024


async def test_expired_link_is_replaced(any_pod: Pod) -> None:
    pod = any_pod
    await pod.give(f=file(await pod.put("there/f", b"content")))
    pod.outputs_wanted = {"out": FILE_TYPE}
    pod.leave("out", "left")

    pod.signer.faults.expired = 2
    brought = await pod.download()
    pod.signer.faults.expired = 2
    shipped = await pod.sidecar()

    assert (brought.code, shipped.code) == (0, 0), (brought.output, shipped.output)
    assert (pod.inputs_at / "f").read_bytes() == b"content"
    assert await pod.get("a0/1/raw/out") == b"left"


async def test_one_link_is_asked_for_when_all_parts_find_it_expired(s3_pod: Pod) -> None:
    pod = s3_pod
    large = os.urandom(70 * MIB)
    await pod.give(f=file(await pod.put("there/f", large)))
    assert (await pod.download()).code == 0
    usual = pod.signer.faults.asked["get"]

    pod.signer.faults.asked.clear()
    pod.signer.faults.expired = 2
    ended = await pod.download()

    assert ended.code == 0, ended.output
    assert (pod.inputs_at / "f").read_bytes() == large
    assert pod.signer.faults.asked["get"] == usual + 2


async def test_a_link_that_stays_bad_is_given_up(pod: Pod) -> None:
    await pod.give(x=primitive(1))
    pod.signer.faults.expired = 1000

    ended = await pod.download()

    assert ended.code == 1
    assert "this link expired at" in ended.output
    assert pod.signer.faults.asked["get"] == 4


async def test_a_store_that_is_busy_is_waited_for(pod: Pod) -> None:
    await pod.give(x=primitive(1))
    pod.store.plans.extend([Refuse(503), Refuse(429, {"Retry-After": "1"}), BreakOff()])

    ended = await pod.download()

    assert ended.code == 0, ended.output
    assert len(pod.store.requests) == 4


async def test_a_body_altered_on_its_way_down_is_fetched_again(pod: Pod) -> None:
    body = os.urandom(100)
    md5 = b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
    await pod.give(f=file(await pod.put("there/f", body)))
    pod.store.plans.extend([None, Corrupt(md5), Corrupt(md5)])

    ended = await pod.download()

    assert ended.code == 0, ended.output
    assert (pod.inputs_at / "f").read_bytes() == body


async def test_a_body_broken_off_is_fetched_again(pod: Pod) -> None:
    body = os.urandom(3 * MIB)
    await pod.give(f=file(await pod.put("there/f", body)))
    pod.store.plans.extend([None, BreakOff(), BreakOff()])

    ended = await pod.download()

    assert ended.code == 0, ended.output
    assert (pod.inputs_at / "f").read_bytes() == body


async def test_a_body_altered_on_its_way_up_is_sent_again(pod: Pod) -> None:
    pod.outputs_wanted = {"f": FILE_TYPE}
    pod.leave("f", "content")
    pod.store.plans.extend([Refuse(400, body="<Error><Code>BadDigest</Code></Error>")])

    ended = await pod.sidecar()

    assert ended.code == 0, ended.output
    assert await pod.get("a0/1/raw/f") == b"content"


async def test_retry_timeout_ends_a_failing_transfer(pod: Pod) -> None:
    pod.store.plans.extend([Refuse(500)] * 100)
    await pod.give(x=primitive(1))

    ended = await pod.download(seconds={"patience": 0.5})

    assert ended.code == 1
    assert "cannot download" in ended.output
    assert "500 as planned" in ended.output


async def test_store_error_is_reported_without_secrets(pod: Pod) -> None:
    body = (
        "<Error><Code>SignatureDoesNotMatch</Code><Message>It does not match</Message>"
        "<CanonicalRequest>X-Amz-Security-Token=s3cret</CanonicalRequest></Error>"
    )
    pod.store.plans.extend([Refuse(403, body=body)] * 4)
    await pod.give(x=primitive(1))

    ended = await pod.download()

    assert ended.code == 1
    assert "403 SignatureDoesNotMatch: It does not match" in ended.output
    assert "s3cret" not in ended.output


async def test_an_input_that_is_gone_is_named(pod: Pod) -> None:
    await pod.give(f=file(pod.uri("there/gone")))

    ended = await pod.download()

    assert ended.code == 1
    error = await pod.error()
    assert error is not None
    assert "there/gone" in error.message
    assert (error.code, error.kind) == ("BlobMissing", 0)


async def test_signer_refusal_is_not_retried(pod: Pod) -> None:
    await pod.give(f=file("s3://elsewhere/x"))

    ended = await pod.download()

    assert ended.code == 1
    assert "s3://elsewhere/x is not below" in ended.output
    assert pod.signer.faults.asked["get"] == 2


async def test_a_signer_that_is_busy_is_waited_for(pod: Pod) -> None:
    await pod.give(x=primitive(1))
    pod.signer.faults.answers.extend([(503, {"Retry-After": "0"}), (502, {}), (401, {})])

    assert (await pod.download()).code == 0
    assert pod.signer.faults.asked["get"] == 4


async def test_a_token_that_is_dead_is_told(pod: Pod) -> None:
    await pod.give(x=primitive(1))
    pod.token = "of another attempt"  # noqa: S105

    ended = await pod.download()

    assert ended.code == 1
    assert "401 this token is not good here" in ended.output


async def test_a_blob_on_the_public_web_needs_no_signer(pod: Pod) -> None:
    await pod.put("public", b"for all")
    await pod.give(f=file(str(pod.signer.bucket.link(Method.GET, "public")["url"])))

    assert (await pod.download()).code == 0

    assert (pod.inputs_at / "f").read_bytes() == b"for all"
    assert pod.signer.faults.asked["get"] == 1, "for inputs.pb"


async def test_links_may_come_from_a_file(pod: Pod) -> None:
    await pod.give(f=file(await pod.put("there/f", b"1")), d=directory(pod.uri("folder")))
    await pod.put("folder/a/b", b"2")
    pod.outputs_wanted = {"x": simple(INTEGER)}
    pod.leave("x", "5")
    bucket = pod.signer.bucket
    links = {
        "get": {
            pod.uri(key): bucket.link(Method.GET, key)
            for key in ("a0/inputs.pb", "there/f", "folder/a/b")
        },
        "list": {pod.uri("folder"): [{"path": "a/b", "size": 1}]},
        "put": {pod.uri("a0/1/outputs.pb"): bucket.link(Method.PUT, "a0/1/outputs.pb")},
    }
    path = pod.root / "links.json"
    path.write_text(json.dumps(links))

    brought = await pod.download(links={"file": str(path)})
    shipped = await pod.sidecar(links={"file": str(path)})

    assert (brought.code, shipped.code) == (0, 0), (brought.output, shipped.output)
    assert (pod.inputs_at / "d/a/b").read_bytes() == b"2"
    assert await pod.shipped() == {"x": primitive(5)}
    assert not pod.signer.faults.asked


async def test_certificates_of_the_agents_own_authority_are_trusted(tls_pod: Pod) -> None:
    pod = tls_pod
    body = os.urandom(20 * MIB)
    await pod.give(f=file(await pod.put("there/f", body)))
    pod.outputs_wanted = {"f": FILE_TYPE}
    pod.leave("f", body)

    brought, shipped = await pod.download(), await pod.sidecar()

    assert (brought.code, shipped.code) == (0, 0), (brought.output, shipped.output)
    assert (pod.inputs_at / "f").read_bytes() == body
    assert await pod.get("a0/1/raw/f") == body
    stranger = await pod.download(links={"ca_file": ""}, seconds={"patience": 0.1})
    assert stranger.code == 1
    assert "CERTIFICATE_VERIFY_FAILED" in stranger.output


@pytest.mark.parametrize("path", ["../out", "a/../../out", "/etc/out", "a//b", "a/./b", ".."])
async def test_no_name_leads_out_of_the_inputs(pod: Pod, path: str) -> None:
    links = pod.root / "links.json"
    await pod.give(d=directory(pod.uri("folder")))
    links.write_text(
        json.dumps(
            {
                "get": {
                    pod.uri("a0/inputs.pb"): pod.signer.bucket.link(Method.GET, "a0/inputs.pb")
                },
                "list": {pod.uri("folder"): [{"path": path, "size": 1}]},
            }
        )
    )

    ended = await pod.download(links={"file": str(links)})

    assert ended.code == 3, ended.output
    assert repr(path) in ended.output
    assert not list(pod.root.rglob("out"))


@pytest.mark.parametrize("name", ["../x", "/x", "..", "a/b", "x" * 300, "inputs.json"])
async def test_an_input_with_a_name_that_is_no_files_is_refused(pod: Pod, name: str) -> None:
    await pod.give(**{name: primitive(1)})

    ended = await pod.download()

    assert ended.code == 3
    error = await pod.error()
    assert error is not None
    assert (error.code, error.kind, error.origin) == ("InputInvalid", 0, 1)


async def test_limit_errors_name_the_remedy(pod: Pod) -> None:
    await pod.give(xs=list_of(*[primitive(number) for number in range(20)]), s=primitive("x" * 50))

    files = await pod.download(limits={"files": 10})
    document = await pod.download(limits={"document_bytes": 100})

    assert (files.code, document.code) == (3, 3)
    assert "pack them into an archive" in files.output
    assert "more than 100 bytes; pass large data as files" in document.output


async def test_invalid_outputs_are_reported(pod: Pod) -> None:
    pod.leave("word", "forty")
    pod.leave("long", "x" * 2000)
    pod.leave("folder/a", "")
    (pod.outputs_at / "secret").symlink_to("/etc/passwd")
    os.mkfifo(pod.outputs_at / "pipe")
    (pod.outputs_at / "within").mkdir()
    (pod.outputs_at / "within/link").symlink_to("/etc")

    for name, kind, code, reason in (
        ("word", simple(INTEGER), "OutputInvalid", "'forty' is not a 64-bit integer"),
        ("long", simple(3), "OutputTooLarge", "declare it as a File"),
        ("folder", FILE_TYPE, "OutputInvalid", "declared as a file"),
        ("word", DIRECTORY_TYPE, "OutputInvalid", "declared as a directory"),
        ("secret", FILE_TYPE, "OutputInvalid", "symbolic link"),
        ("within", DIRECTORY_TYPE, "OutputInvalid", "symbolic link"),
        ("pipe", FILE_TYPE, "OutputInvalid", "neither file nor directory"),
        ("absent", simple(INTEGER), "OutputMissing", "did not write"),
        ("_ERROR", FILE_TYPE, "OutputInvalid", "a marker file"),
        ("../word", FILE_TYPE, "OutputInvalid", "leaves its directory"),
    ):
        pod.outputs_wanted = {name: kind}
        ended = await pod.sidecar(limits={"value_bytes": 1000})
        assert ended.code == 3, ended.output
        error = await pod.error()
        assert error is not None
        assert (error.code, error.kind, error.origin) == (code, 1, 1)
        assert reason in error.message
        assert reason in ended.output
    assert await pod.get("a0/1/outputs.pb") is None


async def test_invalid_handoff_exits_with_2(pod: Pod) -> None:
    ended = await pod.download(inputs={"layout": "SIDEWAYS"})

    assert ended.code == 2
    assert (
        "the handoff's inputs.layout is 'SIDEWAYS'; give one of DIRECT, NAMED_DIR" in ended.output
    )
