"""With logins on, the unmodified SDK in tasks: each with its own token, which is of no other use."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.logins.world import LoginWorld, running
from tests.running import until
from tests.servers.postgres import DatabaseForTest

RUN = {"project": "flytesnacks", "domain": "development", "name": "run-leak"}


@pytest.fixture
async def world(test_database: DatabaseForTest, tmp_path: Path) -> AsyncIterator[LoginWorld]:
    with running(tmp_path, test_database) as world:
        await world.make_api_key()
        yield world


async def test_tasks_nest_fan_out_trace_and_pass_files_and_secrets(world: LoginWorld) -> None:
    created = world.call(
        "secret.SecretService/CreateSecret",
        {"id": {"name": "password"}, "secretSpec": {"stringValue": "12345678"}},
        world.token_of_key(),
    )
    assert created.status_code == 200, created.text

    program = world.run_task("whole", 3)
    await until(lambda: not program.is_running, "the program has ended", at_most=120)
    assert "outputs [20]" in program.output()


async def test_task_starts_another_run_and_reads_its_outputs(world: LoginWorld) -> None:
    program = world.run_task("spawn", 21)
    await until(lambda: not program.is_running, "the program has ended", at_most=120)
    assert "outputs [42]" in program.output()
    [cache] = world.home.glob("agent/work/*-1/sdk/local-cache")
    assert cache.is_dir(), "the attempt's own, not one that others share"


async def test_leaked_token_is_of_no_use_elsewhere_and_dead_with_the_attempt(
    world: LoginWorld,
) -> None:
    go, leaked = world.home / "go", world.home / "leaked"
    program = world.run_task("leak", 4, {"GO": str(go)})
    await until(lambda: leaked.exists() or not program.is_running, "it leaks", at_most=120)
    found = json.loads(leaked.read_text())
    token = found["token"]

    assert found["mode"] == 0o600
    own = world.call("workflow.RunService/GetRunDetails", {"runId": RUN}, token)
    other = world.call("workflow.RunService/GetRunDetails", {"runId": {**RUN, "name": "r2"}}, token)
    all_runs = world.call("workflow.RunService/ListRuns", {"org": "local"}, token)
    member = world.call("auth.IdentityService/UserInfo", {}, token)
    assert (own.status_code, member.status_code) == (200, 200)
    assert member.json()["subject"].startswith("attempt:")
    assert (other.status_code, all_runs.status_code) == (403, 403)

    go.touch()
    await until(lambda: not program.is_running, "the program has ended", at_most=120)
    assert "outputs [8]" in program.output()
    await until(
        lambda: world.call("auth.IdentityService/UserInfo", {}, token).status_code == 401,
        "the token is refused",
    )
    assert not list((world.home / "agent").rglob("api-token*"))
