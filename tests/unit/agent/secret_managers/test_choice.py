"""The ids of secrets in a manager, and the settings that choose it."""

from dataclasses import replace
from itertools import product

import pytest

from dataplane.agent.secret_managers.choice import VaultSettings, open_reader
from dataplane.agent.secret_managers.protocol import SecretIds
from dataplane.agent.settings import Settings
from shared.kit.settings import SettingsError, read
from shared.model.ids import OrgName
from shared.model.secrets import SecretName, list_candidates

KEY = SecretName(org=OrgName("acme"), project="shop", domain="production", name="KEY")
MANAGERS = {
    "aws": SecretIds("volary", "/", r"[A-Za-z0-9/_+=.@-]{1,512}"),
    "gcp": SecretIds("volary", "__", r"[A-Za-z0-9_-]{1,255}"),
    "azure": SecretIds("volary", "--", r"[A-Za-z0-9-]{1,127}"),
}


def test_ids_name_the_scope_then_the_org_domain_project_and_key() -> None:
    assert [MANAGERS["aws"].render(each) for each in list_candidates(KEY)] == [
        "volary/project/acme/production/shop/KEY",
        "volary/domain/acme/production/KEY",
        "volary/org/acme/KEY",
    ]


@pytest.mark.parametrize("manager", MANAGERS)
def test_two_secrets_never_have_one_id(manager: str) -> None:
    parts = ["a", "a-b", "a--b", "-a", "b-", "a_b", "a__b", "_", "b", "project", "org", "-"]
    seen: dict[str, SecretName] = {}
    for org, domain, project, key in product(parts, repeat=4):
        asked = SecretName(org=OrgName(org), project=project, domain=domain, name=key)
        for name in list_candidates(asked):
            rendered = MANAGERS[manager].render(name)
            if rendered:
                assert seen.setdefault(rendered, name) == name
    assert len(seen) > 1000


@pytest.mark.parametrize(
    ("manager", "key"),
    [("gcp", "a.b"), ("azure", "a_b"), ("aws", "a b"), ("azure", "k" * 127), ("aws", "a\nb")],
)
def test_key_that_a_manager_does_not_allow_has_no_id(manager: str, key: str) -> None:
    assert MANAGERS[manager].render(replace(KEY, name=key)) == ""


def _read(manager: str = "none", **variables: str) -> Settings:
    required = {
        "VOLARY_AGENT_CONTROL_PLANE": "localhost:8101",
        "VOLARY_AGENT_TOKEN_FILE": "/token",
        "VOLARY_AGENT_PUBLIC_ENDPOINT": "localhost:8100",
        "VOLARY_AGENT_DATA_DIR": "/data",
        "VOLARY_AGENT_SECRET_MANAGER": manager,
    }
    return read(Settings, {**required, **variables}, {})


def test_agent_has_no_secret_manager_unless_one_is_chosen() -> None:
    assert open_reader(_read().secret_manager) is None


def test_required_settings_of_the_chosen_manager_are_named() -> None:
    with pytest.raises(SettingsError, match="VOLARY_AGENT_GCP_SECRETS_PROJECT"):
        _read("gcp")


@pytest.mark.parametrize("role", ["", "volary-agent"])
def test_vault_needs_either_a_role_or_a_token_file(role: str) -> None:
    chosen = _read(
        "vault",
        VOLARY_AGENT_VAULT_ADDRESS="https://vault:8200",
        VOLARY_AGENT_VAULT_ROLE=role,
        **({"VOLARY_AGENT_VAULT_TOKEN_FILE": "/token"} if role else {}),
    ).secret_manager
    assert isinstance(chosen, VaultSettings)
    with pytest.raises(SettingsError, match="either VOLARY_AGENT_VAULT_ROLE"):
        open_reader(chosen)
