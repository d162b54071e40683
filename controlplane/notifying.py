"""
Builds what reports runs and conditions, and the addresses that answer conditions.

A part of ``main``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from starlette.routing import Route

from controlplane.api.convert.notifications import RunSpecReader
from controlplane.api.convert.signals import parse_json
from controlplane.core.signing import SigningKeys
from controlplane.settings import Settings
from controlplane.store.database import Database
from controlplane.usecases.actions import Actions
from controlplane.usecases.callbacks import CallbackAddresses, Callbacks
from controlplane.usecases.deliveries import Deliveries
from controlplane.usecases.sealed_configs import SealedConfigs
from controlplane.usecases.secret_keys import SecretKeys
from controlplane.usecases.senders import Senders
from controlplane.web.callbacks import CallbackRoutes
from shared.kit.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Notifying:
    """The use cases of the loop that delivers, and what seals delivery configurations."""

    deliveries: Deliveries
    configs: SealedConfigs


def make_notifying(
    settings: Settings,
    database: Database,
    clock: Clock,
    *,
    senders: Senders,
    secret_keys: SecretKeys,
    keys: SigningKeys,
) -> Notifying:
    """``keys`` sign the addresses that answer conditions; ``database``: the pool of the loops."""
    configs = SealedConfigs(lambda: secret_keys)
    deliveries = Deliveries(
        database,
        clock,
        RunSpecReader(),
        senders=senders,
        sealed=configs,
        callbacks=CallbackAddresses(public_url=settings.listeners.public_url, keys=keys),
    )
    return Notifying(deliveries=deliveries, configs=configs)


def make_callback_routes(actions: Actions, keys: SigningKeys, clock: Clock) -> Sequence[Route]:
    return CallbackRoutes(Callbacks(actions, keys, clock, parse_json)).routes()
