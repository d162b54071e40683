"""Writes the chart's permissions from the agent's table, so that neither can lie."""

from pathlib import Path

from dataplane.agent.doctor.permissions import TABLE, Rule

PERMISSIONS = Path(__file__).parent.parent / "infra/helm/volary-agent/permissions.yaml"

_HEAD = """\
# What the agent asks of the API server, by feature and by where.
#
# Written by `python -m scripts.permissions` from dataplane/agent/doctor/permissions.py;
# change that, not this. templates/_permissions.tpl makes roles of what is in use.
"""


def permissions() -> str:
    """Render the table as a YAML list."""
    return _HEAD + "".join(_rule(rule) for rule in TABLE)


def _rule(rule: Rule) -> str:
    lines = [
        f"- feature: {rule.feature}",
        f"  scope: {rule.scope}",
        f'  group: "{rule.group}"',
        f"  resource: {rule.resource}",
        f"  verbs: [{', '.join(rule.verbs)}]",
        *([f"  named: {rule.named}"] if rule.named else []),
        f'  why: "{rule.why}"',
    ]
    return "\n" + "\n".join(lines) + "\n"


if __name__ == "__main__":
    PERMISSIONS.write_text(permissions())
