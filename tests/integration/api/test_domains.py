"""DomainService, and effects of created, renamed and deleted domains on the rest of the API."""

import asyncio

from connectrpc.code import Code
from flyteidl2.org.domain_definition_pb2 import Domain
from flyteidl2.org.domain_service_pb2 import (
    CreateDomainRequest,
    DeleteDomainRequest,
    GetDomainRequest,
    ListDomainsRequest,
    UpdateDomainRequest,
)
from flyteidl2.project.project_service_pb2 import GetProjectRequest
from flyteidl2.secret.payload_pb2 import CreateSecretRequest, ListSecretsRequest
from flyteidl2.settings.settings_definition_pb2 import Settings, SettingsKey
from flyteidl2.settings.settings_service_pb2 import CreateSettingsRequest, GetSettingsForEditRequest
from flyteidl2.workflow.run_service_pb2 import AbortRunRequest, CreateRunRequest
from sqlalchemy import text

from controlplane.core.domains import MAX_DOMAINS
from tests.integration.api.client import DOMAIN, ORG, PROJECT, ApiUnderTest
from tests.integration.api.requests import create_run, deploy, refusal
from tests.integration.api.triggers import plain_trigger

DEFAULTS = ["development", "staging", "production"]


async def ids(api: ApiUnderTest) -> list[str]:
    answer = await api.domains.list_domains(ListDomainsRequest())
    project = (await api.projects.get_project(GetProjectRequest(id=PROJECT))).project
    listed = [each.id for each in answer.domains]
    assert [each.id for each in project.domains] == listed
    return listed


async def create(api: ApiUnderTest, id_: str, name: str = "") -> Domain:
    request = CreateDomainRequest(id=id_, friendly_name=name)
    return (await api.domains.create_domain(request)).domain


async def delete(api: ApiUnderTest, id_: str) -> None:
    await api.domains.delete_domain(DeleteDomainRequest(id=id_))


def run_in(domain: str, name: str = "r1") -> CreateRunRequest:
    request = create_run(name)
    request.run_id.domain = domain
    return request


async def test_domain_that_was_created_takes_runs_tasks_settings_and_secrets(
    api: ApiUnderTest,
) -> None:
    code, message = await refusal(api.runs.create_run(run_in("system")))
    assert code == Code.NOT_FOUND
    assert "domain system not found; there is development, staging, production" in message

    made = await create(api, "system", "System")

    assert (made.id, made.org, made.friendly_name) == ("system", ORG, "System")
    assert (await api.domains.get_domain(GetDomainRequest(id="system"))).domain == made
    assert await ids(api) == [*DEFAULTS, "system"]
    await api.runs.create_run(run_in("system"))
    deployment = deploy()
    deployment.task_id.domain = "system"
    await api.tasks.deploy_task(deployment)
    key = SettingsKey(domain="system", project=PROJECT)
    await api.settings.create_settings(CreateSettingsRequest(key=key, settings=Settings()))
    secret = {"name": "token", "domain": "system"}
    await api.secrets.create_secret(
        CreateSecretRequest(id=secret, secret_spec={"string_value": "s"})
    )


async def test_domain_with_live_runs_is_not_deleted_and_later_goes_with_its_settings_and_secrets(
    api: ApiUnderTest,
) -> None:
    await create(api, "system")
    await api.runs.create_run(run_in("system", "live"))
    key = SettingsKey(domain="system")
    await api.settings.create_settings(CreateSettingsRequest(key=key, settings=Settings()))
    secret = {"name": "token", "domain": "system"}
    await api.secrets.create_secret(
        CreateSecretRequest(id=secret, secret_spec={"string_value": "s"})
    )

    code, message = await refusal(delete(api, "system"))
    assert code == Code.FAILED_PRECONDITION
    assert f"such as {PROJECT}/live; abort them" in message

    await api.runs.abort_run(AbortRunRequest(run_id=run_in("system", "live").run_id))
    await delete(api, "system")

    assert await ids(api) == DEFAULTS
    assert (await refusal(api.runs.create_run(run_in("system"))))[0] == Code.NOT_FOUND
    await create(api, "system")
    levels = (await api.settings.get_settings_for_edit(GetSettingsForEditRequest(key=key))).levels
    assert [each.version for each in levels] == [0, 0]
    listed = await api.secrets.list_secrets(ListSecretsRequest(domain="system"))
    assert not listed.secrets
    async with api.database.for_org(ORG) as tx:
        rows = await tx.rows(text("SELECT action FROM audit_log WHERE action LIKE 'domain%'"))
    assert sorted(str(row[0]) for row in rows) == [
        "domain.create",
        "domain.create",
        "domain.delete",
    ]


async def test_default_domains_are_renamed_deleted_and_created_again(api: ApiUnderTest) -> None:
    renamed = await api.domains.update_domain(
        UpdateDomainRequest(id="staging", friendly_name="Pre-production")
    )
    assert renamed.domain.friendly_name == "Pre-production"
    assert await ids(api) == DEFAULTS

    await delete(api, "development")

    assert await ids(api) == ["staging", "production"]
    code, message = await refusal(api.runs.create_run(run_in("development")))
    assert code == Code.NOT_FOUND
    assert "there is staging, production" in message
    await create(api, "development", "Back")
    assert await ids(api) == ["staging", "production", "development"]


async def test_last_domain_is_not_deleted(api: ApiUnderTest) -> None:
    for id_ in DEFAULTS[:2]:
        await delete(api, id_)

    code, message = await refusal(delete(api, "production"))

    assert code == Code.FAILED_PRECONDITION
    assert "only one" in message


async def test_domain_created_twice_at_once_exists_once(api: ApiUnderTest) -> None:
    results = await asyncio.gather(
        *(create(api, "system") for _ in range(4)), return_exceptions=True
    )

    lost = [each for each in results if not isinstance(each, Domain)]
    assert [getattr(each, "code", None) for each in lost] == [Code.ALREADY_EXISTS] * 3
    assert await ids(api) == [*DEFAULTS, "system"]


async def test_missing_existing_invalid_and_excess_domains_are_refused(api: ApiUnderTest) -> None:
    for call in (
        api.domains.get_domain(GetDomainRequest(id="nowhere")),
        api.domains.update_domain(UpdateDomainRequest(id="nowhere", friendly_name="N")),
        delete(api, "nowhere"),
    ):
        code, message = await refusal(call)
        assert code == Code.NOT_FOUND
        assert "domain nowhere not found; there is development" in message
    assert (await refusal(create(api, "staging")))[0] == Code.ALREADY_EXISTS
    assert (await refusal(create(api, "Not An Id")))[0] == Code.INVALID_ARGUMENT
    assert (await refusal(create(api, "x", "n" * 256)))[0] == Code.INVALID_ARGUMENT
    for number in range(MAX_DOMAINS - len(DEFAULTS)):
        await create(api, f"d{number}")
    code, message = await refusal(create(api, "one-more"))
    assert code == Code.RESOURCE_EXHAUSTED
    assert f"at most {MAX_DOMAINS}" in message


async def test_domain_with_an_active_schedule_is_not_deleted(api: ApiUnderTest) -> None:
    await api.tasks.deploy_task(deploy())
    await api.triggers.deploy_trigger(plain_trigger())

    code, message = await refusal(delete(api, DOMAIN))

    assert code == Code.FAILED_PRECONDITION
    assert f"such as {PROJECT}/env.main/nightly; deactivate" in message
    await api.triggers.deploy_trigger(plain_trigger(active=False))
    await delete(api, DOMAIN)
    code, message = await refusal(api.triggers.deploy_trigger(plain_trigger()))
    assert (code, f"domain {DOMAIN} not found" in message) == (Code.NOT_FOUND, True)
