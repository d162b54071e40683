"""``volary explain`` takes a run or an action in the forms that people and logs write."""

import pytest

from controlplane.cli.explanations import parse_target
from controlplane.core.errors import InvalidError


@pytest.mark.parametrize(
    ("what", "run", "action"),
    [
        ("r1", "flytesnacks/development/r1", None),
        ("r1/a0", "flytesnacks/development/r1", "flytesnacks/development/r1/a0"),
        ("other/production/r1", "other/production/r1", None),
        ("other/production/r1/a0", "other/production/r1", "other/production/r1/a0"),
    ],
)
def test_explain_target_is_read(what: str, run: str, action: str | None) -> None:
    found_run, found_action = parse_target(what, project="flytesnacks", domain="development")

    assert str(found_run) == run
    assert (None if found_action is None else str(found_action)) == action


@pytest.mark.parametrize("what", ["a/b/c/d/e", "", "/r1", "other//r1"])
def test_explain_target_of_another_form_is_refused(what: str) -> None:
    with pytest.raises(InvalidError):
        parse_target(what, project="flytesnacks", domain="development")
