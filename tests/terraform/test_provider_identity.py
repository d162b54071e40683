"""Roles, bindings, service accounts, keys, members, identity providers and the org itself."""

import base64
import json
import re

from tests.terraform.world import Org

ACCOUNT = """
resource "volary_role" "runner" {
  name        = "runner"
  permissions = ["run:create", "run:read", "project:read"]
}
resource "volary_service_account" "ci" {
  name        = "ci"
  description = "continuous integration"
}
resource "volary_role_binding" "ci" {
  role               = volary_role.runner.name
  service_account_id = volary_service_account.ci.id
  project            = "flytesnacks"
}
resource "volary_api_key" "ci" {
  service_account_id = volary_service_account.ci.id
  name               = "ci"
  expires_at         = "2099-01-31T00:00:00Z"
  keepers            = { turn = "1" }
}
"""
MEMBER = """
resource "volary_member" "ada" {
  email = "ada@acme.example"
  role  = "viewer"
}
"""
PROVIDER = """
variable "secret" {
  type      = string
  ephemeral = true
}
resource "volary_identity_provider" "okta" {
  name                  = "Okta"
  issuer                = "https://okta.example.com"
  client_id             = "volary"
  client_secret         = var.secret
  client_secret_version = 1
  email_domains         = ["acme.example"]
  role                  = "viewer"
}
"""


def test_key_of_a_service_account_works_with_the_role_that_is_bound(org: Org) -> None:
    org.apply(ACCOUNT)
    assert org.terraform.plan() == ""
    key = org.resource("volary_api_key.ci")
    assert base64.b64decode(key["api_key"]).decode().endswith(f":{key['client_secret']}:{org.name}")
    bound = Org(org.installation, org.name, key["api_key"], org.terraform)
    assert bound.post("OrgService/UpdateOrg", {"updateMask": "displayName"}).status_code == 403
    caller = bound.call("CallerService/GetCaller")["caller"]
    assert [each for each in caller["grants"] if each.get("project") == "flytesnacks"]


def test_key_is_replaced_when_its_keepers_change_and_after_it_was_revoked(org: Org) -> None:
    org.apply(ACCOUNT)
    first = org.resource("volary_api_key.ci")
    org.apply(ACCOUNT.replace('turn = "1"', 'turn = "2"'))
    second = org.resource("volary_api_key.ci")
    assert first["id"] != second["id"]
    assert "revokedAt" in org.call("ApiKeyService/GetApiKey", id=first["id"])["apiKey"]
    org.call("ApiKeyService/RevokeApiKey", id=second["id"])
    assert "1 to add, 0 to change, 0 to destroy" in org.terraform.plan()


def test_secret_of_a_key_is_shown_in_no_output(org: Org) -> None:
    output = org.apply(ACCOUNT + 'output "id" { value = volary_api_key.ci.id }\n')
    key = org.resource("volary_api_key.ci")
    assert key["client_secret"] not in output + org.terraform.run("show")[1]


def test_disabled_account_and_changed_role_are_drift(org: Org) -> None:
    org.apply(ACCOUNT)
    account = org.resource("volary_service_account.ci")
    org.call(
        "ServiceAccountService/UpdateServiceAccount",
        serviceAccount={"id": account["id"], "disabled": True},
        updateMask="disabled",
    )
    org.call(
        "RoleService/UpdateRole",
        role={"name": "runner", "permissions": ["run:read"]},
        updateMask="permissions",
    )
    assert "0 to add, 2 to change, 0 to destroy" in org.terraform.plan()
    org.terraform.apply()
    assert org.terraform.plan() == ""
    found = org.call("RoleService/GetRole", name="runner")["role"]
    assert found["permissions"] == ["project:read", "run:create", "run:read"]


def test_everything_is_imported_by_its_id_or_name(org: Org) -> None:
    org.apply(ACCOUNT)
    ids = {
        address: org.resource(address).get("id", "runner")
        for address in ("volary_role.runner", "volary_service_account.ci", "volary_role_binding.ci")
    }
    for address, identity in ids.items():
        org.terraform.run("state", "rm", address)
        org.terraform.run("import", address, identity)
    assert org.terraform.plan() == ""


def test_destroyed_account_leaves_nothing(org: Org) -> None:
    org.apply(ACCOUNT)
    assert "4 destroyed" in org.terraform.destroy()
    accounts = org.call("ServiceAccountService/ListServiceAccounts")["serviceAccounts"]
    assert [each["name"] for each in accounts] == ["terraform"]


def test_person_who_is_no_member_is_invited_and_the_invitation_withdrawn(org: Org) -> None:
    org.apply(MEMBER)
    assert org.terraform.plan() == ""
    invited = org.resource("volary_member.ada")
    assert invited["user_id"] == ""
    assert invited["invitation_link"].startswith(org.installation.url)
    org.apply(MEMBER.replace("viewer", "contributor"))
    again = org.resource("volary_member.ada")
    assert again["invitation_id"] != invited["invitation_id"]
    shown = org.call("InvitationService/GetInvitation", id=again["invitation_id"])["invitation"]
    assert (shown["role"], shown["email"]) == ("contributor", "ada@acme.example")
    org.terraform.destroy()
    listed = org.call("InvitationService/ListInvitations").get("invitations", [])
    assert again["invitation_id"] not in [each["id"] for each in listed]


def test_withdrawn_invitation_is_planned_again(org: Org) -> None:
    org.apply(MEMBER)
    invited = org.resource("volary_member.ada")
    org.call("InvitationService/WithdrawInvitation", id=invited["invitation_id"])
    assert "1 to add, 0 to change, 0 to destroy" in org.terraform.plan()


def test_member_gets_the_role_and_is_removed(org: Org) -> None:
    user = org.join("ada@acme.example", "viewer")
    org.apply(MEMBER.replace("viewer", "contributor"))
    assert org.terraform.plan() == ""
    assert org.resource("volary_member.ada")["user_id"] == user
    assert org.call("MemberService/GetMember", userId=user)["member"]["role"] == "contributor"
    org.terraform.run("state", "rm", "volary_member.ada")
    org.terraform.run("import", "volary_member.ada", "ada@acme.example")
    assert org.terraform.plan() == ""
    org.terraform.destroy()
    assert org.post("MemberService/GetMember", {"userId": user}).status_code == 404


def test_secret_of_an_identity_provider_is_in_no_state(org: Org) -> None:
    terraform = org.terraform.with_environment(TF_VAR_secret="first-client-secret")  # noqa: S106 -- of no one
    org.write(PROVIDER)
    terraform.apply()
    assert terraform.plan() == ""
    assert "first-client-secret" not in (org.terraform.directory / "terraform.tfstate").read_text()
    made = org.resource("volary_identity_provider.okta")
    assert made["callback_url"].endswith("/login/callback")
    assert made["scopes"] == ["openid", "email", "profile", "offline_access"]
    org.write(PROVIDER.replace("version = 1", "version = 2"))
    plan = re.sub(r"\s+", " ", terraform.plan())
    assert "client_secret_version = 1 -> 2" in plan
    terraform.apply()
    org.call(
        "IdentityProviderService/UpdateIdentityProvider",
        identityProvider={"id": made["id"], "disabled": True},
        updateMask="disabled",
    )
    assert "disabled" in terraform.plan()
    terraform.apply()
    terraform.destroy()
    assert org.call("IdentityProviderService/ListIdentityProviders") == {}


def test_org_is_named_and_stays_when_destroyed(org: Org) -> None:
    content = (
        f'resource "volary_org" "own" {{\n  name = "{org.name}"\n  display_name = "Acme"\n}}\n'
    )
    org.apply(content)
    assert org.terraform.plan() == ""
    assert org.call("OrgService/GetOrg")["org"]["displayName"] == "Acme"
    assert "exists as before" in org.terraform.destroy()
    assert "deletedAt" not in org.call("OrgService/GetOrg")["org"]


def test_org_of_another_name_is_refused(org: Org) -> None:
    org.write('resource "volary_org" "own" {\n  name = "other"\n  display_name = "Acme"\n}\n')
    refusal = org.terraform.refuse("apply", "-auto-approve")
    assert f"The API key is of the org {org.name}; use a key of the org other" in refusal


def test_org_is_deleted_when_it_says_so(org: Org) -> None:
    org.apply(
        f'resource "volary_org" "own" {{\n  name = "{org.name}"\n  display_name = "Acme"\n'
        "  delete_on_destroy = true\n}\n"
    )
    org.terraform.destroy()
    refused = org.terraform.refuse("import", "volary_org.own", org.name)
    assert "is not accepted" in refused


def test_state_of_secrets_is_only_in_sensitive_attributes(org: Org) -> None:
    org.apply(ACCOUNT + MEMBER)
    state = json.loads((org.terraform.directory / "terraform.tfstate").read_text())
    marked = {
        (each["type"], path[-1]["value"])
        for each in state["resources"]
        for instance in each["instances"]
        for path in instance.get("sensitive_attributes", [])
    }
    assert marked == {
        ("volary_api_key", "api_key"),
        ("volary_api_key", "client_secret"),
        ("volary_member", "invitation_link"),
    }
