"""
Keys that an installation seals secrets with: its own, or those of its clusters.

With its own keys (AES or AWS KMS) the control plane opens what it stored, to seal it again to
the cluster that needs it. Sealed to clusters, only their agents open it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from controlplane.core.errors import NotReadyError, UnavailableError
from controlplane.core.secrets import CLUSTERS, ClusterKey, SealedRow, SecretRow
from shared.kit.secrets import SecretBytes
from shared.kit.settings import Kind, kinds, setting, settings
from shared.kit.settings.paths import path
from shared.model.secrets import SecretName
from shared.secrets.envelopes import (
    MAX_SEALERS,
    EnvelopeError,
    KeyringEnvelopes,
    KeyUnavailableError,
)
from shared.secrets.keyrings import AesKey, KmsKey, PublicKey, read_aes_keys


class Keyring(StrEnum):
    """Which keys seal."""

    FILE = "file"
    KMS = "kms"
    CLUSTERS = "clusters"


def _parse_arn(text: str) -> str:
    parts = text.split(":")
    if len(parts) != 6 or parts[2] != "kms" or not parts[3]:
        raise ValueError
    return text


@settings("Keys of secrets", "Without a keyring there are no secrets.")
class SecretKeySettings:
    """Where the installation's keys are; ValueError if those of its keyring are missing."""

    keyring: Keyring | None = setting(
        "VOLARY_SECRETS_KEYRING",
        kinds.one_of(Keyring),
        "What seals secrets. With `clusters` only the agents open them, and the control plane "
        "cannot read what it stores. Keys of the other two still open, so that secrets can be "
        "sealed again.",
        default=None,
        default_text="`file` if there is a key file, else `kms`",
    )
    key_file: Path | None = setting(
        "VOLARY_SECRETS_KEY_FILE",
        path(),
        "File of AES-256 keys, one a line, 32 bytes in base64 (`openssl rand -base64 32`). The "
        "first seals, all of them open.",
        default=None,
    )
    kms_arns: Sequence[str] = setting(
        "VOLARY_SECRETS_KMS_KEYS",
        kinds.listing(Kind(accepts="the ARN of an AWS KMS key", parse=_parse_arn, metavar="ARN")),
        "ARNs of AWS KMS keys; the first seals, all of them open. Credentials are those that the "
        "AWS SDK finds.",
        default=(),
    )
    kms_endpoint: str = setting(
        "VOLARY_SECRETS_KMS_ENDPOINT",
        kinds.http_url(),
        "Address of KMS, if it is not AWS's own.",
        default="",
        default_text="AWS's",
    )

    def __post_init__(self) -> None:
        if self.keyring is Keyring.FILE and self.key_file is None:
            raise ValueError("the keyring file needs keys; set VOLARY_SECRETS_KEY_FILE too")
        if self.keyring is Keyring.KMS and not self.kms_arns:
            raise ValueError("the keyring kms needs keys; set VOLARY_SECRETS_KMS_KEYS too")

    @property
    def kms_keys(self) -> Sequence[KmsKey]:
        return [KmsKey(arn, arn.split(":")[3], self.kms_endpoint) for arn in self.kms_arns]


class UnopenableError(Exception):
    """The control plane cannot open this envelope; the message is for the secret's users."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """An envelope, and what opens it."""

    envelope: bytes
    keyring: str
    recipients: Sequence[str] = ()


class SecretKeys:
    """Seals values with the installation's keyring, and opens envelopes of its own keys."""

    def __init__(self, own: Sequence[AesKey | KmsKey] = (), *, to_clusters: bool = False) -> None:
        """``own``: all of them open; the first seals, unless ``to_clusters``."""
        self._names = [key.name for key in own]
        self._own = KeyringEnvelopes(own[:1], own)
        self._to_clusters = to_clusters

    @property
    def names(self) -> Sequence[str]:
        """Names of the keyrings whose envelopes are of use; empty: none is configured."""
        return [*self._names, *([CLUSTERS] if self._to_clusters else [])]

    def require(self) -> None:
        """Raise NotReadyError unless a keyring is configured."""
        if not self.names:
            raise NotReadyError(
                "this installation has no keyring for secrets; its operator sets "
                "VOLARY_SECRETS_KEY_FILE, VOLARY_SECRETS_KMS_KEYS or VOLARY_SECRETS_KEYRING=clusters"
            )

    def is_current(self, row: SecretRow, clusters: Sequence[ClusterKey]) -> bool:
        """Return whether sealing the secret now would seal it to the same keys."""
        if self._to_clusters:
            return row.keyring == CLUSTERS and set(_by_name(clusters)) <= set(row.recipients)
        return bool(self._names) and row.keyring == self._names[0]

    async def seal(
        self,
        name: SecretName,
        value: SecretBytes,
        *,
        version: int,
        clusters: Sequence[ClusterKey],
    ) -> Sealed:
        """Seal a value; NotReadyError if there is no key for it, UnavailableError."""
        self.require()
        if not self._to_clusters:
            envelope = await _seal(self._own, name, value, version)
            return Sealed(envelope=envelope, keyring=self._names[0])
        keys = _by_name(clusters)
        if not keys:
            raise NotReadyError(
                "secrets are sealed to the keys of clusters, and no agent of this org has announced "
                "one; connect an agent, then create the secret"
            )
        if len(keys) > MAX_SEALERS:
            raise NotReadyError(
                f"secrets are sealed to the keys of clusters, at most {MAX_SEALERS}; this org has "
                f"{len(keys)} clusters"
            )
        envelope = await _seal(KeyringEnvelopes(list(keys.values())), name, value, version)
        return Sealed(envelope=envelope, keyring=CLUSTERS, recipients=sorted(keys))

    async def open(self, sealed: SealedRow) -> SecretBytes:
        """Open an envelope of the installation's own keys; UnopenableError, UnavailableError."""
        row = sealed.row
        if row.keyring == CLUSTERS:
            raise UnopenableError(f"secret {row.name} is sealed to clusters; update it instead")
        return await self.open_own(
            row.name, sealed.envelope, keyring=row.keyring, noun=f"secret {row.name}"
        )

    @property
    def own_names(self) -> Sequence[str]:
        """Names of the installation's own keys, the one that seals first."""
        return self._names

    @property
    def own_keyring(self) -> str:
        """Name of the installation's key that seals what the control plane itself reads."""
        return self._names[0] if self._names else ""

    async def seal_own(
        self, name: SecretName, value: SecretBytes, *, version: int, noun: str
    ) -> Sealed:
        """
        Seal a value that the control plane itself reads, also if secrets are sealed to clusters.

        NotReadyError if the installation has no key of its own, UnavailableError; they say ``noun``.
        """
        if not self._names:
            raise NotReadyError(
                f"{noun} is sealed with a key of the installation, which has none; its operator"
                " sets VOLARY_SECRETS_KEY_FILE or VOLARY_SECRETS_KMS_KEYS"
            )
        try:
            envelope = await self._own.seal(name, value, version=version)
        except KeyUnavailableError as error:
            raise UnavailableError(f"{noun} cannot be sealed now: {error}") from error
        return Sealed(envelope=envelope, keyring=self._names[0])

    async def open_own(
        self, name: SecretName, envelope: bytes, *, keyring: str, noun: str
    ) -> SecretBytes:
        """Open what the installation's own keys sealed; UnopenableError, UnavailableError."""
        try:
            return await self._own.open(name, envelope)
        except EnvelopeError as error:
            raise UnopenableError(
                f"{noun} was sealed with key {keyring}, and the control plane has "
                f"{', '.join(self._names) or 'none'}"
            ) from error
        except KeyUnavailableError as error:
            raise UnavailableError(f"{noun} cannot be opened now: {error}") from error

    async def deliver(self, sealed: SealedRow, cluster: ClusterKey) -> bytes:
        """
        Return an envelope that the cluster's agent opens; UnopenableError, UnavailableError.

        An envelope of the installation's own keys is opened and sealed again to the cluster.
        """
        row, key = sealed.row, PublicKey(cluster.public_key)
        if not cluster.public_key:
            raise UnopenableError(
                f"the agent of cluster {cluster.cluster} has announced no key for secrets; "
                "upgrade the agent"
            )
        if row.keyring != CLUSTERS:
            value = await self.open(sealed)
            return await _seal(KeyringEnvelopes([key]), row.name, value, row.version)
        if key.name not in row.recipients:
            raise UnopenableError(
                f"secret {row.name} was sealed before cluster {cluster.cluster} had its key; "
                f"update it: `volary secret update {row.name.name}`"
            )
        return sealed.envelope


def open_secret_keys(settings: SecretKeySettings) -> SecretKeys:
    """
    Read the keys; KeyFileError.

    All keys of the file and of KMS open; those of the keyring that seals come first.
    """
    file = [] if settings.key_file is None else read_aes_keys(settings.key_file)
    kms = settings.kms_keys
    return SecretKeys(
        [*kms, *file] if settings.keyring is Keyring.KMS else [*file, *kms],
        to_clusters=settings.keyring is Keyring.CLUSTERS,
    )


def _by_name(clusters: Sequence[ClusterKey]) -> dict[str, PublicKey]:
    keys = [PublicKey(each.public_key) for each in clusters if each.public_key]
    return {key.name: key for key in keys}


async def _seal(
    envelopes: KeyringEnvelopes, name: SecretName, value: SecretBytes, version: int
) -> bytes:
    try:
        return await envelopes.seal(name, value, version=version)
    except KeyUnavailableError as error:
        raise UnavailableError(f"secret {name} cannot be sealed now: {error}") from error
