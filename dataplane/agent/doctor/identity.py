"""Check the agent's own credential for the link: a token's file, or a certificate and its dates."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from dataplane.agent.doctor.results import CheckResult, fault, fine, warning
from dataplane.agent.kube.client import Kube
from dataplane.agent.kube.errors import KubeError
from dataplane.agent.link.channel import Credential, Token
from dataplane.agent.link.identity import (
    HeldCertificate,
    Identity,
    IdentityError,
    parse_document,
)
from dataplane.agent.link.identity_file import IdentityFile
from dataplane.agent.link.identity_secret import IdentitySecret
from dataplane.agent.settings import ProcessSettings, Settings
from shared.kit.clock import Clock

ABOUT = "identity"
_ENROL = "give it a new join token (`volary cluster join-token`) with --join-token-file"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCredential:
    """``credential`` is None if the agent has none; then a result says why."""

    credential: Credential | None
    results: Sequence[CheckResult] = ()


async def check_identity(settings: Settings, clock: Clock) -> OwnCredential:
    """Read the agent's credential, without enrolling."""
    if settings.token_file is not None:
        return OwnCredential(credential=Token(settings.token_file))
    try:
        if isinstance(settings.runtime, ProcessSettings):
            file = IdentityFile(settings.runtime.data_dir / "identity.json")
            place, raw = str(file), await file.load()
            document = None if raw is None else parse_document(raw, place)
            store: IdentityFile | IdentitySecret = file
        else:
            async with Kube.open(settings.runtime.kubeconfig) as kube:
                store = IdentitySecret(kube, settings.runtime.identity_secret)
                place, raw = str(store), await store.load()
            document = None if raw is None else parse_document(raw, place)
    except (IdentityError, KubeError) as error:
        return OwnCredential(credential=None, results=[fault(ABOUT, str(error), _ENROL)])
    if document is None or not document.certificates:
        text = f"this agent is not enrolled: {place} holds no certificate"
        return OwnCredential(credential=None, results=[fault(ABOUT, text, _ENROL)])
    identity = Identity(store, document)
    who = f"cluster {identity.cluster} of {identity.org}"
    return OwnCredential(
        credential=identity, results=[_check_dates(identity.chosen, who, clock.now())]
    )


def _check_dates(held: HeldCertificate, who: str, now: datetime) -> CheckResult:
    until = held.expires_at.isoformat(timespec="minutes")
    if now >= held.expires_at:
        return fault(ABOUT, f"the certificate as {who} expired at {until}", _ENROL)
    if now < held.valid_from:
        since = held.valid_from.isoformat(timespec="minutes")
        return fault(
            ABOUT,
            f"the certificate as {who} is valid from {since} only, which is to come",
            "set this machine's clock (NTP)",
        )
    if now - held.valid_from > (held.expires_at - held.valid_from) / 2:
        text = f"the certificate as {who} ends at {until}, and should have been renewed"
        return warning(ABOUT, text, "read the agent's log for failed renewals")
    return fine(ABOUT, f"certificate {held.serial} as {who}, until {until}")
