"""A server takes as many connections as its process may have files open."""

import resource

import pytest

from controlplane.web import serving


@pytest.mark.parametrize(
    ("soft", "hard", "raised", "connections"),
    [
        (1_024, 1_048_576, 8_704, 8_192),  # a usual shell's
        (20_000, 20_000, None, 8_192),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, None, 8_192),
        (256, resource.RLIM_INFINITY, 8_704, 8_192),  # macOS
        (1_024, 4_096, 4_096, 3_584),
        (256, 256, 256, 128),
    ],
)
def test_connections_fit_the_limit_of_open_files(
    monkeypatch: pytest.MonkeyPatch, soft: int, hard: int, raised: int | None, connections: int
) -> None:
    was_set: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: was_set.append(limits))
    assert serving._fit_open_files(8_192) == connections
    assert was_set == ([] if raised is None else [(raised, hard)])
