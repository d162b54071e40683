"""
A run that reports its end to a webhook, with its error.

    python examples/notifying.py https://hooks.example.com/T0/x

The receiver must be public and https://, unless the control plane has VOLARY_WEBHOOK_ALLOW_HTTP and
VOLARY_WEBHOOK_ALLOWED_NETWORKS (docs/notifications.md); volary up reads both.
"""

import sys
from pathlib import Path

import flyte
from flyte import notify
from flyte.models import ActionPhase

env = flyte.TaskEnvironment(name="notifying_example")


@env.task
def divide(by: int) -> int:
    return 12 // by


if __name__ == "__main__":
    flyte.init_from_config(root_dir=Path(__file__).parent)
    report = notify.Slack(
        on_phase=(ActionPhase.FAILED, ActionPhase.SUCCEEDED),
        webhook_url=sys.argv[-1],
        message="{{.Run.Name}}: {{.Phase}} {{.Error}}",
    )
    run = flyte.with_runcontext(mode="remote", notifications=report).run(divide, by=0)
    print("Created Run:", run.name)
