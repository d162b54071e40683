"""Settings from environment variables: defaults, validation and secrecy."""

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from controlplane.settings import LogFormat, LogLevel, Settings, SettingsError, owner_database_url

REQUIRED = {
    "VOLARY_DATABASE_URL": "postgresql://volary_app:pa55@db/volary",
    "VOLARY_BLOB_BASE": "file:///var/lib/volary/blobs",
    "VOLARY_BLOB_SIGNING_KEY": "k" * 32,
    "VOLARY_CLUSTER_TOKEN": "t" * 20,
}
DOCUMENT = Path(__file__).parents[3] / "docs" / "settings.md"


class Remembering(Mapping[str, str]):
    """An environment that records the names read from it."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self._values = values
        self.asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


def settings(**changed: str) -> Settings:
    return Settings.from_environment({**REQUIRED, **changed})


def test_default_settings_match_documentation() -> None:
    read = settings()
    assert (read.host, read.http_port, read.link_port) == ("127.0.0.1", 8100, 8101)
    assert read.public_url == "http://localhost:8100"
    assert read.owner_database_url == read.database_url
    assert (read.log_level, read.log_format) == (LogLevel.INFO, LogFormat.TEXT)


def test_public_url_setting_defaults_to_the_http_port() -> None:
    assert settings(VOLARY_HTTP_PORT="9000").public_url == "http://localhost:9000"
    assert settings(VOLARY_PUBLIC_URL="https://v.example/").public_url == "https://v.example"


def test_settings_and_documentation_list_the_same_variables() -> None:
    environment = Remembering(REQUIRED)
    Settings.from_environment(environment)
    rows = re.findall(r"^\| `(VOLARY_\w+)` \|", DOCUMENT.read_text(), flags=re.MULTILINE)
    assert sorted(rows) == sorted(environment.asked)


@pytest.mark.parametrize("name", sorted(REQUIRED))
def test_missing_required_setting_is_named(name: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} is not set"):
        settings(**{name: ""})


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("VOLARY_DATABASE_URL", "mysql://db/volary", "does not begin with postgresql://"),
        ("VOLARY_HTTP_PORT", "81OO", "not a port"),
        ("VOLARY_LINK_PORT", "65536", "not a port"),
        ("VOLARY_DATABASE_POOL_SIZE", "0", "not a number from 1 to 1000"),
        ("VOLARY_PUBLIC_URL", "localhost:8100", "not an http:// or https:// address"),
        ("VOLARY_BLOB_BASE", "/var/lib/volary", "not file:///directory or s3://bucket/prefix"),
        ("VOLARY_BLOB_SIGNING_KEY", "short", "shorter than 32"),
        ("VOLARY_CLUSTER_TOKEN", "short", "shorter than 20"),
        ("VOLARY_S3_PATH_STYLE", "maybe", "neither true nor false"),
        ("VOLARY_ORG", "a/b", "letters, digits and dashes"),
        ("VOLARY_LINK_HEARTBEAT_SECONDS", "soon", "not a number of seconds"),
        ("VOLARY_LOG_LEVEL", "loud", "not one of debug, info, warning, error"),
    ],
)
def test_invalid_setting_is_refused_naming_it(name: str, value: str, complaint: str) -> None:
    with pytest.raises(SettingsError, match=f"{name} .*{complaint}"):
        settings(**{name: value})


def test_link_timing_settings_that_contradict_each_other_are_refused() -> None:
    read = settings(VOLARY_LINK_SELF_FENCE_SECONDS="12.5", VOLARY_LINK_REASSIGN_AFTER_SECONDS="30")
    assert read.timings.self_fence == timedelta(seconds=12.5)
    with pytest.raises(SettingsError, match="fences itself before its leases are reassigned"):
        settings(VOLARY_LINK_SELF_FENCE_SECONDS="60", VOLARY_LINK_REASSIGN_AFTER_SECONDS="30")


def test_misspelt_setting_is_refused_with_a_suggestion() -> None:
    with pytest.raises(SettingsError, match=r"VOLARY_HTPP_PORT .* mean VOLARY_HTTP_PORT\?"):
        settings(VOLARY_HTPP_PORT="8100")


def test_agent_settings_are_ignored() -> None:
    assert settings(VOLARY_AGENT_NAME="x") == settings()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "volary.example"])  # noqa: S104
def test_host_setting_outside_loopback_is_refused(host: str) -> None:
    with pytest.raises(SettingsError, match=r"is not this machine's loopback"):
        settings(VOLARY_HOST=host)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_host_setting_accepts_any_loopback_address(host: str) -> None:
    assert settings(VOLARY_HOST=host).host == host


def test_settings_repr_and_errors_contain_no_secret() -> None:
    read = settings(VOLARY_S3_SECRET_KEY="s3cr3t")  # noqa: S106
    for secret in ("pa55", "k" * 32, "t" * 20, "s3cr3t"):
        assert secret not in repr(read)
    with pytest.raises(SettingsError) as refused:
        settings(VOLARY_DATABASE_URL="http://user:pa55@db")
    assert "pa55" not in str(refused.value)


def test_migration_url_needs_one_database_setting() -> None:
    assert owner_database_url({"VOLARY_OWNER_DATABASE_URL": "postgresql://o@db/v"}).endswith("/v")
    assert owner_database_url({"VOLARY_DATABASE_URL": "postgresql://a@db/v"}).endswith("/v")
    with pytest.raises(SettingsError, match="VOLARY_DATABASE_URL is not set"):
        owner_database_url({})


def test_keyring_without_its_keys_names_the_missing_variable() -> None:
    for keyring, missing in (("file", "SECRETS_KEY_FILE"), ("kms", "SECRETS_KMS_KEYS")):
        with pytest.raises(SettingsError, match=missing):
            Settings.from_environment({**REQUIRED, "VOLARY_SECRETS_KEYRING": keyring})


def test_kms_keys_carry_the_region_of_their_arn() -> None:
    arn = "arn:aws:kms:eu-central-1:123456789012:key/abc"

    settings = Settings.from_environment(
        {**REQUIRED, "VOLARY_SECRETS_KMS_KEYS": arn, "VOLARY_SECRETS_KMS_ENDPOINT": "http://kms"}
    )

    (key,) = settings.secret_keys.kms_keys
    assert (key.region, key.endpoint, key.name) == ("eu-central-1", "http://kms", f"kms:{arn}")
    with pytest.raises(SettingsError, match="ARN"):
        Settings.from_environment({**REQUIRED, "VOLARY_SECRETS_KMS_KEYS": "alias/x"})
