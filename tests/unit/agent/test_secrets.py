"""Secrets of tasks: requests, fetching with retries, opening, and the errors of each."""

import asyncio
import stat
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from flyteidl2.core.security_pb2 import Secret

from dataplane.agent.core.secrets import (
    FetchedSecrets,
    SecretsRefusedError,
    SecretsUnavailableError,
)
from dataplane.agent.runtimes import secrets
from dataplane.agent.runtimes.process.directory import AttemptDirectory, Start
from dataplane.agent.runtimes.process.secrets import resolve
from dataplane.agent.runtimes.secrets import SecretError, TaskSecrets, read_requests
from dataplane.agent.runtimes.tasks import BadSpecError
from shared.kit.backoff import Backoff
from shared.kit.secrets import SecretBytes
from shared.model.assignments import Assignment
from shared.model.ids import OrgName
from shared.model.reports import FailureKind
from shared.model.secrets import SealedSecret, SecretName, list_candidates
from shared.secrets.envelopes import KeyringEnvelopes
from shared.secrets.key_pairs import make_private_key
from tests.unit.agent.assignments import make_assignment, make_job

PAIR = make_private_key()
ASSIGNMENT = make_assignment()
NAME = SecretName(org=ASSIGNMENT.org, project="p", domain="development", name="key")


class Source:
    """Answers with these, one after the other; the last one again and again."""

    def __init__(self, *answers: FetchedSecrets | Exception) -> None:
        self.answers = list(answers)
        self.calls = 0

    async def fetch(
        self, assignment: Assignment, names: Sequence[str], *, image_pull: bool = False
    ) -> FetchedSecrets:
        del assignment, names, image_pull
        self.calls += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


async def sealed(value: bytes, name: SecretName = NAME) -> FetchedSecrets:
    envelope = await KeyringEnvelopes([PAIR.public]).seal(name, SecretBytes(value), version=1)
    secret = SealedSecret(asked="key", name=name, envelope=envelope)
    return FetchedSecrets(by_name={"key": secret}, image_pull=[secret])


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = Backoff(first=timedelta(milliseconds=1), at_most=timedelta(milliseconds=1))
    monkeypatch.setattr(secrets, "_BACKOFF", quick)


async def find(source: Source) -> bytes:
    found = await TaskSecrets(source, [PAIR]).find(ASSIGNMENT, ["key"], asyncio.Event())
    return found["key"].reveal()


async def failure(source: Source) -> tuple[str, FailureKind]:
    with pytest.raises(SecretError) as error:
        await find(source)
    return error.value.failure.code, error.value.failure.kind


@pytest.mark.parametrize("scope", range(3))
async def test_secret_of_each_scope_of_the_attempt_opens(scope: int) -> None:
    assert await find(Source(await sealed(b"value", list_candidates(NAME)[scope]))) == b"value"


@pytest.mark.parametrize(
    "name",
    [
        replace(NAME, project="other"),
        replace(NAME, project="", domain="production"),
        replace(NAME, org=OrgName("other")),
    ],
)
async def test_secret_of_a_foreign_scope_is_refused(name: SecretName) -> None:
    assert (await failure(Source(await sealed(b"value", name))))[0] == "SecretUnreadable"


async def test_envelope_of_another_secret_is_refused() -> None:
    found = await sealed(b"value", replace(NAME, name="other"))
    swapped = replace(found.by_name["key"], name=NAME)

    code = await failure(Source(FetchedSecrets(by_name={"key": swapped})))

    assert code == ("SecretUnreadable", FailureKind.SYSTEM)


async def test_unavailable_control_plane_is_asked_again() -> None:
    source = Source(SecretsUnavailableError("down"), await sealed(b"value"))

    assert await find(source) == b"value"
    assert source.calls == 2


async def test_control_plane_that_stays_unavailable_is_a_system_failure() -> None:
    source = Source(SecretsUnavailableError("down"))

    assert await failure(source) == ("SecretsUnavailable", FailureKind.SYSTEM)
    assert source.calls == 8


async def test_stop_ends_the_retries() -> None:
    source, stop = Source(SecretsUnavailableError("down")), asyncio.Event()
    stop.set()

    with pytest.raises(SecretError):
        await TaskSecrets(source).find(ASSIGNMENT, ["key"], stop)
    assert source.calls == 1


async def test_refusal_is_a_failure_of_the_task() -> None:
    assert await failure(Source(SecretsRefusedError("too many"))) == (
        "SecretRefused",
        FailureKind.USER,
    )


async def test_problem_of_the_control_plane_is_passed_on() -> None:
    problem = SealedSecret(asked="key", name=NAME, problem="update it")

    with pytest.raises(SecretError, match="update it"):
        await find(Source(FetchedSecrets(by_name={"key": problem})))


async def test_image_pull_secrets_are_opened() -> None:
    source = Source(await sealed(b"docker"))

    found = await TaskSecrets(source, [PAIR]).find_image_pull(ASSIGNMENT, asyncio.Event())

    assert found == [SecretBytes(b"docker")]


async def test_task_without_secrets_asks_nothing() -> None:
    source = Source(FetchedSecrets())

    assert await TaskSecrets(source).find(ASSIGNMENT, [], asyncio.Event()) == {}
    assert source.calls == 0


@pytest.mark.parametrize(
    ("asked", "variable", "paths"),
    [
        (Secret(key="My-Key", mount_requirement=Secret.ENV_VAR), "MY_KEY", []),
        (Secret(group="g-1", key="k", mount_requirement=Secret.ENV_VAR), "G_1_K", []),
        (Secret(key="k", env_var="T", mount_requirement=Secret.ENV_VAR), "T", []),
        (Secret(key="My-Key", mount_requirement=Secret.FILE), "", ["my-key", "My-Key"]),
        (Secret(group="G", key="k", mount_requirement=Secret.FILE), "", ["G/k"]),
    ],
)
def test_request_names_a_variable_or_files(asked: Secret, variable: str, paths: list[str]) -> None:
    [request] = read_requests([asked])

    assert (request.variable, list(request.paths)) == (variable, paths)


@pytest.mark.parametrize(
    "asked",
    [
        [Secret(key="")],
        [Secret(key="a b")],
        [Secret(key="..", mount_requirement=Secret.FILE)],
        [Secret(group="../up", key="k", mount_requirement=Secret.FILE)],
        [Secret(group="/", key="k", mount_requirement=Secret.FILE)],
        [Secret(key="k", env_var="1x", mount_requirement=Secret.ENV_VAR)],
        [
            Secret(key="a", mount_requirement=Secret.FILE),
            Secret(key="A", mount_requirement=Secret.FILE),
        ],
        [Secret(key=key, env_var="T", mount_requirement=Secret.ENV_VAR) for key in "ab"],
    ],
    ids=str,
)
def test_request_that_cannot_be_met_is_refused(asked: list[Secret]) -> None:
    with pytest.raises(BadSpecError):
        read_requests(asked)


@pytest.mark.parametrize(
    ("value", "says"),
    [(b"\xff", "not UTF-8"), (b"a\0b", "NUL"), (b"x" * 131_072, "at most")],
)
async def test_value_that_cannot_be_a_variable_is_refused_without_it(
    value: bytes, says: str, tmp_path: Path
) -> None:
    job = make_job()
    job.task.template.security_context.secrets.add(key="key", mount_requirement=Secret.ENV_VAR)

    with pytest.raises(SecretError, match=says) as error:
        await resolve(
            job, TaskSecrets(Source(await sealed(value)), [PAIR]), tmp_path, asyncio.Event()
        )

    assert error.value.failure.code == "SecretNotText"
    assert not error.value.failure.recoverable
    assert "xxx" not in str(error.value)


async def test_secret_files_are_private_and_go_with_the_attempt(tmp_path: Path) -> None:
    directory = AttemptDirectory(tmp_path / "attempts" / "1")
    start = _start()

    directory.make(start, {"g/my-key": SecretBytes(b"value"), "plain": SecretBytes(b"\xff")})

    path = directory.secrets / "g" / "my-key"
    assert path.read_bytes() == b"value"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(directory.secrets.stat().st_mode) == 0o700
    directory.make(start, {"plain": SecretBytes(b"again")})  # after the agent's death
    assert (directory.secrets / "plain").read_bytes() == b"again"
    directory.remove_secrets()
    directory.remove_secrets()
    assert not directory.secrets.exists()
    assert directory.work.is_dir()


def _start() -> Start:
    return Start(
        argv=["true"],
        env={},
        notes=[],
        max_runtime_seconds=None,
        memory_limit=None,
        grace_seconds=1.0,
        fence=None,
        line_bytes=100,
        log_bytes=100,
    )


class Outside:
    """A secret manager that has these values, of any scope."""

    def __init__(self, values: dict[str, bytes]) -> None:
        self.values = values
        self.asked: list[SecretName] = []

    async def find(self, asked: Iterable[SecretName]) -> dict[str, SecretBytes]:
        self.asked += asked
        return {
            each.name: SecretBytes(self.values[each.name])
            for each in self.asked
            if each.name in self.values
        }

    def describe(self, asked: SecretName) -> str:
        return f"the manager ({asked.name})"


async def test_secret_manager_is_asked_for_what_the_control_plane_lacks() -> None:
    outside = Outside({"key": b"not this", "other": b"the manager's"})
    found = await TaskSecrets(Source(await sealed(b"value")), [PAIR], outside).find(
        ASSIGNMENT, ["key", "other", "none"], asyncio.Event()
    )
    assert {key: value.reveal() for key, value in found.items()} == {
        "key": b"value",
        "other": b"the manager's",
    }
    assert [each.name for each in outside.asked] == ["none", "other"]
    assert {each.project for each in outside.asked} == {ASSIGNMENT.key.run.project}


def test_error_of_a_missing_secret_names_the_manager_too() -> None:
    error = TaskSecrets(Source(FetchedSecrets()), outside=Outside({})).missing(ASSIGNMENT, "key")
    assert "the org; the manager (key). Create it with" in str(error)
