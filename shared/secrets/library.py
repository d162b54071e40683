"""
Seals and opens by ``aws_encryption_sdk``, synchronously. The only module that imports it.

Every envelope is made and opened through the required-encryption-context CMM: a plain keyring
opens an envelope when the context is not given at all. The suite commits to the key and is
unsigned: a signature adds 2 ms and would prove nothing, since a recipient's public key lets
anyone seal to it.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import aws_encryption_sdk
import boto3
from aws_cryptographic_material_providers.mpl import AwsCryptographicMaterialProviders
from aws_cryptographic_material_providers.mpl.config import MaterialProvidersConfig
from aws_cryptographic_material_providers.mpl.models import (
    AesWrappingAlg,
    CreateAwsKmsKeyringInput,
    CreateDefaultCryptographicMaterialsManagerInput,
    CreateMultiKeyringInput,
    CreateRawAesKeyringInput,
    CreateRawEcdhKeyringInput,
    CreateRequiredEncryptionContextCMMInput,
    EphemeralPrivateKeyToStaticPublicKeyInput,
    PublicKeyDiscoveryInput,
    RawEcdhStaticConfigurationsEphemeralPrivateKeyToStaticPublicKey,
    RawEcdhStaticConfigurationsPublicKeyDiscovery,
)
from aws_cryptography_primitives.smithygenerated.aws_cryptography_primitives.models import (
    ECDHCurveSpec,
)
from aws_encryption_sdk import CommitmentPolicy
from aws_encryption_sdk.exceptions import AWSEncryptionSDKClientError
from aws_encryption_sdk.identifiers import AlgorithmSuite
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from cryptography.exceptions import InvalidSignature, InvalidTag

from shared.kit.secrets import SecretBytes
from shared.model.secrets import SecretName
from shared.secrets.envelopes import MAX_SEALERS, EnvelopeError, KeyUnavailableError
from shared.secrets.keyrings import AesKey, Key, KmsKey, PrivateKey, PublicKey

_SUITE = AlgorithmSuite.AES_256_GCM_HKDF_SHA512_COMMIT_KEY
_REQUIRED = ["org", "project", "domain", "name"]
_KMS_TIMEOUT_SECONDS = 10
_WRONG_KEY = frozenset({"InvalidCiphertextException", "IncorrectKeyException"})

# It logs each failed open as an error with a traceback, and botocore logs bodies at DEBUG: what
# went wrong is in the exception, which the caller logs once.
logging.getLogger("aws_encryption_sdk").setLevel(logging.CRITICAL + 1)
for _name in ("botocore", "boto3", "urllib3"):
    logging.getLogger(_name).setLevel(logging.WARNING)

_client = aws_encryption_sdk.EncryptionSDKClient(
    commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT,
    max_encrypted_data_keys=MAX_SEALERS,
)
_providers = AwsCryptographicMaterialProviders(config=MaterialProvidersConfig())


def seal(sealers: Sequence[Key], name: SecretName, value: SecretBytes, version: int) -> bytes:
    """Return an envelope that each of ``sealers`` opens alone; KeyUnavailableError."""
    first, *others = [_keyring(each) for each in sealers]
    keyring = first
    if others:
        keyring = _providers.create_multi_keyring(
            CreateMultiKeyringInput(generator=first, child_keyrings=others)
        )
    try:
        envelope, _ = _client.encrypt(
            source=value.reveal(),
            materials_manager=_materials(keyring),
            encryption_context={**_context(name), "version": str(version)},
            algorithm=_SUITE,
        )
    except (AWSEncryptionSDKClientError, BotoCoreError, ClientError) as error:
        raise KeyUnavailableError(_describe_service(error)) from error
    return bytes(envelope)


def open_envelope(openers: Sequence[Key], name: SecretName, envelope: bytes) -> SecretBytes:
    """Return the value; EnvelopeError, KeyUnavailableError."""
    keyring = _providers.create_multi_keyring(
        CreateMultiKeyringInput(generator=None, child_keyrings=[_keyring(each) for each in openers])
    )
    try:
        value, _ = _client.decrypt(
            source=envelope,
            materials_manager=_materials(keyring),
            encryption_context=_context(name),
        )
    except (
        InvalidSignature,
        InvalidTag,
    ) as error:  # altered: these come out of the SDK as they are
        raise _does_not_open(name) from error
    except (AWSEncryptionSDKClientError, BotoCoreError, ClientError) as error:
        if any(not _is_wrong_key(each) for each in _service_errors(error)):
            raise KeyUnavailableError(_describe_service(error)) from error
        raise _does_not_open(name) from error
    return SecretBytes(bytes(value))


def _context(name: SecretName) -> Mapping[str, str]:
    return {"org": name.org, "project": name.project, "domain": name.domain, "name": name.name}


def _materials(keyring: Any) -> Any:
    manager = _providers.create_default_cryptographic_materials_manager(
        CreateDefaultCryptographicMaterialsManagerInput(keyring=keyring)
    )
    return _providers.create_required_encryption_context_cmm(
        CreateRequiredEncryptionContextCMMInput(
            underlying_cmm=manager, required_encryption_context_keys=_REQUIRED
        )
    )


def _keyring(key: Key) -> Any:
    match key:
        case AesKey():
            return _providers.create_raw_aes_keyring(
                CreateRawAesKeyringInput(
                    key_namespace="volary",
                    key_name=key.name,
                    wrapping_key=key.key.reveal(),
                    wrapping_alg=AesWrappingAlg.ALG_AES256_GCM_IV12_TAG16,
                )
            )
        case PublicKey():
            return _ecdh(
                RawEcdhStaticConfigurationsEphemeralPrivateKeyToStaticPublicKey(
                    EphemeralPrivateKeyToStaticPublicKeyInput(recipient_public_key=key.der)
                )
            )
        case PrivateKey():
            return _ecdh(
                RawEcdhStaticConfigurationsPublicKeyDiscovery(
                    PublicKeyDiscoveryInput(recipient_static_private_key=key.pem.reveal())
                )
            )
        case KmsKey():
            return _kms_keyring(key)


def _ecdh(scheme: Any) -> Any:
    return _providers.create_raw_ecdh_keyring(
        CreateRawEcdhKeyringInput(
            curve_spec=ECDHCurveSpec.ECC_NIST_P256, key_agreement_scheme=scheme
        )
    )


@cache
def _kms_keyring(key: KmsKey) -> Any:
    """A client takes 100 ms to make, and its connections are worth keeping."""
    client = boto3.client(
        "kms",
        region_name=key.region,
        endpoint_url=key.endpoint or None,
        config=Config(
            connect_timeout=_KMS_TIMEOUT_SECONDS,
            read_timeout=_KMS_TIMEOUT_SECONDS,
            retries={"mode": "standard"},
        ),
    )
    return _providers.create_aws_kms_keyring(
        CreateAwsKmsKeyringInput(kms_key_id=key.arn, kms_client=client)
    )


def _does_not_open(name: SecretName) -> EnvelopeError:
    return EnvelopeError(
        f"the envelope of secret {name} does not open: it was sealed with another key or for "
        "another secret, or was altered"
    )


def _service_errors(error: BaseException) -> Iterator[BotoCoreError | ClientError]:
    """Yield botocore's errors among the causes that the SDK collects in arguments and lists."""
    if isinstance(error, (BotoCoreError, ClientError)):
        yield error
        return
    for each in (*error.args, *(getattr(error, "list", None) or ()), getattr(error, "obj", None)):
        if isinstance(each, BaseException):
            yield from _service_errors(each)


def _is_wrong_key(error: BotoCoreError | ClientError) -> bool:
    return isinstance(error, ClientError) and error.response["Error"]["Code"] in _WRONG_KEY


def _describe_service(error: BaseException) -> str:
    for each in _service_errors(error):
        code = (
            each.response["Error"]["Code"] if isinstance(each, ClientError) else type(each).__name__
        )
        return f"AWS KMS answers {code}; check the key and the permissions to use it"
    return "the key cannot be used"
