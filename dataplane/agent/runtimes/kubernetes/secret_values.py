"""
Read the values of secrets that connector tasks name.

Those that the control plane keeps come first, then the keys of ``volary-secrets`` in the task's
namespace: a connector is no pod, and cannot be given a reference.
"""

import asyncio
import binascii
from base64 import b64decode

from dataplane.agent.core.secrets import SecretsUnavailableError
from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.errors import KubeError, NotFoundError
from dataplane.agent.kube.namespaces import Namespaces, NoNamespaceError
from dataplane.agent.kube.objects import SECRET, Name, namespace_of
from dataplane.agent.runtimes.kubernetes.pods.secrets import DEFAULT_SECRET
from dataplane.agent.runtimes.protocol import Job
from dataplane.agent.runtimes.secrets import NoSecretSource, SecretError, TaskSecrets


class KubeSecretValues:
    """Needs the permission to get the Secret of that name, and no other."""

    def __init__(
        self,
        kube: Kube,
        template: str,
        namespaces: Namespaces,
        secrets: TaskSecrets | None = None,
    ) -> None:
        """``template`` is that of the tasks' namespaces."""
        self._secrets = secrets or TaskSecrets(NoSecretSource())
        self._kube = kube
        self._template = template
        self._namespaces = namespaces

    async def find(self, job: Job, name: str) -> str | None:
        """
        Return the value, None if it does not exist; SecretsUnavailableError if it cannot be
        read.
        """
        try:
            kept = await self._secrets.find(job.assignment, [name], asyncio.Event())
        except SecretError as error:
            raise SecretsUnavailableError(str(error)) from error
        if name in kept:
            return _decode(kept[name].reveal())
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
            return _decode(b64decode(encoded, validate=True))
        except binascii.Error:
            return None


def _decode(value: bytes) -> str | None:
    """Return a value as text; None if it is not text, and cannot be passed to a connector."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None
