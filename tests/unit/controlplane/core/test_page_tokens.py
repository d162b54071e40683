"""Page tokens that are bound to their question."""

import pytest

from controlplane.core.errors import InvalidError
from controlplane.core.page_tokens import bind_token, open_token

_QUESTION = ["runs", "filters=eq(phase,FAILED)"]


def test_bound_token_opens_for_the_same_question_only() -> None:
    bound = bind_token("abc", _QUESTION)

    assert open_token(bound, _QUESTION) == "abc"
    for other in (["runs"], ["runs", "filters=eq(phase,ABORTED)"], ["actions", _QUESTION[1]]):
        with pytest.raises(InvalidError, match="other filters"):
            open_token(bound, other)


def test_end_of_a_list_has_no_token() -> None:
    assert bind_token("", _QUESTION) == ""
    assert open_token("", _QUESTION) == ""


@pytest.mark.parametrize("forged", ["abc", ".", "abc.", ".0123456789ab", "abc.0123456789ab"])
def test_foreign_token_is_refused(forged: str) -> None:
    with pytest.raises(InvalidError, match="token"):
        open_token(forged, _QUESTION)
