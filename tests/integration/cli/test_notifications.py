"""Commands of notifications, with an API key."""

from controlplane.store.database import Database
from tests.factories import ORG
from tests.integration.cli.program import Program, program, service
from tests.integration.delivery_rows import add_delivery

__all__ = ["program", "service"]


async def test_failed_deliveries_of_a_receiver_are_sent_again_by_a_command(
    program: Program, database: Database
) -> None:
    made = [str(await add_delivery(database, ORG)) for _ in range(2)]
    other = str(await add_delivery(database, ORG, target="https://other.example"))

    shown = await program.run("notification", "list", "--state", "failed")
    resent = await program.json(
        "notification", "resend", "--failed", "--receiver", "https://hooks.example"
    )
    named = await program.run("notification", "resend", other)
    neither = await program.run("notification", "resend")

    assert "the receiver answered 404" in shown.out
    assert resent == {"resent": sorted(made)}
    assert named.out == "1 deliveries are sent again.\n"
    assert "Name deliveries, or give --failed" in neither.err


async def test_rule_and_configuration_are_made_changed_and_deleted_by_commands(
    program: Program,
) -> None:
    address = "https://hooks.example/T0"
    made = await program.json(
        *("notification", "config", "set", "oncall", "--webhook", address),
        *("--header", "X-Team=a=b", "--body", "{{.Error}}"),
    )
    changed = await program.json(
        "notification", "config", "set", "oncall", "--webhook", f"{address}/new"
    )
    rule = await program.json(
        *("notification", "rule", "set", "night", "--phase", "failed", "--config", "oncall")
    )
    listed = await program.run("notification", "config", "list")
    rules = await program.run("notification", "rule", "list")
    shown = await program.run("notification", "config", "show", "oncall")
    kept = await program.run("notification", "config", "delete", "oncall", "--yes")
    await program.run("notification", "rule", "delete", "night", "--yes")
    deleted = await program.run("notification", "config", "delete", "oncall", "--yes")
    nothing = await program.run("notification", "rule", "set", "night")

    assert made["deliveryConfig"]["webhook"] == {
        "url": address,
        "method": "POST",
        "headers": {"X-Team": "a=b"},
        "body": "{{.Error}}",
    }
    assert changed["deliveryConfig"]["version"] == "2"
    assert rule["notificationRule"]["phases"] == ["FAILED"]
    assert f"{address}/new" in listed.out
    assert "oncall" in rules.out
    assert f"{address}/new" in shown.out
    assert "is named by night" in kept.err
    assert deleted.out == "Delivery configuration oncall is deleted.\n"
    assert "nothing to set" in nothing.err
