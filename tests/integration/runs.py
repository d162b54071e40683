"""Builds the use cases of runs and actions for tests."""

from datetime import timedelta

from controlplane.api.convert.notifications import RunSpecReader
from controlplane.core.signing import SigningKey, SigningKeys
from controlplane.feeds.feeds import Feeds
from controlplane.outbound.mail import Mail
from controlplane.outbound.settings import NotificationSettings
from controlplane.outbound.webhooks import TIMEOUT, Webhooks
from controlplane.store.database import Database
from controlplane.usecases.actions import Actions
from controlplane.usecases.cache_checks import CacheChecks
from controlplane.usecases.callbacks import CallbackAddresses
from controlplane.usecases.data import Data
from controlplane.usecases.deliveries import Deliveries
from controlplane.usecases.projects import Projects
from controlplane.usecases.recoveries import Recoveries
from controlplane.usecases.runs import Runs
from controlplane.usecases.scoped_settings import ScopedSettings
from controlplane.usecases.sealed_configs import SealedConfigs
from controlplane.usecases.secret_keys import SecretKeys
from controlplane.usecases.senders import Senders
from controlplane.usecases.tasks import Tasks
from shared.blobs.store import BlobStore
from shared.kit.clock import Clock
from shared.kit.secrets import SecretBytes
from shared.secrets.keyrings import AesKey

LINK_KEYS = SigningKeys(current=SigningKey(b"k" * 32))
SECRET_KEYS = SecretKeys([AesKey(SecretBytes(b"k" * 32))])
SEALED_CONFIGS = SealedConfigs(lambda: SECRET_KEYS)


def make_actions(database: Database, feeds: Feeds, clock: Clock, blobs: BlobStore) -> Actions:
    return Actions(
        database,
        feeds,
        clock,
        cache_checks=CacheChecks(database, blobs, clock),
        recoveries=Recoveries(database, blobs, clock),
        require_webhook=Webhooks().require_address,
    )


def make_deliveries(
    database: Database,
    clock: Clock,
    settings: NotificationSettings | None = None,
    *,
    webhook_timeout: timedelta = TIMEOUT,
    sealed: SealedConfigs = SEALED_CONFIGS,
    public_url: str = "http://public",
) -> Deliveries:
    settings = settings or NotificationSettings()
    webhooks = Webhooks(
        allow_http=settings.allow_http,
        allowed=settings.allowed_networks,
        timeout=webhook_timeout,
    )
    return Deliveries(
        database,
        clock,
        RunSpecReader(),
        senders=Senders(webhooks, Mail(settings)),
        sealed=sealed,
        callbacks=CallbackAddresses(public_url=public_url, keys=LINK_KEYS),
    )


def make_runs(database: Database, feeds: Feeds, clock: Clock, blobs: BlobStore) -> Runs:
    data = Data(
        blobs,
        clock,
        actions=make_actions(database, feeds, clock, blobs),
        projects=Projects(database, clock),
        keys=LINK_KEYS,
        public_url="http://public",
    )
    return Runs(
        database,
        feeds,
        clock,
        tasks=Tasks(database, clock),
        data=data,
        settings=ScopedSettings(database, clock, base=blobs.base),
        cache_checks=CacheChecks(database, blobs, clock),
        recoveries=Recoveries(database, blobs, clock),
        deliveries=make_deliveries(database, clock),
    )
