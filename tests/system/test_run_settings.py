"""``flyte edit settings`` and ``flyte get settings``, and what the next run gets."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from flyteidl2.workflow.run_definition_pb2 import RunDetails
from flyteidl2.workflow.run_service_pb2 import GetRunDetailsRequest

from tests.system.api_client import ApiClient
from tests.system.commands import DOMAIN, PROJECT, Flyte

ROOT = Path(__file__).parents[2]
SCOPES = ((), ("--domain", DOMAIN), ("--domain", DOMAIN, "--project", PROJECT))
ORG, _, PROJECT_SCOPE = SCOPES
NAMES = ["SETTING", "BOTH", "FROM_TASK"]


class Editor:
    """Applies YAML files to scopes by the command."""

    def __init__(self, flyte: Flyte, place: Path) -> None:
        self._flyte = flyte
        self._place = place

    def apply(self, scope: tuple[str, ...], text: str, *, expect: int = 0) -> str:
        file = self._place / f"{secrets.token_hex(4)}.yaml"
        file.write_text(text)
        return self._flyte("edit", "settings", *scope, "--from-file", str(file), expect=expect).text

    def show(self, scope: tuple[str, ...]) -> str:
        file = self._place / f"{secrets.token_hex(4)}.yaml"
        self._flyte("get", "settings", *scope, "--to-file", str(file))
        return file.read_text()


@pytest.fixture
def editor(flyte: Flyte, tmp_path: Path) -> Iterator[Editor]:
    editor = Editor(flyte, tmp_path)
    yield editor
    for scope in SCOPES:
        editor.apply(scope, "{}")


async def run_details(api: ApiClient, name: str) -> RunDetails:
    id_ = {"project": PROJECT, "domain": DOMAIN, "name": name}
    answer = await api.runs.get_run_details(GetRunDetailsRequest(run_id=id_))
    return answer.details


async def test_settings_edited_by_the_command_reach_tasks_and_their_children(
    editor: Editor, api: ApiClient
) -> None:
    editor.apply(ORG, "environment_variables: {SETTING: org, BOTH: org}\nlabels: {x: '1', y: '1'}")
    editor.apply(
        PROJECT_SCOPE,
        "environment_variables: {BOTH: project}\nlabels: {y: '2'}\nrun.max_action_concurrency: 3",
    )

    root = await api.start("surroundings.parent", names=list(NAMES))

    # The task's own environment says BOTH: task, and a run's variables go before it.
    assert await api.result(root) == [["org", "project", "task"]]
    spec = (await run_details(api, root.run.name)).run_spec
    assert spec.labels.values == {"x": "1", "y": "2"}
    assert spec.max_action_concurrency == 3


def test_get_settings_shows_local_and_inherited_values(editor: Editor) -> None:
    editor.apply(ORG, "pod_template_name: usual\ntask_resource.max.cpu: '64'")
    editor.apply(PROJECT_SCOPE, "task_resource.min.cpu: 500m\npod_template_name: ~unset")

    shown = editor.show(PROJECT_SCOPE)

    lines = [line.strip() for line in shown.splitlines()]
    assert any(line.startswith("task_resource.min.cpu: ") and "500m" in line for line in lines)
    assert "pod_template_name: ~unset" in lines
    inherited = [line for line in lines if "task_resource.max.cpu" in line and "64" in line]
    assert [line[0] for line in inherited] == ["#"], shown
    assert "No changes detected" in editor.apply(PROJECT_SCOPE, shown)


def test_example_of_settings_is_applied_as_it_is(editor: Editor) -> None:
    editor.apply(PROJECT_SCOPE, (ROOT / "examples/run-settings.yaml").read_text())

    lines = editor.show(PROJECT_SCOPE).splitlines()
    for key, value in (("run.max_action_concurrency", "50"), ("task_resource.max.memory", "64Gi")):
        assert any(line.startswith(f"{key}: ") and value in line for line in lines), lines


def test_refused_settings_are_named_and_nothing_is_stored(editor: Editor) -> None:
    editor.apply(PROJECT_SCOPE, "labels: {x: '1'}")
    before = editor.show(PROJECT_SCOPE)

    for text, named in (
        (
            "task_resource.min.cpu: 5potatoes",
            "task_resource.min.cpu: '5potatoes' is not a quantity",
        ),
        ("task_resource.min.cpu: '2'\ntask_resource.max.cpu: '1'", "raise the maximum"),
        ("run.default_queue: missing", "missing"),
        ("environment_variables: {ACTION_NAME: x}", "ACTION_NAME"),
    ):
        assert named in editor.apply(PROJECT_SCOPE, text, expect=1)
    assert editor.show(PROJECT_SCOPE) == before


def test_run_that_requests_more_than_the_settings_allow_is_refused(
    editor: Editor, flyte: Flyte
) -> None:
    editor.apply(("--domain", DOMAIN), "task_resource.max.memory: 100Mi")

    refused = flyte("run", "greedy.py", "main", expect=1).text

    assert "task_resource.max.memory of the domain's settings allows 100Mi" in refused
