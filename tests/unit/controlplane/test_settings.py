"""Settings of the control plane: defaults, validation and secrecy."""

import logging
from collections.abc import Mapping
from datetime import timedelta

import pytest

from controlplane.core.addresses import Addresses
from controlplane.settings import (
    LogFormat,
    LogLevel,
    Settings,
    database_addresses,
    owner_database_url,
    warn_of_unknown,
)
from shared.kit.settings import SettingsError

REQUIRED = {
    "VOLARY_DATABASE_URL": "postgresql://volary_app:pa55@db/volary",
    "VOLARY_BLOB_BASE": "file:///var/lib/volary/blobs",
    "VOLARY_BLOB_SIGNING_KEY": "k" * 32,
    "VOLARY_CLUSTER_TOKEN": "t" * 20,
}

LOGINS = {
    "VOLARY_AUTH": "oidc",
    "VOLARY_SEALING_KEY": "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=",
}
TLS = {"VOLARY_TLS_CERT_FILE": "tls.crt", "VOLARY_TLS_KEY_FILE": "tls.key"}


def settings(**changed: str) -> Settings:
    return Settings.from_environment({**REQUIRED, **changed})


def refused(**changed: str) -> str:
    with pytest.raises(SettingsError) as error:
        settings(**changed)
    return str(error.value)


def test_settings_without_variables_have_defaults_that_work() -> None:
    read = settings()
    listeners = read.listeners
    assert (listeners.host, listeners.http_port, listeners.link_port) == ("127.0.0.1", 8100, 8101)
    assert listeners.public_url == "http://localhost:8100"
    assert read.database.owner_address == REQUIRED["VOLARY_DATABASE_URL"]
    assert (read.log.level, read.log.format) == (LogLevel.INFO, LogFormat.TEXT)


def test_public_url_setting_defaults_to_the_http_port() -> None:
    assert settings(VOLARY_HTTP_PORT="9000").listeners.public_url == "http://localhost:9000"
    given = settings(VOLARY_PUBLIC_URL="https://v.example/")
    assert given.listeners.public_url == "https://v.example"


def test_tls_of_the_link_takes_both_files_and_leaves_loopback() -> None:
    assert settings(VOLARY_CLUSTER_TOKEN="").tenant.cluster_token is None
    message = refused(VOLARY_LINK_TLS_CERT_FILE="/tls.crt")
    assert "set both VOLARY_LINK_TLS_CERT_FILE and VOLARY_LINK_TLS_KEY_FILE" in message
    of_http = {
        "VOLARY_AUTH": "oidc",
        "VOLARY_SEALING_KEY": "a" * 43 + "=",
        "VOLARY_HOST": "0.0.0.0",  # noqa: S104
        "VOLARY_PUBLIC_URL": "https://v.example",
        "VOLARY_TLS_CERT_FILE": "/tls.crt",
        "VOLARY_TLS_KEY_FILE": "/tls.key",
    }
    assert settings(**of_http).listeners.link_host == "127.0.0.1"
    of_link = {"VOLARY_LINK_TLS_CERT_FILE": "/tls.crt", "VOLARY_LINK_TLS_KEY_FILE": "/tls.key"}
    assert settings(**of_http, **of_link).listeners.link_host == "0.0.0.0"  # noqa: S104
    on_network = {"VOLARY_LINK_HOST": "0.0.0.0"}  # noqa: S104
    assert settings(**of_link, **on_network).listeners.link_host == "0.0.0.0"  # noqa: S104
    assert "VOLARY_LINK_TLS_CERT_FILE" in refused(**on_network)


@pytest.mark.parametrize("name", sorted(set(REQUIRED) - {"VOLARY_CLUSTER_TOKEN"}))
def test_missing_required_setting_is_named(name: str) -> None:
    assert refused(**{name: ""}).startswith(f"{name} is not set; set it to ")


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("VOLARY_HTTP_PORT", "81OO", "a port from 0 to 65535"),
        ("VOLARY_LINK_PORT", "65536", "a port"),
        ("VOLARY_DATABASE_POOL_SIZE", "0", "a whole number of connections from 1 to 1000"),
        ("VOLARY_PUBLIC_URL", "localhost:8100", "an http:// or https:// address"),
        ("VOLARY_BLOB_BASE", "/var/lib/volary", "file:///directory, s3://bucket/prefix, gs://"),
        ("VOLARY_S3_PATH_STYLE", "maybe", "true or false"),
        ("VOLARY_ORG", "a/b", "1 to 63 letters, digits and dashes"),
        ("VOLARY_LINK_HEARTBEAT_SECONDS", "soon", "a number of seconds from 0.1 to 86400"),
        ("VOLARY_STOP_DELAY_SECONDS", "46", "a number of seconds from 0 to 45"),
        ("VOLARY_LOG_LEVEL", "loud", "one of debug, info, warning, error"),
    ],
)
def test_invalid_setting_is_refused_naming_it(name: str, value: str, complaint: str) -> None:
    assert refused(**{name: value}).startswith(f"{name} is {value!r}; set it to {complaint}")


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("VOLARY_DATABASE_URL", "mysql://u:pa55@db", "it does not begin with postgresql://"),
        ("VOLARY_BLOB_SIGNING_KEY", "short", "it has fewer than 32 characters"),
        ("VOLARY_CLUSTER_TOKEN", "short", "it has fewer than 20 characters"),
    ],
)
def test_invalid_secret_setting_is_refused_without_its_value(
    name: str, value: str, complaint: str
) -> None:
    message = refused(**{name: value})
    assert message.startswith(f"{name} is invalid: {complaint}; set it to ")
    assert value not in message


def test_container_of_azure_without_its_storage_account_is_refused() -> None:
    message = refused(VOLARY_BLOB_BASE="abfs://container/volary")

    assert "VOLARY_AZURE_ACCOUNT has to name its storage account" in message
    read = settings(VOLARY_BLOB_BASE="abfs://container/volary", VOLARY_AZURE_ACCOUNT="ours")
    assert read.blobs.options.azure.account == "ours"


def test_link_timing_settings_that_contradict_each_other_are_refused() -> None:
    read = settings(VOLARY_LINK_SELF_FENCE_SECONDS="12.5", VOLARY_LINK_REASSIGN_AFTER_SECONDS="30")
    assert read.timings.self_fence == timedelta(seconds=12.5)
    message = refused(VOLARY_LINK_SELF_FENCE_SECONDS="60", VOLARY_LINK_REASSIGN_AFTER_SECONDS="30")
    assert message.startswith("VOLARY_LINK_SELF_FENCE_SECONDS, VOLARY_LINK_REASSIGN_AFTER_SECONDS")
    assert "fences itself before its leases are reassigned" in message


def test_misspelt_setting_is_logged_with_the_nearest_one(
    caplog: pytest.LogCaptureFixture,
) -> None:
    environment = {
        **REQUIRED,
        "VOLARY_HTPP_PORT": "8100",
        "VOLARY_AGENT_NAME": "of another program",
        "VOLARY_UP_DATABASE_URL": "of another command",
    }
    assert Settings.from_environment(environment) == settings()
    with caplog.at_level(logging.WARNING):
        warn_of_unknown(environment)
    assert [vars(record)["variable"] for record in caplog.records] == ["VOLARY_HTPP_PORT"]
    assert vars(caplog.records[0])["nearest"] == "VOLARY_HTTP_PORT"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "volary.example"])  # noqa: S104
def test_host_setting_outside_loopback_is_refused(host: str) -> None:
    assert "is not this machine's loopback" in refused(VOLARY_HOST=host)
    assert "VOLARY_AUTH=oidc" in refused(VOLARY_HOST=host, **TLS)
    assert "VOLARY_TLS_CERT_FILE" in refused(VOLARY_HOST=host, **LOGINS)


def test_host_setting_outside_loopback_needs_logins_and_tls() -> None:
    listeners = settings(VOLARY_HOST="0.0.0.0", **LOGINS, **TLS).listeners  # noqa: S104
    assert listeners.public_url == "https://localhost:8100"
    assert listeners.link_host == "127.0.0.1"
    behind = {"VOLARY_PLAINTEXT_FOR_PROXIES": "true", "VOLARY_TRUSTED_PROXIES": "10.0.0.0/8, ::1"}
    given = settings(VOLARY_HOST="::", **LOGINS, **behind).listeners
    assert [str(each) for each in given.tls.trusted_proxies] == ["10.0.0.0/8", "::1/128"]


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"VOLARY_TLS_CERT_FILE": "tls.crt"}, "VOLARY_TLS_KEY_FILE"),
        ({"VOLARY_TLS_KEY_FILE": "tls.key"}, "VOLARY_TLS_CERT_FILE"),
        ({"VOLARY_PLAINTEXT_FOR_PROXIES": "true"}, "set VOLARY_TRUSTED_PROXIES"),
        ({"VOLARY_TRUSTED_PROXIES": "10.0.0.1/8"}, "an address or a network"),
        ({**TLS, "VOLARY_PUBLIC_URL": "http://v.example"}, "https:// address"),
        (
            {
                **TLS,
                "VOLARY_TRUSTED_PROXIES": "10.0.0.1",
                "VOLARY_PLAINTEXT_FOR_PROXIES": "true",
            },
            "unset one of them",
        ),
    ],
)
def test_tls_settings_that_contradict_each_other_are_refused(
    changed: Mapping[str, str], complaint: str
) -> None:
    assert complaint in refused(**changed)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_host_setting_accepts_any_loopback_address(host: str) -> None:
    assert settings(VOLARY_HOST=host).listeners.host == host


def test_settings_repr_contains_no_secret() -> None:
    read = settings(VOLARY_S3_SECRET_KEY="s3cr3t", VOLARY_S3_SESSION_TOKEN="s3ss10n")  # noqa: S106
    for secret in ("pa55", "k" * 32, "t" * 20, "s3cr3t", "s3ss10n"):
        assert secret not in repr(read)


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({"VOLARY_OWNER_DATABASE_URL": "postgresql://o@db/v"}, "postgresql://o@db/v"),
        ({"VOLARY_DATABASE_URL": "postgresql://a@db/v"}, "postgresql://a@db/v"),
        (
            {
                "VOLARY_DATABASE_URL": "postgresql://a@pooler/v",
                "VOLARY_DIRECT_DATABASE_URL": "postgresql://a@db/v",
            },
            "postgresql://a@db/v",
        ),
    ],
    ids=["the owner's alone", "any", "past a pooler"],
)
def test_migration_url_is_the_first_that_may_migrate(
    environment: Mapping[str, str], url: str
) -> None:
    assert owner_database_url(environment) == url


def test_migration_url_needs_one_database_setting() -> None:
    with pytest.raises(SettingsError, match="VOLARY_DATABASE_URL is not set"):
        owner_database_url({})


def test_database_url_option_ignores_addresses_of_another_database() -> None:
    environment = {
        "VOLARY_DATABASE_URL": "postgresql://a@db/v",
        "VOLARY_FLEET_DATABASE_URL": "postgresql://fleet@db/v",
    }
    assert database_addresses(environment).fleet == "postgresql://fleet@db/v"
    other = "postgresql://a@other/v"
    assert database_addresses(environment, other) == Addresses(
        orgs=other, fleet=other, direct=other
    )
    with pytest.raises(SettingsError, match=r"--database-url is invalid: .* postgresql://"):
        database_addresses(environment, "mysql://a@db/v")


def test_keyring_without_its_keys_names_the_missing_variable() -> None:
    for keyring, missing in (("file", "SECRETS_KEY_FILE"), ("kms", "SECRETS_KMS_KEYS")):
        assert f"set VOLARY_{missing} too" in refused(VOLARY_SECRETS_KEYRING=keyring)


def test_kms_keys_carry_the_region_of_their_arn() -> None:
    arn = "arn:aws:kms:eu-central-1:123456789012:key/abc"

    read = settings(VOLARY_SECRETS_KMS_KEYS=arn, VOLARY_SECRETS_KMS_ENDPOINT="http://kms")

    (key,) = read.secret_keys.kms_keys
    assert (key.region, key.endpoint, key.name) == ("eu-central-1", "http://kms", f"kms:{arn}")
    assert "set it to the ARN of" in refused(VOLARY_SECRETS_KMS_KEYS="alias/x")
