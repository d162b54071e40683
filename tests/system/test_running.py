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


def test_following_a_run_shows_its_log_and_its_page(flyte: Flyte) -> None:
    said = flyte("run", "--follow", "hello.py", "main", "--name", "you")

    assert "greeting you" in said.text
    assert f"http://{flyte.endpoint}/v2/domain/development/project/flytesnacks/runs/" in said.text


def test_the_page_that_is_printed_is_there(flyte: Flyte) -> None:
    said = flyte("run", "hello.py", "main")
    [address] = [word for word in said.text.split() if word.endswith(f"runs/{said.run}")]

    answer = httpx.get(address, headers={"Accept": "text/html"}, follow_redirects=True)

    assert answer.status_code == 200
    assert said.run in answer.text


async def test_a_run_can_be_given_a_name(api: ApiClient, flyte: Flyte) -> None:
    name = f"r{secrets.token_hex(6)}"
    said = flyte("run", "--name", name, "hello.py", "main")

    assert said.run == name
    assert await api.result(action_id(name)) == ["Hello, world!"]


async def test_a_run_that_is_asked_for_twice_is_one_run(api: ApiClient, flyte: Flyte) -> None:
    name = f"r{secrets.token_hex(6)}"
    for _ in range(2):
        flyte("run", "--name", name, "hello.py", "main")

    assert await api.result(action_id(name)) == ["Hello, world!"]


def test_the_name_of_a_run_belongs_to_what_ran_first(flyte: Flyte) -> None:
    name = f"r{secrets.token_hex(6)}"
    flyte("run", "--name", name, "hello.py", "main")

    said = flyte("run", "--name", name, "hello.py", "main", "--name", "another", expect=1)

    assert name in said.text
    assert "already exists" in said.text


async def test_a_deployed_task_runs_without_its_code_at_hand(api: ApiClient, flyte: Flyte) -> None:
    said = flyte("run", "deployed-task", "hello.main", "--name", "you")

    assert await api.result(action_id(said.run)) == ["Hello, you!"]


async def test_runs_of_one_name_in_two_projects_are_two_runs(api: ApiClient, flyte: Flyte) -> None:
    other, name = f"p{secrets.token_hex(4)}", f"r{secrets.token_hex(6)}"
    flyte("create", "project", "--id", other, "--name", other)
    flyte("run", "--name", name, "hello.py", "main", "--name", "here")
    flyte("run", "--project", other, "--name", name, "hello.py", "main", "--name", "there")

    here, there = action_id(name), action_id(name)
    there.run.project = other
    assert await api.result(here) == ["Hello, here!"]
    assert await api.result(there) == ["Hello, there!"]


async def test_a_version_of_a_task_can_be_deployed_again_as_it_is(api: ApiClient) -> None:
    task, spec = await api.task("hello.main"), await api.spec("hello.main")
    await api.tasks.deploy_task(DeployTaskRequest(task_id=task, spec=spec))

    assert await api.task("hello.main") == task


async def test_a_version_of_a_task_stays_what_it_is(api: ApiClient) -> None:
    task, spec = await api.task("hello.main"), await api.spec("hello.main")
    spec.task_template.metadata.retries.retries = 7

    code, message = await refusal(api.tasks.deploy_task(DeployTaskRequest(task_id=task, spec=spec)))

    assert code is Code.ALREADY_EXISTS
    assert "hello.main" in message
    assert not (await api.spec("hello.main")).task_template.metadata.retries.retries


async def test_variables_and_labels_of_a_run_are_kept(api: ApiClient, flyte: Flyte) -> None:
    said = flyte(
        *("run", "--env", "FROM_RUN=shell", "--label", "team=ml"),
        *("surroundings.py", "variables", "--names", '["FROM_RUN"]'),
    )

    assert await api.result(action_id(said.run)) == [["shell"]]


def test_following_a_run_that_fails_shows_why(flyte: Flyte) -> None:
    said = flyte("run", "--follow", "failing.py", "main", "--words", "I am a teapot")

    assert "TeapotError" in said.text
    assert "I am a teapot" in said.text


async def test_a_file_of_the_users_machine_reaches_the_task(api: ApiClient, flyte: Flyte) -> None:
    said = flyte("run", "files.py", "size", "--file", str(WORKFLOWS / "files.py"))

    assert await api.result(action_id(said.run)) == [(WORKFLOWS / "files.py").stat().st_size]


async def test_a_directory_of_the_users_machine_reaches_the_task(
    api: ApiClient, flyte: Flyte, tmp_path: Path
) -> None:
    for number in range(3):
        tmp_path.joinpath(f"{number}.txt").write_text(f"text {number}")

    said = flyte("run", "files.py", "names", "--directory", str(tmp_path))

    assert await api.result(action_id(said.run)) == [["0.txt", "1.txt", "2.txt"]]


async def test_files_and_directories_travel_between_tasks(api: ApiClient) -> None:
    texts = ["one", "two ✓", ""]

    assert await api.result(await api.start("files.main", texts=list(texts))) == [sorted(texts)]


async def test_a_run_can_be_run_again(api: ApiClient, flyte: Flyte) -> None:
    first = await api.finish("hello.main", name="you")

    said = flyte("rerun", first.id.run.name)

    assert said.run != first.id.run.name
    assert await api.result(action_id(said.run)) == ["Hello, you!"]


async def test_a_run_can_be_run_again_with_another_input(api: ApiClient, flyte: Flyte) -> None:
    first = await api.finish("values.echo", text="one")

    said = flyte("rerun", first.id.run.name, "--text", "two")

    assert await api.result(action_id(said.run)) == ["two"]


async def test_one_action_of_a_run_can_be_run_again(api: ApiClient, flyte: Flyte) -> None:
    first = await api.finish("nested.main")
    [middle] = [
        child
        for child in await api.children(first.id)
        if child.metadata.task.short_name == "middle"
    ]

    said = flyte("rerun", first.id.run.name, "--action-name", middle.id.name)

    assert await api.result(action_id(said.run)) == [10]


async def test_a_run_that_failed_can_be_run_again(api: ApiClient, flyte: Flyte) -> None:
    first = await api.finish("failing.main", words="I am a teapot")

    said = flyte("rerun", first.id.run.name, "--words", "still")

    again = await api.ended(action_id(said.run))
    assert again.status.phase == ActionPhase.ACTION_PHASE_FAILED
    assert again.error_info.message == "still"


async def test_files_of_a_temporary_directory_are_kept_and_downloads_are_private(
    api: ApiClient,
) -> None:
    [seen] = await api.result(await api.start("keeping.main"))

    assert seen == [KEPT] * 4


async def test_file_of_a_name_is_found_by_the_next_attempt(api: ApiClient) -> None:
    assert await api.result(await api.start("keeping.resume")) == ["of the first attempt"]
