"""``volary domain`` and ``volary settings``: over the API with a key, and on the database."""

from typing import Any

import pytest
from flyteidl2.settings.settings_definition_pb2 import Settings as SettingsMessage
from google.protobuf.json_format import ParseDict

from controlplane.api.convert.scoped_settings import list_keys
from controlplane.cli.scoped_settings import KINDS, MAPS, new_leaf
from tests.factories import ORG
from tests.integration.cli.program import BASE, Program, program, service

__all__ = ["program", "service"]

PLACE = ("--domain", "development", "--project", "flytesnacks")


async def own(program: Program, *place: str) -> Any:
    shown = await program.json("settings", "show", "--own", *place)
    return shown["settingsRecord"].get("settings", {})


async def shown(program: Program, *place: str) -> list[list[str]]:
    done = await program.run("settings", "show", *place)
    assert done.code == 0, done.err
    return [line.split() for line in done.out.splitlines()[1:]]


async def test_domain_is_created_renamed_and_deleted_by_commands(program: Program) -> None:
    made = await program.json("domain", "create", "canary", "--display-name", "Canary")
    assert made["domain"]["friendlyName"] == "Canary"
    renamed = await program.json("domain", "update", "canary", "--display-name", "Canaries")
    assert renamed["domain"]["friendlyName"] == "Canaries"
    assert (await program.json("domain", "show", "canary"))["domain"]["id"] == "canary"
    assert "Canaries" in (await program.run("domain", "list")).out

    asked = await program.run("domain", "delete", "canary")
    assert "Give --yes" in asked.err
    assert (await program.run("domain", "delete", "canary", "--yes")).code == 0

    missing = await program.run("domain", "show", "canary")
    assert missing.code == 1
    assert "canary not found; there is" in missing.err


async def test_setting_of_a_project_wins_and_shows_its_level(program: Program) -> None:
    await program.json("queue", "set", "gpu")
    await program.json("settings", "set", "run.default_queue=gpu", "labels.a=1", "labels.b=1")
    await program.json("settings", "set", "labels.b=2", "task_resource.max.memory=64Gi", *PLACE)

    assert await shown(program, *PLACE) == [
        ["run.default_queue", "gpu", "org"],
        ["task_resource.max.memory", "64Gi", "project"],
        ["labels", "a=1,", "b=2", "project"],
    ]
    assert await own(program, *PLACE) == {
        "taskResource": {
            "max": {"memory": {"state": "SETTING_STATE_VALUE", "quantityValue": "64Gi"}}
        },
        "labels": {"state": "SETTING_STATE_VALUE", "mapValue": {"entries": {"b": "2"}}},
    }


async def test_setting_is_cut_off_and_inherited_again(program: Program) -> None:
    await program.json("settings", "set", "pod_template_name=big", "labels.a=1")
    await program.json("settings", "unset", "pod_template_name", *PLACE)
    assert await shown(program, *PLACE) == [["labels", "a=1", "org"]]

    await program.json("settings", "inherit", "pod_template_name", *PLACE)

    assert await own(program, *PLACE) == {}
    assert ["pod_template_name", "big", "org"] in await shown(program, *PLACE)
    await program.json("settings", "inherit", "labels.a")
    assert await own(program) == {
        "podTemplateName": {"state": "SETTING_STATE_VALUE", "stringValue": "big"}
    }


async def test_every_kind_of_setting_is_stored_and_shown_as_it_was_given(program: Program) -> None:
    given = [
        ("run.max_action_concurrency", "7"),
        ("run.run_base_dir", f"{BASE}/{ORG}/elsewhere"),
        ("task_resource.min.cpu", "250m"),
        ("task_resource.mirror_limits_request", "true"),
        ("task_resource.default_accelerator", "nvidia-l4"),
    ]
    await program.json("settings", "set", *(f"{key}={value}" for key, value in given))

    assert await shown(program) == [[key, value, "org"] for key, value in given]


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["set", "run.queue=x"], "'run.queue' is no setting; there are run.default_queue, "),
        (["set", "labels=x"], "labels is a map; name an entry, as in labels.NAME=VALUE"),
        (["set", "labels.=x"], "'labels.' names no entry"),
        (["set", "run.default_queue"], "has no =; write it as run.default_queue=VALUE"),
        (["set", "run.max_action_concurrency=many"], "'many' is not a whole number"),
        (["set", "task_resource.mirror_limits_request=yes"], "is neither true nor false"),
        (["set", "run.default_queue=nowhere"], "nowhere not found"),
        (["set", "task_resource.min.cpu=5potatoes"], "task_resource.min.cpu"),
        (["set", "labels.a=1", "--project", "flytesnacks"], "domain"),
        (["unset", "nothing"], "'nothing' is no setting"),
        (["show", "--domain", "nowhere"], "nowhere"),
    ],
)
async def test_refused_change_of_settings_says_why_and_stores_nothing(
    program: Program, command: list[str], message: str
) -> None:
    done = await program.run("settings", *command)

    assert (done.code, done.out) == (1, "")
    assert message in done.err.splitlines()[-1]
    assert await own(program) == {}


async def test_settings_are_changed_on_the_database(program: Program, database_url: str) -> None:
    direct = Program(program.service, program.person)
    direct.environment = {"VOLARY_DATABASE_URL": database_url, "VOLARY_ORG": ORG}

    changed = await direct.json("settings", "set", "environment_variables.REGION=eu", *PLACE)
    directory = await direct.run("settings", "set", f"run.run_base_dir={BASE}/{ORG}/x")

    assert changed["settingsRecord"]["version"] == "1"
    assert ["environment_variables", "REGION=eu", "project"] in await shown(program, *PLACE)
    assert "VOLARY_BLOB_BASE" in directory.err
    direct.environment["VOLARY_BLOB_BASE"] = BASE
    allowed = await direct.run("settings", "set", f"run.run_base_dir={BASE}/{ORG}/x")
    assert allowed.code == 0, allowed.err


def test_command_knows_every_setting_of_flyteidl2_and_its_kind() -> None:
    assert {*KINDS, *MAPS} == set(list_keys())
    for key in KINDS:
        leaf = new_leaf(key, {"intValue": "7", "boolValue": "true"}.get(KINDS[key].field, "1"))
        for part in reversed(key.split(".")):
            leaf = {part: leaf}
        ParseDict(dict(leaf), SettingsMessage())  # raises for a field that the key has not
