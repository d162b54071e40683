"""Run a task with one of several notifications, and print the name of its run."""

import signal
import sys
from pathlib import Path

import flyte
from flyte import notify
from flyte.models import ActionPhase

env = flyte.TaskEnvironment(name="notifying")


@env.task(retries=2)
def fail() -> None:
    raise ValueError('it said "no"\nand left')


@env.task
def linger() -> None:
    signal.pause()


ENDS = (ActionPhase.FAILED, ActionPhase.SUCCEEDED)


def make_notifications(
    kind: str, url: str
) -> notify.NamedRule | notify.Notification | tuple[notify.Notification, ...]:
    match kind:
        case "webhook":
            return notify.Webhook(
                on_phase=ENDS,
                url=url + "/{{.Run.Name}}",
                headers={"X-Phase": "{{.Phase}}"},
                body={"error": "{{.Error}}", "phase": "{{.Phase}}"},
            )
        case "all":
            return (
                notify.Slack(on_phase=ENDS, webhook_url=url, message="{{.Error}}"),
                notify.Teams(on_phase=ENDS, webhook_url=url, title="{{.Phase}}"),
                notify.Email(on_phase=ENDS, recipients=("ada@example.com",)),
            )
        case "ends":
            return (
                notify.Webhook(on_phase=ActionPhase.SUCCEEDED, url=url + "/succeeded"),
                notify.Webhook(on_phase=ActionPhase.ABORTED, url=url + "/aborted"),
            )
        case "delivery":
            return notify.NamedDelivery(on_phase=ENDS, name="hook")
        case "named":
            return notify.NamedRule("night")
        case _:
            raise ValueError(kind)


if __name__ == "__main__":
    endpoint, task, kind, url = sys.argv[1:]
    flyte.init(
        endpoint=endpoint,
        insecure=True,
        project="flytesnacks",
        domain="development",
        root_dir=Path(__file__).parent,
    )
    notifications = make_notifications(kind, url)
    context = flyte.with_runcontext(
        mode="remote",
        notifications=notifications,  # type: ignore[arg-type]  # it takes a NamedRule, too
    )
    print("Created Run:", context.run({"fail": fail, "linger": linger}[task]).name)
