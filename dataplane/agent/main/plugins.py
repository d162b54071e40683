"""Plugins of the Kubernetes runtime: all of them, and those that this cluster can run."""

import logging
from collections.abc import Sequence

from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.errors import NotFoundError
from dataplane.agent.kube.objects import POD
from dataplane.agent.runtimes.kubernetes.plugin import Plugin
from dataplane.agent.runtimes.kubernetes.plugins.registry import all_plugins
from dataplane.agent.settings import KubernetesSettings

logger = logging.getLogger(__name__)


def list_plugins(runtime_settings: KubernetesSettings) -> Sequence[Plugin]:
    """Return all plugins of this release."""
    return all_plugins(runtime_settings.timeouts)


async def find_plugins(kube: Kube, runtime_settings: KubernetesSettings) -> Sequence[Plugin]:
    """Return the plugins whose resources this API server knows and the agent may create."""
    namespace = (
        "" if "{" in runtime_settings.namespace_template else runtime_settings.namespace_template
    )
    found = []
    for plugin in list_plugins(runtime_settings):
        try:
            known, _ = await kube.get_dated(plugin.kind.base)
        except NotFoundError:
            continue  # its operator is not installed
        if not any(each.get("name") == plugin.kind.plural for each in known.get("resources", ())):
            continue
        if plugin.kind != POD and not await kube.may("create", plugin.kind, namespace):
            logger.warning("plugin disabled, not allowed", extra={"kind": plugin.kind.plural})
            continue
        found.append(plugin)
    return found
