"""Converts secrets that are handed to agents, and the requests for them, to and from protobuf."""

from shared.idl.agent.v1 import secrets_pb2
from shared.model.ids import OrgName
from shared.model.secrets import SealedSecret, SecretName


def render_sealed_secret(secret: SealedSecret) -> secrets_pb2.SealedSecret:
    message = secrets_pb2.SealedSecret(
        asked=secret.asked, envelope=secret.envelope, problem=secret.problem
    )
    if secret.name is not None:
        message.found = True
        message.project = secret.name.project
        message.domain = secret.name.domain
        message.name = secret.name.name
    return message


def parse_sealed_secret(message: secrets_pb2.SealedSecret, org: OrgName) -> SealedSecret:
    name = SecretName(org=org, project=message.project, domain=message.domain, name=message.name)
    return SealedSecret(
        asked=message.asked,
        name=name if message.found else None,
        envelope=message.envelope,
        problem=message.problem,
    )
