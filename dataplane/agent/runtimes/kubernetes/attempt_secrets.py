"""
Secrets of an attempt that the control plane keeps, as Secrets of the attempt's own.

They are created before its pods, owned by its TaskAction, and deleted when it ends. A key that
the control plane does not have may be one of ``volary-secrets``, as before there were others.
"""

import asyncio
import json
import logging
from base64 import b64encode
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dataplane.agent.kube.errors import KubeError, NotFoundError
from dataplane.agent.kube.objects import SECRET, Name, Object
from dataplane.agent.runtimes import secrets
from dataplane.agent.runtimes.kubernetes.cluster import Cluster
from dataplane.agent.runtimes.kubernetes.pods import PodTemplates
from dataplane.agent.runtimes.kubernetes.pods.secrets import DEFAULT_SECRET, SecretKey
from dataplane.agent.runtimes.protocol import Job
from dataplane.agent.runtimes.secrets import MAX_VARIABLE_BYTES, SecretError, SecretRequest
from shared.kit.secrets import SecretBytes

logger = logging.getLogger(__name__)

MAX_PULL_SECRETS = 3
"""Most image pull Secrets of an attempt: as many as one registry has credentials, up to this."""

_PULL_TYPE = "kubernetes.io/dockerconfigjson"
_PULL_KEY = ".dockerconfigjson"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedSecrets:
    """Secrets to create for an attempt, and where its pods find the values."""

    located: Mapping[str, SecretKey] = field(default_factory=dict)
    image_pull: Sequence[str] = ()  # names of Secrets
    objects: Sequence[Object] = field(default=(), repr=False)  # without namespace and owner

    def apply(self, templates: PodTemplates) -> PodTemplates:
        """Return templates whose pods refer to these Secrets."""
        pull = [*templates.image_pull_secrets, *self.image_pull]
        return replace(templates, located=self.located, image_pull_secrets=pull)


def list_secret_names(resource: Name) -> Sequence[str]:
    """Return the names that an attempt's Secrets may have."""
    pull = [_pull_name(resource, number) for number in range(MAX_PULL_SECRETS)]
    return [_values_name(resource), *pull]


async def place_secrets(
    cluster: Cluster, job: Job, resource: Name, stop: asyncio.Event
) -> PlacedSecrets:
    """
    Fetch the attempt's values; SecretError if one is missing or cannot be used.

    BadSpecError for requests that cannot be met.
    """
    requests = secrets.read_requests(job.task.template.security_context.secrets)
    own = [each for each in requests if not each.group]
    found = await cluster.secrets.find(job.assignment, [each.key for each in own], stop)
    await _require_all(cluster, job, resource, own, found)
    for each in own:
        if each.variable and each.key in found:
            secrets.as_variable(each, found[each.key], most=MAX_VARIABLE_BYTES)
    keys = {key: f"s{number}" for number, key in enumerate(sorted(found))}
    objects = []
    if keys:
        data = {keys[key]: value for key, value in found.items()}
        objects.append(_render(_values_name(resource), "Opaque", data))
    pull = merge_docker_configs(await cluster.secrets.find_image_pull(job.assignment, stop))
    for number, config in enumerate(pull):
        objects.append(_render(_pull_name(resource, number), _PULL_TYPE, {_PULL_KEY: config}))
    return PlacedSecrets(
        located={key: SecretKey(_values_name(resource), at) for key, at in keys.items()},
        image_pull=[_pull_name(resource, number) for number in range(len(pull))],
        objects=objects,
    )


def merge_docker_configs(configs: Sequence[SecretBytes]) -> Sequence[SecretBytes]:
    """
    Merge configs into as few as possible; each registry's first credential is in the first one.

    A pod's Secrets are tried one after the other, so further credentials of a registry go into
    further configs. Configs that are no JSON objects are left out: the control plane took none.
    """
    merged: list[dict[str, object]] = []
    for config in configs:
        try:
            auths = dict(json.loads(config.reveal())["auths"])
        except (ValueError, TypeError, KeyError, RecursionError):
            logger.warning("image pull secret left out, it is no dockerconfigjson")
            continue
        for registry, credential in auths.items():
            free = next((each for each in merged if registry not in each), None)
            if free is not None:
                free[registry] = credential
            elif len(merged) < MAX_PULL_SECRETS:
                merged.append({registry: credential})
    return [SecretBytes(json.dumps({"auths": each}).encode()) for each in merged]


async def _require_all(
    cluster: Cluster,
    job: Job,
    resource: Name,
    requests: Sequence[SecretRequest],
    found: Collection[str],
) -> None:
    """Raise SecretError for a key that neither the control plane nor ``volary-secrets`` has."""
    absent = [each.key for each in requests if each.key not in found]
    if not absent:
        return
    try:
        kept = await cluster.kube.get(SECRET, Name(resource.namespace, DEFAULT_SECRET))
    except NotFoundError:
        kept = {}
    except KubeError as error:
        # Not readable: refer to it, and the kubelet reports a key that does not exist.
        logger.warning(
            "Secret not read, referred to unseen",
            extra={"secret": f"{resource.namespace}/{DEFAULT_SECRET}", "detail": str(error)},
        )
        return
    known = kept.get("data") or {}
    for key in absent:
        if key not in known:
            failure = cluster.secrets.missing(job.assignment, key).failure
            raise SecretError(
                failure.code,
                failure.kind,
                f"{failure.message}; the Secret {DEFAULT_SECRET} in the namespace "
                f"{resource.namespace} has no key of that name either",
            )


def _render(name: str, kind: str, data: Mapping[str, SecretBytes]) -> Object:
    return {
        "apiVersion": "v1",
        "kind": SECRET.name,
        "metadata": {"name": name},
        "type": kind,
        "immutable": True,
        "data": {key: b64encode(value.reveal()).decode() for key, value in data.items()},
    }


def _values_name(resource: Name) -> str:
    return f"{resource.name}-secrets"


def _pull_name(resource: Name, number: int) -> str:
    return f"{resource.name}-pull-{number}"
