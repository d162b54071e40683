"""
Read the values of secrets that connector tasks name, in the tasks' namespaces.

The only place where the agent reads a task's Secret: a connector is no pod, and cannot be given
a reference. Only the Secret for secrets without a group is read.
"""

import binascii
from base64 import b64decode

from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.errors import KubeError, NotFoundError
from dataplane.agent.kube.namespaces import Namespaces, NoNamespaceError
from dataplane.agent.kube.objects import SECRET, Name, namespace_of
from dataplane.agent.runtimes.connectors.requests import SecretsUnavailableError
from dataplane.agent.runtimes.kubernetes.pods.secrets import DEFAULT_SECRET
from dataplane.agent.runtimes.protocol import Job


class KubeSecretValues:
    """Needs the permission to get the Secret of that name, and no other."""

    def __init__(self, kube: Kube, template: str, namespaces: Namespaces) -> None:
        """``template`` is that of the tasks' namespaces."""
        self._kube = kube
        self._template = template
        self._namespaces = namespaces

    async def find(self, job: Job, name: str) -> str | None:
        """
        Return the value, None if it does not exist; SecretsUnavailableError if it cannot be
        read.
        """
        namespace = namespace_of(job.assignment, self._template)
        try:
            await self._namespaces.ensure(namespace, job.assignment)
            secret = await self._kube.get(SECRET, Name(namespace, DEFAULT_SECRET))
        except NotFoundError:
            return None
        except (KubeError, NoNamespaceError) as error:
            raise SecretsUnavailableError(
                f"the Secret {DEFAULT_SECRET} in {namespace} cannot be read: {error}"
            ) from error
        encoded = (secret.get("data") or {}).get(name)
        if encoded is None:
            return None
        try:
            return b64decode(encoded, validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return None  # not text, so it cannot be passed to a connector
