"""We test that a handoff is read once, and that what is wrong in it is named."""

import json
from pathlib import Path

import pytest

from dataplane.copilot.errors import HandoffError
from dataplane.copilot.handoff import Format, Layout, Limits, Seconds, parse_handoff

LEAST = {
    "links": {"endpoint": "https://proxy:8443/copilot/"},
    "inputs": {"uri": "s3://b/a0/inputs.pb"},
    "outputs": {"prefix": "s3://b/a0/1/", "raw_prefix": "s3://b/a0/1/raw"},
}


def test_handoff_needs_only_addresses() -> None:
    parsed = parse_handoff(json.dumps(LEAST).encode())

    assert parsed.links.endpoint == "https://proxy:8443/copilot"
    assert (parsed.inputs.path, parsed.outputs.path) == (Path("/var/inputs"), Path("/var/outputs"))
    assert (parsed.inputs.format, parsed.inputs.layout) == (Format.JSON, Layout.DIRECT)
    assert parsed.outputs.prefix == "s3://b/a0/1"
    assert (parsed.limits, parsed.seconds) == (Limits(), Seconds())
    assert parsed.stay


def test_handoff_reads_all_fields_and_ignores_unknown_ones() -> None:
    output = {
        **LEAST,
        "inputs": {"uri": "x", "format": "YAML", "layout": "NAMED_DIR", "new": 1},
        "limits": {"files": 5},
        "seconds": {"start": 0.5, "newer": 1},
        "parallel": 1000,
        "stay": False,
    }
    parsed = parse_handoff(json.dumps(output).encode())

    assert (parsed.inputs.format, parsed.inputs.layout) == (Format.YAML, Layout.NAMED_DIR)
    assert (parsed.limits, parsed.seconds) == (Limits(files=5), Seconds(start=0.5))
    assert (parsed.parallel, parsed.stay) == (64, False)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"links": None}, "no object 'links'"),
        ({"links": {"endpoint": "proxy:8443"}}, "not an http"),
        ({"links": {"endpoint": "http://proxy", "token_file": "/t"}}, "sent over https only"),
        ({"links": {"file": "links.json"}}, "links.file is 'links.json'; give an absolute path"),
        ({"inputs": {}}, "inputs.uri"),
        ({"inputs": {"uri": "x", "format": "XML"}}, "give one of JSON, YAML, PROTO"),
        ({"inputs": {"uri": "x", "path": "var"}}, "an absolute path"),
        (
            {"inputs": {"uri": "x", "run_started_at": "2026-01-01"}},
            "a timestamp with its UTC offset",
        ),
        ({"outputs": {"prefix": "x", "raw_prefix": "y", "interface": "?"}}, "give base64"),
        ({"limits": {"files": -1}}, "limits.files is '-1'; give a number of 0 or more"),
        ({"seconds": {"whole": True}}, "seconds.whole"),
        ({"seconds": []}, "no object 'seconds'"),
        ({"parallel": "many"}, "handoff's parallel"),
        ({"stay": 1}, "true or false"),
    ],
)
def test_invalid_handoff_field_is_named(change: dict[str, object], reason: str) -> None:
    with pytest.raises(HandoffError, match=reason):
        parse_handoff(json.dumps({**LEAST, **change}).encode())


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"x" * 2_000_000])
def test_handoff_that_is_not_a_json_object_is_refused(text: bytes) -> None:
    with pytest.raises(HandoffError):
        parse_handoff(text)
