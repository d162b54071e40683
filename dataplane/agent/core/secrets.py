"""Secrets of attempts as the control plane hands them out: sealed, or missing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shared.model.secrets import SealedSecret


class SecretsUnavailableError(Exception):
    """The secrets cannot be read now; the same lookup may succeed later."""


class SecretsRefusedError(Exception):
    """The control plane refuses to hand out the secrets; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedSecrets:
    """Answer of the control plane: one secret for each name asked, and those for images."""

    by_name: Mapping[str, SealedSecret] = field(default_factory=dict)
    image_pull: Sequence[SealedSecret] = ()
