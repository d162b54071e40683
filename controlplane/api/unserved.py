"""Explains why RPCs answer UNIMPLEMENTED: parts of Flyte's backend that have another form here."""

from collections.abc import Mapping

_AGENTS = "agents report attempts on a connection of their own"
_CONNECTORS = "connectors serve it, and agents call them; see docs/plugins.md"

REASONS: Mapping[str, str] = {
    "flyteidl2.actions.ActionsService/Update": _AGENTS,
    "flyteidl2.app.AppService/Lease": _AGENTS,
    "flyteidl2.app.AppService/UpdateStatus": _AGENTS,
    "flyteidl2.connector.AsyncConnectorService/": _CONNECTORS,
    "flyteidl2.connector.ConnectorMetadataService/": _CONNECTORS,
    "flyteidl2.workflow.EventsProxyService/": _AGENTS,
    "flyteidl2.workflow.InternalRunService/": _AGENTS,
    "flyteidl2.workflow.StateService/Get": "read an action by RunService.GetActionDetails",
    "flyteidl2.workflow.StateService/Put": _AGENTS,
}
"""Why this control plane never serves an RPC, by the beginning of its name: what does it instead."""


def explain(name: str) -> str:
    """Return the message for an RPC that is not served: never, or not by this release."""
    for beginning, reason in REASONS.items():
        if name.startswith(beginning):
            return f"{name} is no call of clients of Volary: {reason}"
    return f"{name} is not served by this release of Volary"
