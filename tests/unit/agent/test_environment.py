"""Tests of the environment and command line of a task's process."""

from pathlib import Path

import pytest

from dataplane.agent.runtimes.environment import Endpoint, substitute, system_variables
from dataplane.agent.runtimes.process.directory import AttemptDirectory
from dataplane.agent.runtimes.process.environment import compose_environment, inherited
from tests.unit.agent.assignments import make_assignment, make_job

ENDPOINT = Endpoint(address="localhost:8100", insecure=True)


def test_environment_names_the_action() -> None:
    variables = system_variables(make_assignment(3, attempt=2), ENDPOINT)

    assert variables["_U_ORG_NAME"] == "acme"
    assert variables["FLYTE_INTERNAL_EXECUTION_PROJECT"] == "p"
    assert variables["FLYTE_INTERNAL_EXECUTION_DOMAIN"] == "development"
    assert (variables["RUN_NAME"], variables["ACTION_NAME"]) == ("r1", "a3")
    assert variables["_U_RUN_BASE"] == "file:///blobs/acme/p/development/r1"
    assert (variables["_U_EP_OVERRIDE"], variables["_U_INSECURE"]) == ("localhost:8100", "true")
    assert variables["_U_USE_ACTIONS"] == "1"
    assert variables["FLYTE_ATTEMPT_NUMBER"] == "1"


def test_environment_precedence_is_system_run_task() -> None:
    job = make_job(
        env={"MINE": "task", "LOG_LEVEL": "10", "_U_ORG_NAME": "mallory"},
        run_env={"MINE": "run", "ACTION_NAME": "a9"},
    )
    base = {"HOME": "/home/me", "LOG_LEVEL": "40"}
    environment = compose_environment(
        job, base, ENDPOINT, AttemptDirectory(Path("/data/attempts/1"))
    )

    assert environment["HOME"] == "/home/me"
    assert environment["MINE"] == "run"
    assert environment["LOG_LEVEL"] == "10"
    assert environment["_U_ORG_NAME"] == "acme"
    assert environment["ACTION_NAME"] == "a1"


@pytest.mark.parametrize("insecure", [True, False])
def test_sdk_has_a_configuration_of_the_attempt_only_for_an_api_with_tls(*, insecure: bool) -> None:
    endpoint = Endpoint(address="localhost:8100", insecure=insecure)
    directory = AttemptDirectory(Path("/data/attempts/1"))
    environment = compose_environment(make_job(), {}, endpoint, directory)
    expected = None if insecure else "/data/work/1/sdk/config.yaml"
    assert environment.get("UCTL_CONFIG") == expected


@pytest.mark.parametrize("name", ["AWS_ACCESS_KEY_ID", "FLYTE_AWS_ENDPOINT", "HOME", "LC_ALL"])
def test_environment_inherits_storage_and_program_variables(name: str) -> None:
    assert inherited({name: "x", "PATH": "/bin"})[name] == "x"


@pytest.mark.parametrize(
    "name", ["VOLARY_AGENT_TOKEN_FILE", "DATABASE_URL", "PYTHONPATH", "EAGER_API_KEY", "LD_PRELOAD"]
)
def test_environment_inherits_no_other_variables(name: str) -> None:
    assert name not in inherited({name: "x", "PATH": "/bin"})


def test_environment_path_starts_with_agents_programs() -> None:
    path = inherited({"PATH": "/usr/bin"})["PATH"].split(":")

    assert (Path(path[0]) / "a0").exists()
    assert path[-1] == "/usr/bin"


def test_input_templates_are_all_filled_in() -> None:
    assignment = make_assignment(2, attempt=2)
    prefix = "file:///blobs/acme/p/development/r1/a2"
    args = [
        "{{.input}}",
        "{{.outputPrefix}}",
        "{{.rawOutputDataPrefix}}",
        "{{.checkpointOutputPrefix}}",
        "{{.prevCheckpointPrefix}}",
        "{{.runName}}",
        "{{.actionName}}",
        "{{.runStartTime}}",
        "at {{.runName}}/{{.actionName}}",
        "{{.unknown}}",
    ]

    assert substitute(args, assignment) == [
        f"{prefix}/inputs.pb",
        f"{prefix}/2",
        "/blobs/raw/r1/a2",  # as a path
        f"{prefix}/2/_flytecheckpoints",
        f"{prefix}/1/_flytecheckpoints",
        "r1",
        "a2",
        "2026-06-01T12:00:00+00:00",
        "at r1/a2",
        "{{.unknown}}",
    ]


def test_first_attempt_has_no_previous_checkpoint() -> None:
    assert substitute(["{{.prevCheckpointPrefix}}"], make_assignment()) == [""]


def test_input_template_values_are_not_expanded_again() -> None:
    # A value that looks like a placeholder must not be expanded in a second pass.
    assert substitute(["{{.input}}{{.runName}}"], make_assignment())[0].endswith("inputs.pbr1")
