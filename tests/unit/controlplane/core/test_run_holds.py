"""Tests which runs may be purged, and what is said of what holds the others."""

from dataclasses import replace

import pytest

from controlplane.core.errors import NotReadyError
from controlplane.core.run_holds import (
    REMEDIES,
    Hold,
    HoldKind,
    RunRetention,
    describe,
    require_purgeable,
)
from shared.model.phases import Phase
from tests.factories import NOW, make_run_key

ENDED = RunRetention(
    run=make_run_key("r1"),
    phase=Phase.SUCCEEDED,
    ended_at=NOW,
    expires_at=None,
    purging_since=None,
)


def test_ended_run_without_holds_may_be_purged() -> None:
    require_purgeable(ENDED)


def test_live_run_is_not_purged_and_the_error_says_how_to_end_it() -> None:
    with pytest.raises(NotReadyError, match=r"has not ended \(RUNNING\).*flyte abort run r1"):
        require_purgeable(replace(ENDED, phase=Phase.RUNNING))


def test_held_run_is_not_purged_and_the_error_names_the_holders_and_remedies() -> None:
    holds = [Hold(kind=HoldKind.ARTIFACT, holder=f"model@{number}") for number in range(4)]
    holds.append(Hold(kind=HoldKind.RECOVERY, holder="p/development/r2"))
    with pytest.raises(NotReadyError, match="run p/development/r1 is held") as refused:
        require_purgeable(replace(ENDED, holds=holds))
    assert str(refused.value).endswith(
        "artifact model@0, model@1, model@2 and more (delete the version);"
        " recovery p/development/r2 (delete that run)"
    )


def test_each_kind_of_hold_has_a_remedy_and_is_described() -> None:
    assert set(REMEDIES) == set(HoldKind)
    text = describe([Hold(kind=kind, holder=f"the {kind}") for kind in HoldKind])
    assert all(f"the {kind}" in text for kind in HoldKind)
