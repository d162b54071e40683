"""One request for each RPC of the platform API that needs a permission."""

from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf.message import Message

from shared.idl.platform.v1 import (
    artifact_pb2,
    audit_pb2,
    cluster_pb2,
    enrolment_pb2,
    explanation_pb2,
    file_pb2,
    identity_provider_pb2 as provider_pb2,
    invitation_pb2,
    log_pb2,
    member_pb2,
    notification_pb2,
    org_pb2,
    pool_pb2,
    queue_pb2,
    quota_pb2,
    role_pb2,
    run_pb2,
    run_tree_pb2,
    secret_pb2,
    service_account_pb2 as account_pb2,
    trigger_pb2,
    usage_pb2,
)
from tests.integration.api.client import CLUSTER, DOMAIN, ORG, PROJECT, ApiUnderTest

UNKNOWN = "00000000-0000-7000-8000-000000000001"
TRIGGER: Mapping[str, Any] = {
    "project": PROJECT,
    "domain": DOMAIN,
    "task_name": "env.main",
    "name": "nightly",
}


RUN: Any = {"project": PROJECT, "domain": DOMAIN, "run": "r1"}
VIEW = run_tree_pb2.TreeView(nodes=[{"parent": "a0", "limit": 10}, {"limit": 10}])


def masked(*paths: str) -> Any:
    return {"paths": paths}


def bind(project: str = PROJECT) -> role_pb2.CreateRoleBindingRequest:
    return role_pb2.CreateRoleBindingRequest(
        principal={"group": "readers"}, role="viewer", project=project
    )


def invite(project: str = PROJECT) -> invitation_pb2.CreateInvitationRequest:
    return invitation_pb2.CreateInvitationRequest(role="viewer", project=project)


REQUESTS: Mapping[str, Callable[[ApiUnderTest], Message]] = {
    "ApiKeyService/CreateApiKey": lambda _: account_pb2.CreateApiKeyRequest(
        service_account_id=UNKNOWN
    ),
    "ApiKeyService/GetApiKey": lambda _: account_pb2.GetApiKeyRequest(id=UNKNOWN),
    "ApiKeyService/ListApiKeys": lambda _: account_pb2.ListApiKeysRequest(),
    "ApiKeyService/RevokeApiKey": lambda _: account_pb2.RevokeApiKeyRequest(id=UNKNOWN),
    "ApiKeyService/RotateApiKey": lambda _: account_pb2.RotateApiKeyRequest(id=UNKNOWN),
    "ArtifactService/ListConsumers": lambda _: artifact_pb2.ListConsumersRequest(
        artifact={"project": PROJECT, "domain": DOMAIN, "name": "model", "version": "v1"}
    ),
    "ArtifactService/GetRunArtifacts": lambda _: artifact_pb2.GetRunArtifactsRequest(**RUN),
    "AuditService/ListAuditRecords": lambda _: audit_pb2.ListAuditRecordsRequest(),
    "AuditService/VerifyAuditLog": lambda _: audit_pb2.VerifyAuditLogRequest(),
    "AuditService/ExportAuditLog": lambda _: audit_pb2.ExportAuditLogRequest(),
    "ClusterService/GetCluster": lambda _: cluster_pb2.GetClusterRequest(name=CLUSTER),
    "ClusterService/ListClusters": lambda _: cluster_pb2.ListClustersRequest(),
    "ClusterService/WatchClusters": lambda _: cluster_pb2.WatchClustersRequest(),
    "ClusterService/ListClusterSessions": lambda _: cluster_pb2.ListClusterSessionsRequest(
        cluster=CLUSTER
    ),
    "ClusterService/ListLeasedAttempts": lambda _: cluster_pb2.ListLeasedAttemptsRequest(
        cluster=CLUSTER
    ),
    "ClusterService/UpdateCluster": lambda _: cluster_pb2.UpdateClusterRequest(
        cluster={"name": CLUSTER, "pool": "gpus"}, update_mask=masked("pool")
    ),
    "ClusterService/DeleteCluster": lambda _: cluster_pb2.DeleteClusterRequest(name=CLUSTER),
    "ClusterService/DrainCluster": lambda _: cluster_pb2.DrainClusterRequest(name=CLUSTER),
    "ClusterService/WatchDrain": lambda _: cluster_pb2.WatchDrainRequest(
        name=CLUSTER, deadline={"seconds": 0}
    ),
    "EmailDomainService/AllowEmailDomain": lambda _: invitation_pb2.AllowEmailDomainRequest(
        name="acme.example", role="viewer"
    ),
    "EmailDomainService/ListEmailDomains": lambda _: invitation_pb2.ListEmailDomainsRequest(),
    "EmailDomainService/ClaimEmailDomain": lambda _: invitation_pb2.ClaimEmailDomainRequest(
        name="claimed.example", role="viewer"
    ),
    "EmailDomainService/VerifyEmailDomain": lambda _: invitation_pb2.VerifyEmailDomainRequest(
        name="unclaimed.example"
    ),
    "EmailDomainService/ListEmailDomainClaims": lambda _: (
        invitation_pb2.ListEmailDomainClaimsRequest()
    ),
    "EmailDomainService/ForbidEmailDomain": lambda _: invitation_pb2.ForbidEmailDomainRequest(
        name="acme.example"
    ),
    "EnrolmentService/CreateCluster": lambda _: enrolment_pb2.CreateClusterRequest(name="c9"),
    "EnrolmentService/CreateJoinToken": lambda _: enrolment_pb2.CreateJoinTokenRequest(
        cluster=CLUSTER
    ),
    "EnrolmentService/ListEnrolments": lambda _: enrolment_pb2.ListEnrolmentsRequest(),
    "EnrolmentService/AcceptEnrolment": lambda _: enrolment_pb2.AcceptEnrolmentRequest(
        cluster=CLUSTER
    ),
    "EnrolmentService/RevokeAgent": lambda _: enrolment_pb2.RevokeAgentRequest(cluster=CLUSTER),
    "ExplanationService/ExplainAction": lambda _: explanation_pb2.ExplainActionRequest(
        project=PROJECT, domain=DOMAIN, run="r1", action="a0"
    ),
    "ExplanationService/ListPendingActions": lambda _: explanation_pb2.ListPendingActionsRequest(
        project=PROJECT, domain=DOMAIN, run="r1"
    ),
    "ExplanationService/WatchExplanation": lambda _: explanation_pb2.WatchExplanationRequest(
        **RUN, action="a0"
    ),
    "ExplanationService/ListAttempts": lambda _: explanation_pb2.ListAttemptsRequest(
        **RUN, action="a0"
    ),
    "ExplanationService/ListFailures": lambda _: explanation_pb2.ListFailuresRequest(**RUN),
    "ExplanationService/GetCriticalPath": lambda _: explanation_pb2.GetCriticalPathRequest(**RUN),
    "ExplanationService/GetActivity": lambda _: explanation_pb2.GetActivityRequest(**RUN),
    "FileService/ListFiles": lambda _: file_pb2.ListFilesRequest(
        project=PROJECT, domain=DOMAIN, run="r1", action="a0", attempt=1
    ),
    "FileService/CreateFileLink": lambda api: file_pb2.CreateFileLinkRequest(
        uri=f"{api.blobs.base}/{ORG}/{PROJECT}/{DOMAIN}/r1/a0/1/outputs.pb"
    ),
    "FileService/ListCodeFiles": lambda _: file_pb2.ListCodeFilesRequest(
        project=PROJECT, domain=DOMAIN, run="r1", action="a0"
    ),
    "FileService/ReadCodeFile": lambda _: file_pb2.ReadCodeFileRequest(
        project=PROJECT, domain=DOMAIN, run="r1", action="a0", path="main.py"
    ),
    "IdentityProviderService/CreateIdentityProvider": lambda _: (
        provider_pb2.CreateIdentityProviderRequest(
            issuer="https://login.example.com", client_id="volary"
        )
    ),
    "IdentityProviderService/GetIdentityProvider": lambda _: (
        provider_pb2.GetIdentityProviderRequest(id=UNKNOWN)
    ),
    "IdentityProviderService/ListIdentityProviders": lambda _: (
        provider_pb2.ListIdentityProvidersRequest()
    ),
    "IdentityProviderService/UpdateIdentityProvider": lambda _: (
        provider_pb2.UpdateIdentityProviderRequest(
            identity_provider={"id": UNKNOWN, "name": "SSO"}, update_mask=masked("name")
        )
    ),
    "IdentityProviderService/DeleteIdentityProvider": lambda _: (
        provider_pb2.DeleteIdentityProviderRequest(id=UNKNOWN)
    ),
    "InvitationService/CreateInvitation": lambda _: invite(),
    "InvitationService/GetInvitation": lambda api: invitation_pb2.GetInvitationRequest(
        id=api.made["invitation"]
    ),
    "InvitationService/ListInvitations": lambda _: invitation_pb2.ListInvitationsRequest(),
    "InvitationService/WithdrawInvitation": lambda api: invitation_pb2.WithdrawInvitationRequest(
        id=api.made["invitation"]
    ),
    "LogService/ReadLines": lambda _: log_pb2.ReadLinesRequest(
        project=PROJECT, domain=DOMAIN, run="r1", action="a0"
    ),
    "LogService/SearchLines": lambda _: log_pb2.SearchLinesRequest(
        project=PROJECT, domain=DOMAIN, run="r1", action="a0", pattern="error"
    ),
    "MemberService/GetMember": lambda _: member_pb2.GetMemberRequest(user_id=UNKNOWN),
    "MemberService/ListMembers": lambda _: member_pb2.ListMembersRequest(),
    "MemberService/UpdateMember": lambda _: member_pb2.UpdateMemberRequest(
        member={"user_id": UNKNOWN, "role": "viewer"}, update_mask=masked("role")
    ),
    "DeliveryConfigService/CreateDeliveryConfig": lambda _: (
        notification_pb2.CreateDeliveryConfigRequest(
            delivery_config={"name": "named", "webhook": {"url": "https://hooks.example"}}
        )
    ),
    "DeliveryConfigService/GetDeliveryConfig": lambda _: notification_pb2.GetDeliveryConfigRequest(
        name="named"
    ),
    "DeliveryConfigService/ListDeliveryConfigs": lambda _: (
        notification_pb2.ListDeliveryConfigsRequest()
    ),
    "DeliveryConfigService/UpdateDeliveryConfig": lambda _: (
        notification_pb2.UpdateDeliveryConfigRequest(
            delivery_config={"name": "named", "webhook": {"url": "https://hooks.example"}},
            update_mask=masked("webhook"),
        )
    ),
    "DeliveryConfigService/DeleteDeliveryConfig": lambda _: (
        notification_pb2.DeleteDeliveryConfigRequest(name="named")
    ),
    "DeliveryConfigService/RotateSigningSecret": lambda _: (
        notification_pb2.RotateSigningSecretRequest(name="named")
    ),
    "NotificationRuleService/CreateNotificationRule": lambda _: (
        notification_pb2.CreateNotificationRuleRequest(
            notification_rule={"name": "named", "phases": ["FAILED"], "delivery_configs": ["chat"]}
        )
    ),
    "NotificationRuleService/GetNotificationRule": lambda _: (
        notification_pb2.GetNotificationRuleRequest(name="named")
    ),
    "NotificationRuleService/ListNotificationRules": lambda _: (
        notification_pb2.ListNotificationRulesRequest()
    ),
    "NotificationRuleService/UpdateNotificationRule": lambda _: (
        notification_pb2.UpdateNotificationRuleRequest(
            notification_rule={"name": "named", "phases": ["FAILED"], "delivery_configs": ["chat"]},
            update_mask=masked("phases"),
        )
    ),
    "NotificationRuleService/DeleteNotificationRule": lambda _: (
        notification_pb2.DeleteNotificationRuleRequest(name="named")
    ),
    "NotificationService/ListDeliveries": lambda _: notification_pb2.ListDeliveriesRequest(),
    "NotificationService/ResendDeliveries": lambda api: notification_pb2.ResendDeliveriesRequest(
        ids=[api.made.get("delivery", UNKNOWN)]
    ),
    "OrgService/GetOrg": lambda _: org_pb2.GetOrgRequest(),
    "OrgService/UpdateOrg": lambda _: org_pb2.UpdateOrgRequest(
        org={"display_name": "Renamed"}, update_mask=masked("display_name")
    ),
    # The installation starts with this org: the request is refused after its permission is checked.
    "OrgService/DeleteOrg": lambda _: org_pb2.DeleteOrgRequest(name=ORG),
    "PoolService/ListPools": lambda _: pool_pb2.ListPoolsRequest(),
    "QuotaService/GetQuota": lambda _: quota_pb2.GetQuotaRequest(project=PROJECT),
    "QuotaService/ListQuotas": lambda _: quota_pb2.ListQuotasRequest(),
    "QuotaService/UpdateQuota": lambda _: quota_pb2.UpdateQuotaRequest(
        quota={"project": PROJECT, "triggers": 10}, update_mask=masked("triggers")
    ),
    "UsageService/GetUsage": lambda _: usage_pb2.GetUsageRequest(),
    "UsageService/ListUsage": lambda _: usage_pb2.ListUsageRequest(),
    "QueueService/GetQueue": lambda _: queue_pb2.GetQueueRequest(name="gpu"),
    "QueueService/GetQueueHistory": lambda _: queue_pb2.GetQueueHistoryRequest(),
    "QueueService/GetQueueShares": lambda _: queue_pb2.GetQueueSharesRequest(),
    "QueueService/ListQueues": lambda _: queue_pb2.ListQueuesRequest(),
    "QueueService/CreateQueue": lambda _: queue_pb2.CreateQueueRequest(queue={"name": "gpu"}),
    "QueueService/UpdateQueue": lambda _: queue_pb2.UpdateQueueRequest(
        queue={"name": "gpu", "priority": 1}, update_mask=masked("priority"), allow_missing=True
    ),
    "QueueService/DeleteQueue": lambda _: queue_pb2.DeleteQueueRequest(name="gpu"),
    "RoleBindingService/CreateRoleBinding": lambda _: bind(),
    "RoleBindingService/GetRoleBinding": lambda api: role_pb2.GetRoleBindingRequest(
        id=api.made["role binding"]
    ),
    "RoleBindingService/ListRoleBindings": lambda _: role_pb2.ListRoleBindingsRequest(),
    "RoleBindingService/DeleteRoleBinding": lambda api: role_pb2.DeleteRoleBindingRequest(
        id=api.made["role binding"]
    ),
    "RoleService/CreateRole": lambda _: role_pb2.CreateRoleRequest(
        name="reader", permissions=["run:read"]
    ),
    "RoleService/GetRole": lambda _: role_pb2.GetRoleRequest(name="reader"),
    "RoleService/ListRoles": lambda _: role_pb2.ListRolesRequest(),
    "RoleService/UpdateRole": lambda _: role_pb2.UpdateRoleRequest(
        role={"name": "reader", "description": "Reads"}, update_mask=masked("description")
    ),
    "RoleService/DeleteRole": lambda _: role_pb2.DeleteRoleRequest(name="reader"),
    "RunService/GetRetentionPolicy": lambda _: run_pb2.GetRetentionPolicyRequest(),
    "RunService/GetRunRetention": lambda _: run_pb2.GetRunRetentionRequest(**RUN),
    "RunService/PurgeRun": lambda _: run_pb2.PurgeRunRequest(**RUN),
    "RunService/SetRunsState": lambda _: run_pb2.SetRunsStateRequest(
        project=PROJECT, domain=DOMAIN, runs=["r1"], state="archived"
    ),
    "RunService/HoldRun": lambda _: run_pb2.HoldRunRequest(**RUN, reason="an audit"),
    "RunService/ReleaseRun": lambda _: run_pb2.ReleaseRunRequest(**RUN),
    "RunService/ListRunRows": lambda _: run_pb2.ListRunRowsRequest(),
    "RunService/SummarizeRuns": lambda _: run_pb2.SummarizeRunsRequest(
        filter={"project": PROJECT, "domain": DOMAIN, "since": {"seconds": 1_780_000_000}}
    ),
    "RunTreeService/GetTree": lambda _: run_tree_pb2.GetTreeRequest(
        project=PROJECT, domain=DOMAIN, run="r1", view=VIEW
    ),
    "RunTreeService/WatchTree": lambda _: run_tree_pb2.WatchTreeRequest(
        project=PROJECT, domain=DOMAIN, run="r1", view=VIEW
    ),
    "SecretService/ListSecrets": lambda _: secret_pb2.ListSecretsRequest(),
    "SecretService/RotateSecret": lambda _: secret_pb2.RotateSecretRequest(
        name="token", value=b"canary"
    ),
    "ServiceAccountService/CreateServiceAccount": lambda _: account_pb2.CreateServiceAccountRequest(
        name="ci"
    ),
    "ServiceAccountService/GetServiceAccount": lambda _: account_pb2.GetServiceAccountRequest(
        id=UNKNOWN
    ),
    "ServiceAccountService/ListServiceAccounts": lambda _: account_pb2.ListServiceAccountsRequest(),
    "ServiceAccountService/UpdateServiceAccount": lambda _: account_pb2.UpdateServiceAccountRequest(
        service_account={"id": UNKNOWN, "name": "cd"}, update_mask=masked("name")
    ),
    "ServiceAccountService/DeleteServiceAccount": lambda _: account_pb2.DeleteServiceAccountRequest(
        id=UNKNOWN
    ),
    "TriggerService/ListTriggers": lambda _: trigger_pb2.ListTriggersRequest(),
    "TriggerService/GetTrigger": lambda _: trigger_pb2.GetTriggerRequest(**TRIGGER),
    "TriggerService/ListFirings": lambda _: trigger_pb2.ListFiringsRequest(**TRIGGER),
    "TriggerService/FireTrigger": lambda _: trigger_pb2.FireTriggerRequest(**TRIGGER, run="fired"),
}

LISTS = frozenset({
    "NotificationService/ListDeliveries",
    "RoleBindingService/ListRoleBindings",
    "RunService/ListRunRows",
    "SecretService/ListSecrets",
    "TriggerService/ListTriggers",
})  # fmt: skip
"""Those that show what lies in the scopes that the caller may read."""
IN_SCOPES = LISTS | {
    "ArtifactService/ListConsumers",
    "ArtifactService/GetRunArtifacts",
    "ExplanationService/ExplainAction",
    "ExplanationService/ListPendingActions",
    "ExplanationService/WatchExplanation",
    "ExplanationService/ListAttempts",
    "ExplanationService/ListFailures",
    "ExplanationService/GetCriticalPath",
    "ExplanationService/GetActivity",
    "InvitationService/CreateInvitation",
    "InvitationService/WithdrawInvitation",
    "FileService/ListFiles",
    "FileService/CreateFileLink",
    "FileService/ListCodeFiles",
    "FileService/ReadCodeFile",
    "LogService/ReadLines",
    "LogService/SearchLines",
    "QuotaService/GetQuota",
    "QuotaService/UpdateQuota",
    "RunService/GetRunRetention",
    "RunService/PurgeRun",
    "RunService/SetRunsState",
    "RunService/HoldRun",
    "RunService/ReleaseRun",
    "RunService/SummarizeRuns",
    "RunTreeService/GetTree",
    "RunTreeService/WatchTree",
    "NotificationService/ResendDeliveries",
    "RoleBindingService/CreateRoleBinding",
    "RoleBindingService/GetRoleBinding",
    "RoleBindingService/DeleteRoleBinding",
    "TriggerService/GetTrigger",
    "TriggerService/ListFirings",
    "TriggerService/FireTrigger",
}
"""Those that a grant in a project suffices for."""
OF_THE_ORG = frozenset(REQUESTS) - IN_SCOPES
