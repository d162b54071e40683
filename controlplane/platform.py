"""
Builds the services of the platform API, by their full names.

A part of ``main``.
"""

from collections.abc import Callable, Mapping

from controlplane.api.platform.accounts import ApiKeyService, ServiceAccountService
from controlplane.api.platform.artifacts import ArtifactService
from controlplane.api.platform.audit import AuditService
from controlplane.api.platform.callers import CallerService
from controlplane.api.platform.clusters import ClusterService, PoolService
from controlplane.api.platform.enrolments import EnrolmentService
from controlplane.api.platform.explanations import ExplanationService
from controlplane.api.platform.files import FileService
from controlplane.api.platform.identity_providers import IdentityProviderService
from controlplane.api.platform.invitations import EmailDomainService, InvitationService
from controlplane.api.platform.logs import LogService
from controlplane.api.platform.members import MemberService
from controlplane.api.platform.named_notifications import (
    DeliveryConfigService,
    NotificationRuleService,
)
from controlplane.api.platform.notifications import NotificationService
from controlplane.api.platform.orgs import OrgService
from controlplane.api.platform.queues import QueueService
from controlplane.api.platform.quotas import QuotaService
from controlplane.api.platform.roles import RoleBindingService, RoleService
from controlplane.api.platform.run_trees import RunTreeService
from controlplane.api.platform.runs import RunService
from controlplane.api.platform.search import SearchService
from controlplane.api.platform.secrets import SecretService
from controlplane.api.platform.sessions import SessionService
from controlplane.api.platform.triggers import CreateRun, TriggerService
from controlplane.api.platform.usage import UsageService
from controlplane.authn.agent_authority import AuthoritySet
from controlplane.core.retention import RetentionPolicy
from controlplane.feeds.feeds import Feeds
from controlplane.outbound.dns import Dns
from controlplane.outbound.settings import NotificationSettings
from controlplane.store.database import Database
from controlplane.usecases.agents.enrolment import Enrolments
from controlplane.usecases.artifact_lineage import ArtifactLineage
from controlplane.usecases.clusters import Clusters
from controlplane.usecases.explanations import Explanations
from controlplane.usecases.files import Files
from controlplane.usecases.identity.accounts import ServiceAccounts
from controlplane.usecases.identity.audit import Audit
from controlplane.usecases.identity.email_domains import EmailDomains
from controlplane.usecases.identity.invitations import Invitations
from controlplane.usecases.identity.members import Members
from controlplane.usecases.identity.org_deletion import OrgDeletion
from controlplane.usecases.identity.orgs import Orgs
from controlplane.usecases.identity.providers import IdentityProviders
from controlplane.usecases.identity.roles import Roles
from controlplane.usecases.identity.sessions import Sessions
from controlplane.usecases.identity.users import Users
from controlplane.usecases.log_lines import LogLines
from controlplane.usecases.named_notifications import NamedNotifications
from controlplane.usecases.notifications import Notifications
from controlplane.usecases.queue_history import QueueHistoryReader
from controlplane.usecases.queue_shares import QueueShareReader
from controlplane.usecases.queues import Queues
from controlplane.usecases.quotas import Quotas
from controlplane.usecases.run_analysis import RunAnalysis
from controlplane.usecases.run_lists import RunLists
from controlplane.usecases.run_purges import RunRetentions
from controlplane.usecases.run_states import RunStates
from controlplane.usecases.run_trees import RunTrees
from controlplane.usecases.sealed_configs import SealedConfigs
from controlplane.usecases.search import Search
from controlplane.usecases.secret_keys import SecretKeys
from controlplane.usecases.secrets import Secrets
from controlplane.usecases.senders import Senders, make_senders
from controlplane.usecases.token_families import TokenFamilies
from controlplane.usecases.trigger_reader import TriggerReader
from controlplane.usecases.usage import UsageReader
from shared.kit.clock import Clock

PACKAGE = "volary.platform.v1"


def make_platform(
    database: Database,
    clock: Clock,
    *,
    public_url: str,
    self_service_orgs: bool,
    secrets: Callable[[], Secrets],
    providers: IdentityProviders | None = None,
    senders: Senders | None = None,
    feeds: Feeds | None = None,
    keys: Callable[[], SecretKeys] = SecretKeys,
    create_run: CreateRun | None = None,
    log_lines: LogLines | None = None,
    files: Files | None = None,
    deletion: OrgDeletion | None = None,
    email_domains: EmailDomains | None = None,
    kept: RetentionPolicy | None = None,
) -> Mapping[str, object]:
    """
    Build the services.

    ``self_service_orgs``: every person may create an org; ``deletion``: of orgs, by default with the
    usual time to restore them; ``email_domains``: claims of them, by default looked up at the machine's
    resolvers; ``secrets`` is called for each call that needs them; ``providers``: None
    without logins; ``senders`` know which receivers are refused, by default
    those of an installation without settings; ``feeds`` tell
    watches of changes, without them they look at intervals; ``keys`` seal delivery configurations,
    by default none; ``create_run`` is RunService's, None if it is not served.
    ``log_lines``: None for a program that does not serve; ``kept``: for how long data is
    kept, by default ended runs for ever.
    """
    orgs = Orgs(database, clock, self_service=self_service_orgs)
    accounts, roles = ServiceAccounts(database, clock), Roles(database, clock)
    invitations, users = Invitations(database, clock), Users(database, clock)
    senders = senders or make_senders(NotificationSettings())
    named = NamedNotifications(database, clock, senders, SealedConfigs(keys))
    clusters = Clusters(database, clock)
    sessions = Sessions(database, clock, TokenFamilies(database, clock))
    served: Mapping[str, object] = {
        "ApiKeyService": ApiKeyService(accounts, public_url),
        "ArtifactService": ArtifactService(ArtifactLineage(database)),
        "AuditService": AuditService(Audit(database)),
        "CallerService": CallerService(),
        "ClusterService": ClusterService(clusters),
        "DeliveryConfigService": DeliveryConfigService(named),
        "EmailDomainService": EmailDomainService(
            orgs, email_domains or EmailDomains(database, clock, Dns())
        ),
        "EnrolmentService": EnrolmentService(
            Enrolments(database, clock, AuthoritySet()),
            clock,  # the link's signs
        ),
        "ExplanationService": ExplanationService(
            Explanations(database, clock, feeds), RunAnalysis(database, clock)
        ),
        "FileService": FileService(files),
        "IdentityProviderService": IdentityProviderService(providers, public_url),
        "InvitationService": InvitationService(invitations, users, public_url),
        "LogService": LogService(log_lines),
        "MemberService": MemberService(Members(database, clock)),
        "NotificationRuleService": NotificationRuleService(named),
        "NotificationService": NotificationService(Notifications(database, clock)),
        "OrgService": OrgService(
            orgs, deletion or OrgDeletion(database, clock), invitations, users
        ),
        "PoolService": PoolService(clusters),
        "QueueService": QueueService(
            Queues(database, clock),
            QueueShareReader(database, clock),
            QueueHistoryReader(database, clock),
        ),
        "QuotaService": QuotaService(Quotas(database, clock)),
        "RoleBindingService": RoleBindingService(roles),
        "RoleService": RoleService(roles),
        "RunService": RunService(
            RunLists(database, clock),
            RunRetentions(database, clock, kept or RetentionPolicy()),
            RunStates(database, clock),
        ),
        "RunTreeService": RunTreeService(RunTrees(database, clock, feeds)),
        "SearchService": SearchService(Search(database)),
        "SecretService": SecretService(secrets),
        "ServiceAccountService": ServiceAccountService(accounts),
        "SessionService": SessionService(sessions),
        "TriggerService": TriggerService(TriggerReader(database), create_run),
        "UsageService": UsageService(UsageReader(database, clock)),
    }
    return {f"{PACKAGE}.{name}": service for name, service in served.items()}
