from dataclasses import replace
from datetime import UTC, datetime

import pytest

from controlplane.core.errors import InvalidError
from controlplane.core.secrets import (
    CLUSTERS,
    ClusterKey,
    OverallStatus,
    SealedRow,
    SecretRow,
    SecretStatus,
    SecretType,
    find_first,
    is_present,
    parse_secret_name,
    require_value,
)
from shared.kit.secrets import SecretBytes
from shared.model.ids import ClusterName, OrgName
from shared.model.secrets import MAX_VALUE_BYTES, SecretName, list_candidates

ORG = OrgName("acme")
NAME = SecretName(org=ORG, project="p", domain="d", name="key")
ROW = SecretRow(
    name=NAME,
    type=SecretType.GENERIC,
    version=1,
    keyring="aes:1",
    created_by="someone",
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
    updated_at=datetime(2026, 1, 1, tzinfo=UTC),
)
CLUSTER = ClusterKey(cluster=ClusterName("c1"), public_key=b"key", connected=True)


@pytest.mark.parametrize(
    ("project", "domain"), [("", ""), ("", "production"), ("shop", "production")]
)
def test_secret_name_has_one_of_three_scopes(project: str, domain: str) -> None:
    name = parse_secret_name(ORG, project=project, domain=domain, name="A-b_1")

    assert (name.project, name.domain) == (project, domain)


@pytest.mark.parametrize(
    ("project", "domain", "name"),
    [
        ("shop", "", "key"),
        ("", "", ""),
        ("", "", "a.b"),
        ("", "", "x" * 254),
        ("Shop", "production", "key"),
        ("shop", "Production", "key"),
    ],
)
def test_invalid_secret_name_or_scope_is_refused(project: str, domain: str, name: str) -> None:
    with pytest.raises(InvalidError):
        parse_secret_name(ORG, project=project, domain=domain, name=name)


@pytest.mark.parametrize("value", [b"", b"x" * (MAX_VALUE_BYTES + 1)])
def test_secret_value_of_a_bad_size_is_refused(value: bytes) -> None:
    with pytest.raises(InvalidError):
        require_value(NAME, SecretType.GENERIC, SecretBytes(value))


@pytest.mark.parametrize("value", [b"\xff", b"x" * MAX_VALUE_BYTES])
def test_generic_secret_may_have_any_bytes_up_to_the_limit(value: bytes) -> None:
    require_value(NAME, SecretType.GENERIC, SecretBytes(value))


@pytest.mark.parametrize(
    "value",
    [b"canary", b"\xff", b"[]", b"{}", b'{"auths": []}', b'{"auths": {"r": 1}}', b"[" * 100_000],
)
def test_image_pull_secret_that_is_no_docker_config_is_refused_without_its_value(
    value: bytes,
) -> None:
    with pytest.raises(InvalidError) as refused:
        require_value(
            replace(NAME, project="", domain=""), SecretType.IMAGE_PULL, SecretBytes(value)
        )

    assert "canary" not in str(refused.value)


def test_image_pull_secret_belongs_to_the_org() -> None:
    docker = SecretBytes(b'{"auths": {"r": {"auth": "dTpw"}}}')

    require_value(replace(NAME, project="", domain=""), SecretType.IMAGE_PULL, docker)
    with pytest.raises(InvalidError, match="belongs to the org"):
        require_value(NAME, SecretType.IMAGE_PULL, docker)


def test_narrowest_scope_is_found_first() -> None:
    candidates = list_candidates(NAME)
    rows = [SealedRow(row=replace(ROW, name=each), envelope=b"") for each in candidates]

    assert find_first(candidates, rows) == rows[0]
    assert find_first(candidates, rows[2:]) == rows[2]
    assert find_first(candidates, []) is None


def test_secret_is_present_where_an_agent_can_open_it() -> None:
    sealed = replace(ROW, keyring=CLUSTERS, recipients=["p256:1"])

    assert is_present(ROW, CLUSTER, "p256:2")
    assert is_present(sealed, CLUSTER, "p256:1")
    assert not is_present(sealed, CLUSTER, "p256:2")
    assert not is_present(ROW, replace(CLUSTER, public_key=b""), "p256:1")


@pytest.mark.parametrize(
    ("present", "overall"),
    [
        ([], OverallStatus.UNKNOWN),
        ([True, True], OverallStatus.FULLY_PRESENT),
        ([True, False], OverallStatus.PARTIALLY_PRESENT),
    ],
)
def test_overall_status_summarises_the_clusters(
    present: list[bool], overall: OverallStatus
) -> None:
    clusters = [(ClusterName(str(number)), each) for number, each in enumerate(present)]

    assert SecretStatus(row=ROW, clusters=clusters).overall is overall
