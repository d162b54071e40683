"""Secrets, settings and triggers."""

from tests.terraform.world import Org

OF_TASKS = """
variable "value" {
  type      = string
  ephemeral = true
}
resource "volary_secret" "key" {
  name          = "My-Key"
  domain        = "development"
  value         = var.value
  value_version = 1
}
"""
SETTINGS = """
resource "volary_settings" "shop" {
  domain  = "development"
  project = "flytesnacks"
  values = {
    "run.max_action_concurrency"          = "50"
    "task_resource.max.memory"            = "64Gi"
    "task_resource.mirror_limits_request" = "true"
    "task_resource.default_accelerator"   = "nvidia-l4"
  }
  environment_variables = { REGION = "eu" }
  unset                 = ["pod_template_name"]
}
"""


def test_value_of_a_secret_is_in_no_state_and_written_again_on_demand(org: Org) -> None:
    terraform = org.terraform.with_environment(TF_VAR_value="first-value")
    org.write(OF_TASKS)
    terraform.apply()
    assert terraform.plan() == ""
    assert "first-value" not in (terraform.directory / "terraform.tfstate").read_text()
    org.write(OF_TASKS.replace("version = 1", "version = 2"))
    assert "1 changed" in terraform.apply()
    assert org.resource("volary_secret.key")["version"] == 2
    terraform.destroy()
    assert org.call("SecretService/ListSecrets", domain="development") == {}


def test_value_that_someone_else_wrote_is_drift(org: Org) -> None:
    terraform = org.terraform.with_environment(TF_VAR_value="first-value")
    org.write(OF_TASKS)
    terraform.apply()
    org.call("SecretService/RotateSecret", name="My-Key", domain="development", value="YQ==")
    assert "1 to change" in terraform.plan()
    terraform.apply()
    assert terraform.plan() == ""
    assert org.resource("volary_secret.key")["version"] == 3


def test_secret_is_imported_by_its_scope_and_name(org: Org) -> None:
    terraform = org.terraform.with_environment(TF_VAR_value="first-value")
    org.write(OF_TASKS)
    terraform.apply()
    terraform.run("state", "rm", "volary_secret.key")
    terraform.run("import", "volary_secret.key", "development/My-Key")
    assert "1 to change" in terraform.plan()  # its value is not known, so it is written
    terraform.apply()
    assert terraform.plan() == ""


def test_settings_are_applied_changed_and_removed(org: Org) -> None:
    org.apply(SETTINGS)
    assert org.terraform.plan() == ""
    org.apply(SETTINGS.replace('"50"', '"60"').replace('["pod_template_name"]', "null"))
    assert org.terraform.plan() == ""
    got = org.call(
        "flyteidl2.settings.SettingsService/GetSettings",
        key={"domain": "development", "project": "flytesnacks"},
    )["settingsRecord"]["settings"]
    assert got["run"]["maxActionConcurrency"]["intValue"] == "60"
    assert got["taskResource"]["defaultAccelerator"]["acceleratorValue"]["device"] == "nvidia-l4"
    assert got["environmentVariables"]["mapValue"]["entries"] == {"REGION": "eu"}
    org.terraform.destroy()
    assert "1 added" in org.terraform.apply()
    assert org.terraform.plan() == ""


def test_settings_that_someone_else_changed_are_drift(org: Org) -> None:
    org.apply(SETTINGS)
    key = {"domain": "development", "project": "flytesnacks"}
    org.call(
        "flyteidl2.settings.SettingsService/UpdateSettings",
        key=key,
        version="1",
        settings={"podTemplateName": {"state": "SETTING_STATE_VALUE", "stringValue": "big"}},
    )
    assert "1 to change" in org.terraform.plan()
    org.terraform.apply()
    assert org.terraform.plan() == ""


def test_settings_of_domain_and_org_are_imported(org: Org) -> None:
    content = """
resource "volary_settings" "org" {
  labels = { team = "ml" }
}
resource "volary_settings" "domain" {
  domain = "production"
  labels = { stage = "prod" }
}
"""
    org.apply(content)
    for address, identity in (("org", "-"), ("domain", "production")):
        org.terraform.run("state", "rm", f"volary_settings.{address}")
        org.terraform.run("import", f"volary_settings.{address}", identity)
    assert org.terraform.plan() == ""


def test_scope_that_has_settings_is_not_taken_over(org: Org) -> None:
    org.call(
        "flyteidl2.settings.SettingsService/CreateSettings",
        key={"domain": "development", "project": "flytesnacks"},
        settings={"podTemplateName": {"state": "SETTING_STATE_VALUE", "stringValue": "big"}},
    )
    org.write(SETTINGS)
    refusal = org.terraform.refuse("apply", "-auto-approve")
    assert "The scope has settings already" in refusal
    assert "<project>/<domain> or <domain>" in refusal


def test_trigger_is_activated_and_its_deactivation_is_drift(org: Org) -> None:
    org.deploy_trigger("nightly")
    content = """
resource "volary_trigger" "nightly" {
  project   = "flytesnacks"
  domain    = "development"
  task_name = "env.main"
  name      = "nightly"
  active    = true
}
"""
    org.apply(content)
    assert org.terraform.plan() == ""
    names = {"project": "flytesnacks", "domain": "development", "taskName": "env.main"}
    names["name"] = "nightly"
    org.call("flyteidl2.trigger.TriggerService/UpdateTriggers", names=[names], active=False)
    assert "false -> true" in org.terraform.plan()
    org.terraform.apply()
    assert org.call("TriggerService/GetTrigger", **names)["trigger"]["active"]
    org.terraform.destroy()
    assert org.call("TriggerService/GetTrigger", **names)["trigger"]["active"]


def test_trigger_that_was_not_deployed_is_refused_with_the_remedy(org: Org) -> None:
    org.write(
        'resource "volary_trigger" "none" {\n  project = "flytesnacks"\n  domain = "development"\n'
        '  task_name = "env.main"\n  name = "none"\n  active = true\n}\n'
    )
    refusal = org.terraform.refuse("apply", "-auto-approve")
    assert "deploy its task first, with `flyte deploy`" in refusal
