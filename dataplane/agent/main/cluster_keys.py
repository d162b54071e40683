"""The agent's key pair for secrets in a cluster: kept in a Secret of the agent's own namespace."""

import asyncio
import binascii
import logging
from base64 import b64decode, b64encode
from collections.abc import Sequence

from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.errors import ExistsError, ForbiddenError, NotFoundError
from dataplane.agent.kube.objects import MANAGED_LABEL, SECRET, Name, Object
from shared.kit.settings import SettingsError
from shared.secrets.key_pairs import make_private_key, parse_private_keys
from shared.secrets.keyrings import KeyFileError, PrivateKey

logger = logging.getLogger(__name__)

_KEY = "keys.pem"


async def open_cluster_keys(kube: Kube, name: Name) -> Sequence[PrivateKey]:
    """
    Read the private keys from the Secret, or create it with one; the first is announced.

    Without the permission to read it, as in roles of an earlier chart, the key is of this
    process only. SettingsError if the Secret holds no key; KubeError.
    """
    try:
        return _parse(await kube.get(SECRET, name), name)
    except NotFoundError:
        pass
    except ForbiddenError as error:
        logger.warning(
            "key pair for secrets not kept, upgrade the agent's roles",
            extra={"secret": str(name), "detail": str(error)},
        )
        return [await asyncio.to_thread(make_private_key)]
    made = await asyncio.to_thread(make_private_key)
    secret = {
        "apiVersion": "v1",
        "kind": SECRET.name,
        "metadata": {
            "name": name.name,
            "namespace": name.namespace,
            "labels": {MANAGED_LABEL: "true"},
        },
        "type": "Opaque",
        "data": {_KEY: b64encode(made.pem.reveal()).decode()},
    }
    try:
        await kube.create(SECRET, secret)
    except ExistsError:
        return _parse(await kube.get(SECRET, name), name)  # an earlier leader was first
    logger.info("key pair for secrets created", extra={"secret": str(name)})
    return [made]


def _parse(secret: Object, name: Name) -> Sequence[PrivateKey]:
    try:
        pem = b64decode((secret.get("data") or {}).get(_KEY) or "", validate=True)
        return parse_private_keys(pem, f"the Secret {name}")
    except (binascii.Error, KeyFileError) as error:
        raise SettingsError(f"{_KEY} of the Secret {name} cannot be used: {error}") from error
