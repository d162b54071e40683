"""``volary explain`` takes a run or an action in the forms that people and logs write."""

import pytest

from controlplane.cli.explanations import parse_target
from controlplane.client.errors import ClientError


@pytest.mark.parametrize(
    ("given", "run", "action"),
    [
        ("r1", "flytesnacks/development/r1", ""),
        ("r1/a0", "flytesnacks/development/r1", "a0"),
        ("other/production/r1", "other/production/r1", ""),
        ("other/production/r1/a0", "other/production/r1", "a0"),
    ],
)
def test_explain_target_is_read(given: str, run: str, action: str) -> None:
    found, found_action = parse_target(given, project="flytesnacks", domain="development")
    assert ("/".join(found.values()), found_action) == (run, action)


@pytest.mark.parametrize("given", ["a/b/c/d/e", "", "/r1", "other//r1", "r1/"])
def test_explain_target_of_another_form_is_refused(given: str) -> None:
    with pytest.raises(ClientError, match="is not a run"):
        parse_target(given, project="flytesnacks", domain="development")
