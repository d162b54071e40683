"""The file of contexts: what it keeps, and what a program that dies leaves."""

import multiprocessing
import os
import signal
import stat
from pathlib import Path

import pytest

from controlplane.client.contexts import Context, ContextFile, Contexts, config_file
from controlplane.client.errors import ClientError, LoginRequiredError
from shared.kit.secrets import SecretText

ADA = Context(
    url="https://volary.example",
    org="acme",
    subject="user:ada",
    ca_file="/ca.pem",
    access_token=SecretText("at-secret"),
    expires_at=1.5,
    refresh_token=SecretText("refresh"),
)


@pytest.fixture
def file(tmp_path: Path) -> ContextFile:
    return ContextFile(tmp_path / "volary" / "config")


def test_context_is_read_as_it_was_stored(file: ContextFile) -> None:
    assert file.read() == Contexts()
    stored = file.change(lambda contexts: contexts.with_context("one", ADA))
    assert file.read() == stored
    assert stored.current == "one"
    assert file.require("one") == ADA
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert "at-secret" not in repr(ADA)


def test_file_that_others_may_read_is_private_after_a_change(file: ContextFile) -> None:
    file.change(lambda contexts: contexts.with_context("one", ADA))
    file.path.chmod(0o644)
    file.change(lambda contexts: contexts.with_context("two", ADA))
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600


def test_logout_during_a_refresh_is_not_undone(file: ContextFile) -> None:
    file.change(lambda contexts: contexts.with_context("one", ADA))
    file.change(lambda contexts: contexts.without("one"))
    with pytest.raises(LoginRequiredError, match="was logged out"):
        file.save_tokens(
            "one", access_token=SecretText("a"), expires_at=2, refresh_token=SecretText("b")
        )
    assert file.read() == Contexts()


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"version": 2}', '{"version": 1, "contexts": {"../x": {"url": ""}}}', "\xff"],
)
def test_damaged_file_is_named_and_not_overwritten(file: ContextFile, content: str) -> None:
    file.path.parent.mkdir()
    file.path.write_text(content, encoding="latin-1")
    with pytest.raises(ClientError, match="config"):
        file.change(lambda contexts: contexts.with_context("one", ADA))
    assert file.path.read_text(encoding="latin-1") == content


def _change_for_ever(path: Path, started: "multiprocessing.Queue[int]") -> None:
    file = ContextFile(path)
    for number in range(1_000_000):
        file.change(lambda contexts, n=number: contexts.with_context(f"c{n % 50}", ADA))  # type: ignore[misc]  # its default
        started.put(number)


def test_killed_program_leaves_a_whole_file_and_no_lock(file: ContextFile) -> None:
    spawn = multiprocessing.get_context("spawn")
    for _ in range(3):
        started = spawn.Queue()
        process = spawn.Process(target=_change_for_ever, args=(file.path, started))
        process.start()
        for _ in range(20):
            started.get(timeout=60)
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join(60)
        contexts = file.read()
        assert set(contexts.by_name.values()) == {ADA}
        file.change(lambda contexts: contexts)


@pytest.mark.parametrize(
    ("environment", "path"),
    [
        ({"XDG_CONFIG_HOME": "/x"}, Path("/x/volary/config")),
        ({"XDG_CONFIG_HOME": "relative"}, Path("~/.config/volary/config").expanduser()),
        ({}, Path("~/.config/volary/config").expanduser()),
    ],
)
def test_file_is_below_the_configuration_home(environment: dict[str, str], path: Path) -> None:
    assert config_file(environment) == path
