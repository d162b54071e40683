"""The files with the tokens of local attempts: written before the start, renewed, gone at the end."""

from datetime import timedelta
from pathlib import Path

import pytest

from dataplane.agent.core.attempt_tokens import (
    AttemptNotRunningError,
    AttemptToken,
    TokenUnavailableError,
)
from dataplane.agent.runtimes.process.api_tokens import ApiTokens
from dataplane.agent.runtimes.process.directory import AttemptDirectory
from shared.kit.secrets import SecretText
from shared.model.ids import AttemptId, LeaseId
from tests.fakes.clock import FakeClock
from tests.unit.agent.assignments import make_assignment

ASSIGNMENT = make_assignment()


class Exchange:
    """Gives out one token after the other, each to be renewed after seven minutes."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.given = 0
        self.error: Exception | None = None
        self.is_needed = True

    async def __call__(self, attempt: AttemptId, lease: LeaseId) -> AttemptToken | None:
        assert (attempt, lease) == (ASSIGNMENT.attempt, ASSIGNMENT.lease)
        if self.error is not None:
            raise self.error
        self.given += 1
        if not self.is_needed:
            return None
        now = self._clock.now()
        return AttemptToken(
            SecretText(f"token {self.given}"),
            now + timedelta(minutes=7),
            now + timedelta(minutes=15),
        )


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def exchange(clock: FakeClock) -> Exchange:
    return Exchange(clock)


@pytest.fixture
def directory(tmp_path: Path) -> AttemptDirectory:
    return AttemptDirectory(tmp_path / "attempts" / str(ASSIGNMENT.attempt))


async def test_token_is_written_for_its_user_only_and_renewed_when_it_is_due(
    clock: FakeClock, exchange: Exchange, directory: AttemptDirectory
) -> None:
    tokens = ApiTokens(exchange, clock)
    async with tokens.kept(ASSIGNMENT, directory):
        assert directory.token.read_text() == "token 1"
        assert directory.token.stat().st_mode & 0o777 == 0o600
        await tokens.renew_due()
        assert directory.token.read_text() == "token 1"

        clock.advance(timedelta(minutes=7))
        await tokens.renew_due()
        assert directory.token.read_text() == "token 2"
        assert directory.token.stat().st_mode & 0o777 == 0o600
        assert [each.name for each in directory.token.parent.iterdir()] == ["api-token"]


async def test_token_is_deleted_with_the_secrets_and_not_written_again(
    clock: FakeClock, exchange: Exchange, directory: AttemptDirectory
) -> None:
    tokens = ApiTokens(exchange, clock)
    async with tokens.kept(ASSIGNMENT, directory):
        pass
    directory.remove_secrets()
    clock.advance(timedelta(hours=1))
    await tokens.renew_due()
    assert not directory.token.exists()
    assert exchange.given == 1


async def test_attempt_starts_without_a_token_that_cannot_be_had_and_gets_it_later(
    clock: FakeClock, exchange: Exchange, directory: AttemptDirectory
) -> None:
    tokens = ApiTokens(exchange, clock)
    exchange.error = TokenUnavailableError("away")
    async with tokens.kept(ASSIGNMENT, directory):
        assert not directory.token.exists()
        await tokens.renew_due()
        exchange.error = None
        await tokens.renew_due()
        assert directory.token.read_text() == "token 1"


async def test_attempt_that_does_not_run_any_more_is_not_asked_about_again(
    clock: FakeClock, exchange: Exchange, directory: AttemptDirectory
) -> None:
    tokens = ApiTokens(exchange, clock)
    exchange.error = AttemptNotRunningError("ended")
    async with tokens.kept(ASSIGNMENT, directory):
        exchange.error = None
        clock.advance(timedelta(hours=1))
        await tokens.renew_due()
    assert exchange.given == 0


async def test_control_plane_without_logins_leaves_the_file_empty(
    clock: FakeClock, exchange: Exchange, directory: AttemptDirectory
) -> None:
    exchange.is_needed = False
    async with ApiTokens(exchange, clock).kept(ASSIGNMENT, directory):
        assert directory.token.read_text() == ""


async def test_tasks_that_call_without_tls_get_no_token(
    clock: FakeClock, directory: AttemptDirectory
) -> None:
    async with ApiTokens(None, clock).kept(ASSIGNMENT, directory):
        assert not directory.token.exists()
