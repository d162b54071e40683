"""``flyte get`` shows runs, actions, tasks and projects, and names missing ones."""

import secrets

import pytest

from tests.system.api_client import ApiClient
from tests.system.commands import Flyte


async def test_get_run_shows_task_and_phase(api: ApiClient, flyte: Flyte) -> None:
    details = await api.finish("hello.main")

    shown = flyte("get", "run", details.id.run.name).text
    assert "hello.main" in shown
    assert "succeeded" in shown.lower()


async def test_get_runs_filters_by_phase_and_task(api: ApiClient, flyte: Flyte) -> None:
    failed = await api.finish("failing.main", words="I am a teapot")
    other = await api.finish("hello.main")

    for options in (("--in-phase", "failed"), ("--task-name", "failing.main")):
        shown = str(flyte.read("run", *options))
        assert failed.id.run.name in shown
        assert other.id.run.name not in shown


async def test_get_runs_filters_by_label(api: ApiClient, flyte: Flyte) -> None:
    labelled = flyte("run", "--label", "team=ml", "hello.py", "main").run
    other = await api.finish("hello.main")

    for options in (("--with-label", "team=ml"), ("--with-label-key", "team")):
        shown = str(flyte.read("run", *options))
        assert labelled in shown
        assert other.id.run.name not in shown


async def test_get_actions_lists_the_run(api: ApiClient, flyte: Flyte) -> None:
    details = await api.finish("nested.main")

    shown = str(flyte.read("action", details.id.run.name))
    for child in await api.children(details.id):
        assert child.id.name in shown


async def test_get_action_shows_one(api: ApiClient, flyte: Flyte) -> None:
    details = await api.finish("nested.main")
    [child, *_] = await api.children(details.id)

    assert child.id.name in flyte("get", "action", details.id.run.name, child.id.name).text


async def test_get_io_shows_inputs_and_outputs(api: ApiClient, flyte: Flyte) -> None:
    details = await api.finish("hello.main", name="you")

    shown = flyte("get", "io", details.id.run.name).text
    assert "{'name': 'you'}" in shown
    assert "Hello, you!" in shown


def test_get_tasks_lists_versions(flyte: Flyte) -> None:
    shown = str(flyte.read("task", "hello.main"))

    assert "hello.main" in shown
    assert "version" in shown


def test_project_is_created_listed_and_shown(flyte: Flyte) -> None:
    name = f"p{secrets.token_hex(4)}"
    flyte("create", "project", "--id", name, "--name", "A project", "--label", "team=ml")

    assert name in str(flyte.read("project"))
    shown = flyte("get", "project", name).text
    assert "A project" in shown
    assert "team" in shown


def test_whoami_shows_the_user(flyte: Flyte) -> None:
    assert '"subject": "anonymous"' in flyte("whoami").text


@pytest.mark.parametrize(
    "arguments",
    [
        ("get", "run", "nobody"),
        ("get", "action", "nobody", "a0"),
        ("get", "io", "nobody"),
        ("get", "logs", "nobody"),
        ("get", "project", "nobody"),
        ("abort", "run", "nobody"),
        ("abort", "action", "nobody", "a0"),
        ("signal", "condition", "nobody", "a0", "true"),
        ("run", "deployed-task", "nobody.main"),
        ("run", "--project", "nobody", "hello.py", "main"),
        ("run", "--domain", "nobody", "hello.py", "main"),
    ],
    ids=" ".join,
)
def test_get_names_the_missing_object(flyte: Flyte, arguments: tuple[str, ...]) -> None:
    output = flyte(*arguments, expect=1)

    assert "nobody" in output.text
    assert "found" in output.text.lower()
