"""SecretService through the served API, on a real database."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from connectrpc.code import Code
from flyteidl2.cluster.payload_pb2 import SelectClusterRequest
from flyteidl2.common.identifier_pb2 import OrgIdentifier
from flyteidl2.project.project_service_pb2 import Project, ProjectState, UpdateProjectRequest
from flyteidl2.secret.definition_pb2 import (
    OverallStatus,
    SecretIdentifier,
    SecretPresenceStatus,
    SecretSpec,
    SecretType,
)
from flyteidl2.secret.payload_pb2 import (
    CreateSecretRequest,
    DeleteSecretRequest,
    GetSecretRequest,
    ListSecretsRequest,
    UpdateSecretRequest,
)
from sqlalchemy import text

from controlplane.core.secrets import MAX_NAME
from shared.model.secrets import MAX_VALUE_BYTES
from tests.integration.api.client import DOMAIN, ORG, PROJECT, ApiUnderTest
from tests.integration.api.requests import refusal

DOCKER = json.dumps({"auths": {"registry.example.com": {"auth": "dTpw"}}}).encode()
CANARY = b"canary-5c1f0a-value"


def secret_id(name: str = "token", *, project: str = "", domain: str = "") -> SecretIdentifier:
    return SecretIdentifier(name=name, project=project, domain=domain)


def creation(
    name: str = "token",
    value: bytes = CANARY,
    *,
    project: str = "",
    domain: str = "",
    kind: SecretType.ValueType = SecretType.SECRET_TYPE_GENERIC,
) -> CreateSecretRequest:
    return CreateSecretRequest(
        id=secret_id(name, project=project, domain=domain),
        secret_spec=SecretSpec(binary_value=value, type=kind),
    )


async def listed(api: ApiUnderTest, **scope: Any) -> Sequence[tuple[str, str, str]]:
    answer = await api.secrets.list_secrets(ListSecretsRequest(limit=100, **scope))
    return [(each.id.project, each.id.domain, each.id.name) for each in answer.secrets]


async def test_created_secret_is_found_without_its_value(api: ApiUnderTest) -> None:
    await api.clusters.select_cluster(
        SelectClusterRequest(
            org_id=OrgIdentifier(), operation=SelectClusterRequest.OPERATION_USE_SECRETS
        )
    )
    await api.secrets.create_secret(creation(project=PROJECT, domain=DOMAIN))

    found = await api.secrets.get_secret(
        GetSecretRequest(id=secret_id(project=PROJECT, domain=DOMAIN))
    )

    secret = found.secret
    assert (secret.id.organization, secret.id.project, secret.id.domain) == (ORG, PROJECT, DOMAIN)
    assert secret.secret_metadata.created_time.seconds > 0
    assert secret.secret_metadata.type == SecretType.SECRET_TYPE_GENERIC
    assert secret.secret_metadata.secret_status.overall_status == OverallStatus.UNKNOWN_STATUS
    assert CANARY not in found.SerializeToString()


async def test_one_name_exists_once_in_each_scope(api: ApiUnderTest) -> None:
    scopes: tuple[dict[str, Any], ...] = (
        {},
        {"domain": DOMAIN},
        {"project": PROJECT, "domain": DOMAIN},
    )
    for scope in scopes:
        await api.secrets.create_secret(creation(**scope))

    for scope in scopes:
        code, message = await refusal(api.secrets.create_secret(creation(value=b"other", **scope)))
        assert code is Code.ALREADY_EXISTS
        assert "volary secret update" in message
    assert len(await listed(api)) == 3


async def test_string_value_is_taken_as_well(api: ApiUnderTest) -> None:
    request = CreateSecretRequest(id=secret_id(), secret_spec=SecretSpec(string_value="ü"))

    await api.secrets.create_secret(request)

    assert await listed(api) == [("", "", "token")]


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (creation(""), "name"),
        (creation("a b"), "name"),
        (creation("a/b"), "name"),
        (creation("ä"), "name"),
        (creation("x" * (MAX_NAME + 1)), "at most 253"),
        (creation(value=b""), "empty"),
        (CreateSecretRequest(id=secret_id()), ""),
        (creation(value=b"x" * (MAX_VALUE_BYTES + 1)), "Kubernetes Secret"),
        (creation(project=PROJECT), "domain"),
        (creation(project="Not Valid", domain=DOMAIN), "project"),
        (creation(kind=SecretType.SECRET_TYPE_IMAGE_PULL_SECRET), "dockerconfigjson"),
        (creation(value=b'{"auths": {}}', kind=SecretType.SECRET_TYPE_IMAGE_PULL_SECRET), "auths"),
        (creation(value=b"[" * 9999, kind=SecretType.SECRET_TYPE_IMAGE_PULL_SECRET), "auths"),
        (
            creation(value=DOCKER, domain=DOMAIN, kind=SecretType.SECRET_TYPE_IMAGE_PULL_SECRET),
            "belongs to the org",
        ),
        (creation(kind=17), "type"),
    ],
    ids=[
        *("empty name", "space", "slash", "letter", "long name", "empty value", "no value"),
        *("large", "project alone", "bad project", "not docker", "no auths", "deep json"),
        *("docker in a domain", "unknown type"),
    ],
)
async def test_invalid_secret_is_refused_with_its_reason(
    api: ApiUnderTest, request_: CreateSecretRequest, reason: str
) -> None:
    code, message = await refusal(api.secrets.create_secret(request_))

    assert code is Code.INVALID_ARGUMENT
    assert reason in message
    assert CANARY.decode() not in message
    assert await listed(api) == []


@pytest.mark.parametrize("scope", [{"domain": "nowhere"}, {"project": "nowhere", "domain": DOMAIN}])
async def test_secret_of_an_unknown_scope_is_not_found(
    api: ApiUnderTest, scope: dict[str, Any]
) -> None:
    code, message = await refusal(api.secrets.create_secret(creation(**scope)))

    assert (code, "nowhere" in message) == (Code.NOT_FOUND, True)


async def test_secret_of_an_archived_project_is_refused(api: ApiUnderTest) -> None:
    await api.secrets.create_secret(creation(project=PROJECT, domain=DOMAIN))
    await api.projects.update_project(
        UpdateProjectRequest(
            project=Project(id=PROJECT, name=PROJECT, state=ProjectState.PROJECT_STATE_ARCHIVED)
        )
    )

    code, message = await refusal(
        api.secrets.create_secret(creation("other", project=PROJECT, domain=DOMAIN))
    )

    assert (code, "archived" in message) == (Code.FAILED_PRECONDITION, True)
    assert await listed(api) == [(PROJECT, DOMAIN, "token")]
    await api.secrets.delete_secret(
        DeleteSecretRequest(id=secret_id(project=PROJECT, domain=DOMAIN))
    )


async def test_missing_secret_is_not_found_by_get_update_and_delete(api: ApiUnderTest) -> None:
    await api.secrets.create_secret(creation(domain=DOMAIN))
    for call in (
        api.secrets.get_secret(GetSecretRequest(id=secret_id())),
        api.secrets.update_secret(
            UpdateSecretRequest(id=secret_id(), secret_spec=SecretSpec(binary_value=b"x"))
        ),
        api.secrets.delete_secret(DeleteSecretRequest(id=secret_id())),
    ):
        code, message = await refusal(call)
        assert (code, message) == (Code.NOT_FOUND, "secret token of the org not found")


async def test_deleted_secret_is_gone_and_its_name_free(api: ApiUnderTest) -> None:
    await api.secrets.create_secret(creation())
    await api.secrets.delete_secret(DeleteSecretRequest(id=secret_id()))

    assert await listed(api) == []
    await api.secrets.create_secret(creation(value=b"other"))


async def test_update_keeps_type_and_creation(api: ApiUnderTest) -> None:
    pull = SecretType.SECRET_TYPE_IMAGE_PULL_SECRET
    await api.secrets.create_secret(creation(value=DOCKER, kind=pull))
    before = await api.secrets.get_secret(GetSecretRequest(id=secret_id()))

    await api.secrets.update_secret(
        UpdateSecretRequest(
            id=secret_id(), secret_spec=SecretSpec(binary_value=DOCKER.replace(b"dTpw", b"dTpx"))
        )
    )
    code, _ = await refusal(
        api.secrets.update_secret(
            UpdateSecretRequest(id=secret_id(), secret_spec=SecretSpec(binary_value=b"not docker"))
        )
    )

    assert code is Code.INVALID_ARGUMENT
    assert await api.secrets.get_secret(GetSecretRequest(id=secret_id())) == before
    assert before.secret.secret_metadata.type == pull


async def test_type_of_a_secret_cannot_be_changed(api: ApiUnderTest) -> None:
    await api.secrets.create_secret(creation())
    spec = SecretSpec(binary_value=DOCKER, type=SecretType.SECRET_TYPE_IMAGE_PULL_SECRET)

    code, message = await refusal(
        api.secrets.update_secret(UpdateSecretRequest(id=secret_id(), secret_spec=spec))
    )

    assert (code, "another type" in message) == (Code.INVALID_ARGUMENT, True)


async def test_list_has_narrower_scopes_and_pages(api: ApiUnderTest) -> None:
    for number in range(25):
        await api.secrets.create_secret(creation(f"s{number:02}"))
    await api.secrets.create_secret(creation("of-domain", domain=DOMAIN))
    await api.secrets.create_secret(creation("of-other-domain", domain="production"))
    await api.secrets.create_secret(creation("of-project", project=PROJECT, domain=DOMAIN))

    pages, token = [], ""
    while True:
        answer = await api.secrets.list_secrets(ListSecretsRequest(limit=10, token=token))
        pages.append([each.id.name for each in answer.secrets])
        token = answer.token
        if not token:
            break

    assert [len(page) for page in pages] == [10, 10, 8]
    assert len({name for page in pages for name in page}) == 28
    assert await listed(api, domain=DOMAIN) == [
        ("", DOMAIN, "of-domain"),
        (PROJECT, DOMAIN, "of-project"),
    ]
    assert await listed(api, domain=DOMAIN, project=PROJECT) == [(PROJECT, DOMAIN, "of-project")]


async def test_list_limit_is_cut_and_bad_lists_are_refused(api: ApiUnderTest) -> None:
    await api.secrets.list_secrets(ListSecretsRequest(limit=100_000))
    for bad in (
        ListSecretsRequest(limit=-1),
        ListSecretsRequest(token="not a token"),  # noqa: S106
        ListSecretsRequest(project=PROJECT),
    ):
        code, _ = await refusal(api.secrets.list_secrets(bad))
        assert code is Code.INVALID_ARGUMENT


async def test_names_with_double_underscores_do_not_collide(api: ApiUnderTest) -> None:
    await api.secrets.create_secret(creation("b__c"))
    await api.secrets.create_secret(creation("c", domain=DOMAIN))

    assert await listed(api) == [("", "", "b__c"), ("", DOMAIN, "c")]


async def test_status_shows_connected_clusters_that_announced_a_key(api: ApiUnderTest) -> None:
    await api.secrets.create_secret(creation())

    async def status(key: bytes) -> Any:
        async with api.database.for_org(ORG) as tx:
            await tx.execute(
                text("UPDATE clusters SET connected = true, secrets_key = :key"), {"key": key}
            )
        found = await api.secrets.get_secret(GetSecretRequest(id=secret_id()))
        return found.secret.secret_metadata.secret_status

    present, missing = await status(b"key"), await status(b"")

    assert present.overall_status == OverallStatus.FULLY_PRESENT
    assert present.cluster_status[0].cluster.name == "local"
    assert missing.overall_status == OverallStatus.PARTIALLY_PRESENT
    assert missing.cluster_status[0].presence_status == SecretPresenceStatus.MISSING


async def test_value_rests_in_no_column_in_clear(api: ApiUnderTest) -> None:
    await api.secrets.create_secret(creation())

    async with api.database.for_org(ORG) as tx:
        rows = await tx.rows(text("SELECT secrets::text AS row, envelope FROM secrets"))

    assert len(rows) == 1
    assert CANARY.decode() not in rows[0].row
    assert CANARY not in bytes(rows[0].envelope)
    assert CANARY.hex() not in rows[0].row
