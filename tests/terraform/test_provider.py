"""The provider volary: applies, finds drift, imports and destroys, on a real control plane."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.terraform.world import Org

_SOURCE = Path(__file__).parents[2] / "infra/terraform/provider"

QUEUE = """
resource "volary_queue" "gpu" {
  name     = "gpu"
  pool     = "gpus"
  priority = 3
}
"""
PROJECT = """
resource "volary_project" "shop" {
  name         = "shop"
  display_name = "Shop"
  labels       = { team = "ml" }
}
"""


def test_applied_configuration_has_an_empty_plan(org: Org) -> None:
    output = org.apply(QUEUE + PROJECT)
    assert "2 added" in output
    assert org.terraform.plan() == ""
    assert "0 added, 0 changed, 0 destroyed" in org.terraform.apply()
    queue = org.call("QueueService/GetQueue", name="gpu")["queue"]
    assert (queue["pool"], queue["priority"]) == ("gpus", 3)


def test_changed_queue_is_updated_in_place(org: Org) -> None:
    org.apply(QUEUE)
    output = org.apply(QUEUE.replace("priority = 3", "depth = 50"))
    assert "1 changed, 0 destroyed" in output
    queue = org.call("QueueService/GetQueue", name="gpu")["queue"]
    assert (queue.get("priority", 0), queue["depth"], queue["version"]) == (0, 50, "2")


def test_drift_of_a_queue_is_planned_and_put_right(org: Org) -> None:
    org.apply(QUEUE)
    org.call(
        "QueueService/UpdateQueue", queue={"name": "gpu", "priority": 9}, updateMask="priority"
    )
    assert "9 -> 3" in org.terraform.plan()
    org.terraform.apply()
    assert org.call("QueueService/GetQueue", name="gpu")["queue"]["priority"] == 3


def test_deleted_queue_is_planned_again(org: Org) -> None:
    org.apply(QUEUE)
    org.call("QueueService/DeleteQueue", name="gpu")
    assert "1 to add, 0 to change" in org.terraform.plan()


def test_imported_resources_have_an_empty_plan(org: Org) -> None:
    org.call("QueueService/CreateQueue", queue={"name": "gpu", "pool": "gpus", "priority": 3})
    org.call(
        "flyteidl2.project.ProjectService/CreateProject",
        project={"id": "shop", "name": "Shop", "labels": {"values": {"team": "ml"}}},
    )
    org.write(QUEUE + PROJECT)
    org.terraform.run("import", "volary_queue.gpu", "gpu")
    org.terraform.run("import", "volary_project.shop", "shop")
    assert org.terraform.plan() == ""


def test_existing_queue_with_other_settings_is_not_taken_over(org: Org) -> None:
    org.call("QueueService/CreateQueue", queue={"name": "gpu", "depth": 1})
    org.write(QUEUE)
    refusal = org.terraform.refuse("apply", "-auto-approve")
    assert "exists with other settings" in refusal
    assert "terraform import volary_queue.NAME <name>" in refusal


def test_destroyed_project_is_archived_and_applied_again(org: Org) -> None:
    org.apply(PROJECT)
    org.terraform.destroy()
    get = "flyteidl2.project.ProjectService/GetProject"
    assert org.call(get, id="shop")["project"]["state"] == "PROJECT_STATE_ARCHIVED"
    assert "1 added" in org.terraform.apply()
    assert "state" not in org.call(get, id="shop")["project"]
    assert org.terraform.plan() == ""


def test_update_of_what_changed_after_the_plan_is_refused(org: Org) -> None:
    org.apply(QUEUE)
    org.write(QUEUE.replace("priority = 3", "priority = 4"))
    org.terraform.run("plan", "-out=saved")
    org.call("QueueService/UpdateQueue", queue={"name": "gpu", "depth": 7}, updateMask="depth")
    refusal = org.terraform.refuse("apply", "saved")
    assert "at version 2, not 1" in refusal
    assert "run terraform plan again" in refusal
    assert org.call("QueueService/GetQueue", name="gpu")["queue"]["depth"] == 7


def test_provider_passes_its_own_unit_tests() -> None:
    go = shutil.which("go")
    if go is None:
        pytest.skip("there is no Go toolchain to build the provider with: run make test-needs")
    done = subprocess.run(  # noqa: S603 -- our own arguments
        [go, "test", "./..."], cwd=_SOURCE, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
