"""Commands of notifications, with an API key."""

from controlplane.store.database import Database
from tests.factories import ORG
from tests.integration.cli.test_platform import Program, program, service
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
