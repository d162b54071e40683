"""Delivery configurations and notification rules: made, changed, listed and deleted."""

from typing import Any

import pytest

from tests.integration.platform.world import RefusedError, World

CONFIG = "DeliveryConfigService/{}DeliveryConfig"
RULE = "NotificationRuleService/{}NotificationRule"
CHAT: dict[str, Any] = {
    "name": "chat",
    "webhook": {
        "url": "https://hooks.example/T0/secret",
        "method": "POST",
        "headers": {"X-Team": "{{.Run.Project}}"},
        "body": '{"text": "{{.Error}}"}',
    },
}
NIGHT: dict[str, Any] = {"name": "night", "phases": ["FAILED"], "deliveryConfigs": ["chat"]}


async def create(world: World) -> None:
    await world.ada.call(CONFIG.format("Create"), deliveryConfig=CHAT)
    await world.ada.call(RULE.format("Create"), notificationRule=NIGHT)


async def test_creates_are_idempotent_and_refuse_other_content(world: World) -> None:
    await create(world)
    await create(world)

    read = await world.ada.call(CONFIG.format("Get"), name="chat")
    rules = await world.ada.call("NotificationRuleService/ListNotificationRules")
    assert read == {"deliveryConfig": {**CHAT, "version": "1"}}
    assert rules == {"notificationRules": [{**NIGHT, "version": "1"}]}
    other = {**CHAT, "webhook": {"url": "https://other.example"}}
    with pytest.raises(RefusedError, match="delivery configuration chat exists with other content"):
        await world.ada.call(CONFIG.format("Create"), deliveryConfig=other)


async def test_updates_change_what_the_mask_names_and_compare_versions(world: World) -> None:
    await create(world)
    changed = await world.ada.call(
        RULE.format("Update"),
        notificationRule={"name": "night", "phases": ["ABORTED", "FAILED"], "version": "1"},
        updateMask="phases",
    )
    assert changed["notificationRule"] == {
        **NIGHT,
        "phases": ["ABORTED", "FAILED"],
        "version": "2",
    }
    with pytest.raises(RefusedError, match="night is at version 2, not 1"):
        await world.ada.call(
            RULE.format("Update"),
            notificationRule={"name": "night", "phases": ["FAILED"], "version": "1"},
            updateMask="phases",
        )


@pytest.mark.parametrize(
    ("webhook", "reason"),
    [
        ({"url": "https://169.254.169.254/latest"}, "not a public address"),
        ({"url": "http://hooks.example"}, "must begin with https://"),
        ({"url": "https://hooks.example", "body": "{{if .Error}}"}, "is not a field"),
    ],
)
async def test_configuration_that_cannot_be_sent_is_refused(
    world: World, webhook: dict[str, str], reason: str
) -> None:
    with pytest.raises(RefusedError, match=reason):
        await world.ada.call(
            CONFIG.format("Create"), deliveryConfig={"name": "chat", "webhook": webhook}
        )


async def test_configuration_is_deleted_after_the_rules_that_name_it(world: World) -> None:
    with pytest.raises(RefusedError, match="configuration chat not found; create it before"):
        await world.ada.call(RULE.format("Create"), notificationRule=NIGHT)
    await create(world)
    with pytest.raises(RefusedError, match="chat is named by night"):
        await world.ada.call(CONFIG.format("Delete"), name="chat")

    await world.ada.call(RULE.format("Delete"), name="night")
    await world.ada.call(CONFIG.format("Delete"), name="chat")

    with pytest.raises(RefusedError, match="delivery configuration chat not found; there is none"):
        await world.ada.call(CONFIG.format("Delete"), name="chat")
    records = (await world.ada.call("AuditService/ListAuditRecords"))["records"]
    assert [each["action"] for each in records] == [
        "delivery_config.delete",
        "notification_rule.delete",
        "notification_rule.create",
        "delivery_config.create",
    ]
    assert "secret" not in str(records)


async def test_signing_secret_is_answered_once_and_recorded_without_its_value(
    world: World,
) -> None:
    await create(world)
    rotate = "DeliveryConfigService/RotateSigningSecret"
    first = await world.ada.call(rotate, name="chat", version="1")
    second = await world.ada.call(rotate, name="chat", overlap="3600s")

    read = (await world.ada.call(CONFIG.format("Get"), name="chat"))["deliveryConfig"]
    assert first["signingSecret"].startswith("whsec_")
    assert first["signingSecret"] != second["signingSecret"]
    assert "previousUntil" in second
    assert "previousUntil" not in first
    assert read == {**CHAT, "version": "3", "signed": True}
    await create(world)  # which creates nothing: its content is the same
    records = (await world.ada.call("AuditService/ListAuditRecords"))["records"]
    assert records[0]["action"] == "delivery_config.rotate_signing_secret"
    assert "whsec" not in str(records)
    with pytest.raises(RefusedError, match="chat is at version 3, not 1"):
        await world.ada.call(rotate, name="chat", version="1")
    with pytest.raises(RefusedError, match="overlap: must be between 0 and 30 days"):
        await world.ada.call(rotate, name="chat", overlap="9999999s")


async def test_addresses_are_shown_to_those_only_who_may_change_them(world: World) -> None:
    await create(world)
    viewer = await world.join("vic", "viewer")

    assert len(await viewer.call("NotificationRuleService/ListNotificationRules")) == 1
    for rpc in (CONFIG.format("Get"), "DeliveryConfigService/ListDeliveryConfigs"):
        with pytest.raises(RefusedError, match="notification:write"):
            await viewer.call(rpc, **({"name": "chat"} if "Get" in rpc else {}))
    with pytest.raises(RefusedError, match="not found; there is none"):
        await world.eve.call(CONFIG.format("Get"), name="chat")
