"""Quotas of triggers: a deployment over one is refused, and a repeated one is not."""

from connectrpc.code import Code

from controlplane.core.quotas import Quota
from controlplane.store.resources.quotas import save_quota
from tests.factories import NOW
from tests.integration.api.client import ORG, PROJECT, ApiUnderTest
from tests.integration.api.requests import refusal
from tests.integration.api.triggers import deploy_scheduled, deploy_trigger


async def test_trigger_over_the_quota_is_refused(api: ApiUnderTest) -> None:
    async with api.database.for_org(ORG) as tx:
        await save_quota(tx, Quota(project=PROJECT, triggers=1), NOW)
        await save_quota(tx, Quota(triggers=100), NOW)
    await api.tasks.deploy_task(deploy_scheduled())
    await api.triggers.deploy_trigger(deploy_trigger())
    await api.triggers.deploy_trigger(deploy_trigger())  # a repeated one
    code, message = await refusal(api.triggers.deploy_trigger(deploy_trigger("second")))
    assert code is Code.RESOURCE_EXHAUSTED
    assert f"triggers of project {PROJECT} is used up: 1 of 1; it frees when" in message
