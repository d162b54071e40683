"""Running tasks as users do: with the command, deployed or not, and from a script."""

import secrets
from pathlib import Path

import httpx
from connectrpc.code import Code
from flyteidl2.common.phase_pb2 import ActionPhase
from flyteidl2.task.task_service_pb2 import DeployTaskRequest

from tests.system.api_client import ApiClient, action_id, refusal
from tests.system.commands import WORKFLOWS, Flyte
from tests.system.values import KEPT


def test_run_follow_shows_log_and_page(flyte: Flyte) -> None:
    output = flyte("run", "--follow", "hello.py", "main", "--name", "you")

    assert "greeting you" in output.text
    assert f"http://{flyte.endpoint}/v2/domain/development/project/flytesnacks/runs/" in output.text


def test_run_page_is_served(flyte: Flyte) -> None:
    output = flyte("run", "hello.py", "main")
    [address] = [word for word in output.text.split() if word.endswith(f"runs/{output.run}")]

    page = httpx.get(address, headers={"Accept": "text/html"}, follow_redirects=True)
    plain = httpx.get(f"{address}?plain", follow_redirects=True)

    assert (page.status_code, plain.status_code) == (200, 200)
    assert output.run in plain.text


async def test_run_with_a_name(api: ApiClient, flyte: Flyte) -> None:
    name = f"r{secrets.token_hex(6)}"
    output = flyte("run", "--name", name, "hello.py", "main")

    assert output.run == name
    assert await api.result(action_id(name)) == ["Hello, world!"]


async def test_run_requested_twice_is_created_once(api: ApiClient, flyte: Flyte) -> None:
    name = f"r{secrets.token_hex(6)}"
    for _ in range(2):
        flyte("run", "--name", name, "hello.py", "main")

    assert await api.result(action_id(name)) == ["Hello, world!"]


def test_run_name_of_another_task_is_rejected(flyte: Flyte) -> None:
    name = f"r{secrets.token_hex(6)}"
    flyte("run", "--name", name, "hello.py", "main")

    output = flyte("run", "--name", name, "hello.py", "main", "--name", "another", expect=1)

    assert name in output.text
    assert "already exists" in output.text


async def test_run_deployed_task_without_local_code(api: ApiClient, flyte: Flyte) -> None:
    output = flyte("run", "deployed-task", "hello.main", "--name", "you")

    assert await api.result(action_id(output.run)) == ["Hello, you!"]


async def test_run_name_is_unique_per_project(api: ApiClient, flyte: Flyte) -> None:
    other, name = f"p{secrets.token_hex(4)}", f"r{secrets.token_hex(6)}"
    flyte("create", "project", "--id", other, "--name", other)
    flyte("run", "--name", name, "hello.py", "main", "--name", "here")
    flyte("run", "--project", other, "--name", name, "hello.py", "main", "--name", "there")

    here, there = action_id(name), action_id(name)
    there.run.project = other
    assert await api.result(here) == ["Hello, here!"]
    assert await api.result(there) == ["Hello, there!"]


async def test_deploy_of_same_version_is_idempotent(api: ApiClient) -> None:
    task, spec = await api.task("hello.main"), await api.spec("hello.main")
    await api.tasks.deploy_task(DeployTaskRequest(task_id=task, spec=spec))

    assert await api.task("hello.main") == task


async def test_deploy_of_changed_version_is_rejected(api: ApiClient) -> None:
    task, spec = await api.task("hello.main"), await api.spec("hello.main")
    spec.task_template.metadata.retries.retries = 7

    code, message = await refusal(api.tasks.deploy_task(DeployTaskRequest(task_id=task, spec=spec)))

    assert code is Code.ALREADY_EXISTS
    assert "hello.main" in message
    assert not (await api.spec("hello.main")).task_template.metadata.retries.retries


async def test_run_keeps_env_vars_and_labels(api: ApiClient, flyte: Flyte) -> None:
    output = flyte(
        *("run", "--env", "FROM_RUN=shell", "--label", "team=ml"),
        *("surroundings.py", "variables", "--names", '["FROM_RUN"]'),
    )

    assert await api.result(action_id(output.run)) == [["shell"]]


def test_run_follow_shows_the_failure(flyte: Flyte) -> None:
    output = flyte("run", "--follow", "failing.py", "main", "--words", "I am a teapot")

    assert "TeapotError" in output.text
    assert "I am a teapot" in output.text


async def test_run_with_local_file(api: ApiClient, flyte: Flyte) -> None:
    output = flyte("run", "files.py", "size", "--file", str(WORKFLOWS / "files.py"))

    assert await api.result(action_id(output.run)) == [(WORKFLOWS / "files.py").stat().st_size]


async def test_run_with_local_directory(api: ApiClient, flyte: Flyte, tmp_path: Path) -> None:
    for number in range(3):
        tmp_path.joinpath(f"{number}.txt").write_text(f"text {number}")

    output = flyte("run", "files.py", "names", "--directory", str(tmp_path))

    assert await api.result(action_id(output.run)) == [["0.txt", "1.txt", "2.txt"]]


async def test_files_and_directories_pass_between_tasks(api: ApiClient) -> None:
    texts = ["one", "two ✓", ""]

    assert await api.result(await api.start("files.main", texts=list(texts))) == [sorted(texts)]


async def test_rerun_of_a_run(api: ApiClient, flyte: Flyte) -> None:
    first = await api.finish("hello.main", name="you")

    output = flyte("rerun", first.id.run.name)

    assert output.run != first.id.run.name
    assert await api.result(action_id(output.run)) == ["Hello, you!"]


async def test_rerun_with_another_input(api: ApiClient, flyte: Flyte) -> None:
    first = await api.finish("values.echo", text="one")

    output = flyte("rerun", first.id.run.name, "--text", "two")

    assert await api.result(action_id(output.run)) == ["two"]


async def test_rerun_of_one_action(api: ApiClient, flyte: Flyte) -> None:
    first = await api.finish("nested.main")
    [middle] = [
        child
        for child in await api.children(first.id)
        if child.metadata.task.short_name == "middle"
    ]

    output = flyte("rerun", first.id.run.name, "--action-name", middle.id.name)

    assert await api.result(action_id(output.run)) == [10]


async def test_rerun_of_a_failed_run(api: ApiClient, flyte: Flyte) -> None:
    first = await api.finish("failing.main", words="I am a teapot")

    output = flyte("rerun", first.id.run.name, "--words", "still")

    again = await api.ended(action_id(output.run))
    assert again.status.phase == ActionPhase.ACTION_PHASE_FAILED
    assert again.error_info.message == "still"


async def test_temporary_files_are_kept_and_downloads_are_private(
    api: ApiClient,
) -> None:
    [seen] = await api.result(await api.start("keeping.main"))

    assert seen == [KEPT] * 4


async def test_named_file_is_found_by_the_next_attempt(api: ApiClient) -> None:
    assert await api.result(await api.start("keeping.resume")) == ["of the first attempt"]
