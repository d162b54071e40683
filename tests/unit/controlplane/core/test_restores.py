"""Tests that the kinds of findings keep the names by which rows store them."""

from controlplane.core.restores import FindingKind


def test_kinds_of_findings_keep_their_stored_names() -> None:
    assert {kind.name: kind.value for kind in FindingKind} == {
        "UNKNOWN": "unknown",
        "ADOPTED": "adopted",
        "STOPPED": "stopped",
        "MISSING": "missing",
        "FINISHED": "finished",
    }
