"""Bad input, and what happens between a plan and its apply: each error names the field and the remedy."""

import base64
import re
from datetime import UTC, datetime, timedelta

import pytest

from tests.terraform.test_provider import PROJECT, QUEUE
from tests.terraform.test_provider_identity import ACCOUNT
from tests.terraform.world import Org

WRONG = """
resource "volary_queue" "wrong" {
  name               = "Big Queue"
  pool               = "-gpus"
  priority           = 5000
  depth              = -1
  run_concurrency    = 1000001
}
resource "volary_project" "wrong" {
  name         = "a/b"
  display_name = "wrong"
}
resource "volary_role" "wrong" {
  name        = "wrong"
  permissions = ["everything"]
}
resource "volary_role_binding" "wrong" {
  role    = "viewer"
  user_id = "1"
  group   = "platform"
}
resource "volary_api_key" "wrong" {
  service_account_id = "1"
  name               = "wrong"
  expires_at         = "tomorrow"
}
resource "volary_cluster" "wrong" {
  name          = "c_1"
  drain_timeout = "soon"
}
resource "volary_secret" "wrong" {
  name  = "wrong"
  type  = "password"
  value = "v"
}
resource "volary_settings" "wrong" {
  values = {
    "run.max_action_concurrency"          = "many"
    "task_resource.mirror_limits_request" = "perhaps"
  }
}
"""


def test_each_wrong_field_is_named_before_anything_is_applied(org: Org) -> None:
    org.write(WRONG)
    refusal = org.terraform.refuse("plan")
    for named in (
        "name must consist of small letters",
        "pool must consist of small letters",
        "priority value must be between -1000 and 1000",
        "depth value must be between 0 and 1000000",
        "run_concurrency value must be between 0 and 1000000",
        "must be a permission such as run:create",
        "attributes specified when one (and only one) of",
        "Write a time such as 2027-01-31T00:00:00Z",
        "Write a duration such as 30m",
        'type value must be one of: ["generic" "image_pull"]',
        '"many" is not a whole number',
        '"perhaps" is neither true nor false',
    ):
        assert named in re.sub(r"Attribute (\w+)(\[[^]]*\])? ", r"\1 ", refusal), named
    assert org.call("QueueService/ListQueues") == {}


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (
            'resource "volary_role_binding" "x" {\n  role = "none"\n  group = "g"\n}\n',
            "Role none not found",
        ),
        (
            'resource "volary_api_key" "x" {\n  service_account_id = "1"\n  name = "k"\n}\n',
            "'1' is not an id",
        ),
        (
            'resource "volary_settings" "x" {\n  values = { "run.default_queue" = "none" }\n}\n',
            "none",
        ),
        ('resource "volary_member" "x" {\n  email = "nobody"\n  role = "viewer"\n}\n', "email"),
    ],
)
def test_field_that_only_the_control_plane_can_judge_is_named_by_the_apply(
    org: Org, content: str, error: str
) -> None:
    org.write(content)
    assert error in org.terraform.refuse("apply", "-auto-approve")


def test_key_that_expired_between_plan_and_apply_is_named_with_the_remedy(org: Org) -> None:
    org.apply(
        ACCOUNT.replace('"runner"\n  permissions', '"runner"\n  description = ""\n  permissions')
    )
    account = org.resource("volary_service_account.ci")["id"]
    org.call(
        "RoleBindingService/CreateRoleBinding",
        principal={"serviceAccountId": account},
        role="admin",
    )
    key = org.resource("volary_api_key.ci")
    terraform = org.terraform.with_environment(VOLARY_API_KEY=key["api_key"])
    org.write(QUEUE)
    terraform.run("plan", "-out=saved", "-target=volary_queue.gpu")
    org.call("ApiKeyService/RevokeApiKey", id=key["id"])
    refusal = terraform.refuse("apply", "saved")
    assert f"The API key {key['client_id']} is not accepted" in refusal
    assert "Create another key with `volary apikey create`, and set VOLARY_API_KEY" in refusal
    assert key["client_secret"] not in refusal


def test_apply_that_failed_half_way_goes_on_where_it_ended(org: Org) -> None:
    org.call("QueueService/CreateQueue", queue={"name": "gpu", "depth": 1})
    org.write(PROJECT + QUEUE)
    org.terraform.refuse("apply", "-auto-approve")
    assert list(org.terraform.resources()) == ["volary_project.shop"]
    org.call("QueueService/DeleteQueue", name="gpu")
    assert "1 added, 0 changed, 0 destroyed" in org.terraform.apply()
    assert org.terraform.plan() == ""


def test_what_was_made_by_an_apply_whose_state_was_lost_is_found_again(org: Org) -> None:
    org.apply(PROJECT + QUEUE)
    (org.terraform.directory / "terraform.tfstate").unlink()
    assert "2 added" in org.terraform.apply()
    assert org.terraform.plan() == ""


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ("", "No control plane is named"),
        ('endpoint = "https://volary.example.com"', "No API key is set"),
        ('endpoint = "http://volary.example.com"', "is not encrypted"),
        ('endpoint = "ftp://volary.example.com"', "is not an address"),
        ('api_key = "nonsense"', "not in the form that `volary apikey create` prints"),
        ('endpoint = "http://localhost:1"\nretry_timeout = "long"', "is not a duration"),
        ('endpoint = "http://localhost:1"\nca_file = "/nonexistent"', "cannot be read"),
    ],
)
def test_wrong_setting_of_the_provider_is_named(org: Org, settings: str, error: str) -> None:
    terraform = org.terraform.with_environment(VOLARY_API_KEY="", VOLARY_CA_FILE="", VOLARY_URL="")
    org.write(f'provider "volary" {{\n{settings}\n}}\n{QUEUE}')
    assert error in terraform.refuse("plan")


def test_key_of_another_org_or_control_plane_is_not_sent(org: Org) -> None:
    org.write(QUEUE)
    other = org.terraform.with_environment(VOLARY_ORG="other")
    assert f"It is for the org {org.name}, not other" in other.refuse("plan")
    text = base64.b64decode(org.api_key).decode().split(":", 1)[1]
    foreign = base64.b64encode(f"volary.example.com:{text}".encode()).decode()
    elsewhere = org.terraform.with_environment(VOLARY_API_KEY=foreign)
    assert "is not sent to" in elsewhere.refuse("plan")


def test_untrusted_certificate_is_named_with_the_remedy(org: Org) -> None:
    org.write(QUEUE)
    terraform = org.terraform.with_environment(VOLARY_CA_FILE="")
    assert "with a private CA, set ca_file" in terraform.refuse("apply", "-auto-approve")


def test_key_without_the_permission_names_it(org: Org) -> None:
    org.apply(ACCOUNT)
    key = org.resource("volary_api_key.ci")["api_key"]
    terraform = org.terraform.with_environment(VOLARY_API_KEY=key)
    org.write(QUEUE)
    refusal = terraform.refuse("apply", "-auto-approve", "-refresh=false")
    assert "queue:write" in refusal
    assert "Bind a role with this permission to the key's service account" in refusal


def test_expired_key_is_planned_again(org: Org) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=3)).strftime("%Y-%m-%dT%H:%M:%SZ")  # noqa: TID251
    org.apply(ACCOUNT.replace("2099-01-31T00:00:00Z", soon))
    key = org.resource("volary_api_key.ci")["id"]
    org.wait_until(
        lambda: datetime.now(UTC) > datetime.fromisoformat(soon),  # noqa: TID251
        "the key has expired",
    )
    assert "expiresAt" in org.call("ApiKeyService/GetApiKey", id=key)["apiKey"]
    assert "1 to add, 0 to change, 0 to destroy" in org.terraform.plan()
