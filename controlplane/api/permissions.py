"""
Permissions that each RPC requires. Every method of every service has its row.

``tests/architecture`` compares this table with the descriptors of flyteidl2 and of the platform
API, so an RPC that a new release of flyteidl2 adds cannot be served, nor refused, by accident.
"""

from collections.abc import Mapping
from enum import Enum, auto

from controlplane.core.callers import Permission


class Access(Enum):
    """Requirements other than a permission in an org."""

    PUBLIC = auto()  # no authentication
    KNOWN = auto()  # any authenticated caller
    UNBUILT = auto()  # this release answers UNIMPLEMENTED


PERMISSIONS: Mapping[str, Mapping[str, Permission | Access]] = {
    "flyteidl2.actions.ActionsService": {
        "Enqueue": Permission.ACTION_ENQUEUE,
        "WatchForUpdates": Permission.ACTION_READ,
        "Update": Access.UNBUILT,
        "Abort": Permission.RUN_ABORT,
        "Signal": Permission.RUN_SIGNAL,
    },
    "flyteidl2.app.AppLogsService": {
        "TailLogs": Access.UNBUILT,
    },
    "flyteidl2.app.AppService": {
        "Create": Access.UNBUILT,
        "Get": Access.UNBUILT,
        "Update": Access.UNBUILT,
        "UpdateStatus": Access.UNBUILT,
        "Delete": Access.UNBUILT,
        "List": Access.UNBUILT,
        "Watch": Access.UNBUILT,
        "Lease": Access.UNBUILT,
    },
    "flyteidl2.artifact.ArtifactService": {
        "CreateArtifact": Permission.ARTIFACT_WRITE,
        "GetArtifact": Permission.ARTIFACT_READ,
        "ListArtifacts": Permission.ARTIFACT_READ,
        "ListArtifactNames": Permission.ARTIFACT_READ,
        "ListArtifactMetadataKeys": Permission.ARTIFACT_READ,
        "DeleteArtifact": Permission.ARTIFACT_WRITE,
        "DeclareArtifact": Permission.ARTIFACT_WRITE,
        "GetArtifactSchema": Permission.ARTIFACT_READ,
        "ListPartitionValues": Permission.ARTIFACT_READ,
    },
    "flyteidl2.auth.AuthMetadataService": {
        "GetOAuth2Metadata": Access.PUBLIC,
        "GetPublicClientConfig": Access.PUBLIC,
    },
    "flyteidl2.auth.IdentityService": {
        "UserInfo": Access.KNOWN,
    },
    "flyteidl2.cacheservice.CacheService": {
        "Get": Access.UNBUILT,
        "Put": Access.UNBUILT,
        "Delete": Access.UNBUILT,
        "GetOrExtendReservation": Access.UNBUILT,
        "ReleaseReservation": Access.UNBUILT,
    },
    "flyteidl2.cacheservice.v2.CacheService": {
        "Get": Permission.BLOB_READ,
        "Put": Permission.BLOB_WRITE,
        "Delete": Permission.BLOB_WRITE,
        "GetOrExtendReservation": Access.UNBUILT,
        "ReleaseReservation": Access.UNBUILT,
    },
    "flyteidl2.cluster.ClusterService": {
        "SelectCluster": Access.KNOWN,
    },
    "flyteidl2.connector.AsyncConnectorService": {
        "CreateTask": Access.UNBUILT,
        "GetTask": Access.UNBUILT,
        "DeleteTask": Access.UNBUILT,
        "GetTaskMetrics": Access.UNBUILT,
        "GetTaskLogs": Access.UNBUILT,
    },
    "flyteidl2.connector.ConnectorMetadataService": {
        "GetConnector": Access.UNBUILT,
        "ListConnectors": Access.UNBUILT,
    },
    "flyteidl2.dataproxy.DataProxyService": {
        "CreateUploadLocation": Permission.BLOB_WRITE,
        "UploadInputs": Permission.BLOB_WRITE,
        "CreateDownloadLink": Permission.BLOB_READ,
        "GetActionData": Permission.ACTION_READ,
        "TailLogs": Permission.ACTION_READ,
    },
    "flyteidl2.imagebuilder.ImageService": {
        "GetImage": Access.UNBUILT,
    },
    "flyteidl2.org.DomainService": {
        "ListDomains": Access.KNOWN,
        "CreateDomain": Permission.PROJECT_WRITE,
        "GetDomain": Access.KNOWN,
        "UpdateDomain": Permission.PROJECT_WRITE,
        "DeleteDomain": Permission.PROJECT_WRITE,
    },
    "flyteidl2.project.ProjectService": {
        "CreateProject": Permission.PROJECT_WRITE,
        "UpdateProject": Permission.PROJECT_WRITE,
        "GetProject": Permission.PROJECT_READ,
        "ListProjects": Permission.PROJECT_READ,
    },
    "flyteidl2.secret.SecretService": {
        "CreateSecret": Permission.SECRET_WRITE,
        "UpdateSecret": Permission.SECRET_WRITE,
        "GetSecret": Permission.SECRET_READ,
        "DeleteSecret": Permission.SECRET_WRITE,
        "ListSecrets": Permission.SECRET_READ,
    },
    "flyteidl2.settings.SettingsService": {
        "GetSettings": Permission.SETTINGS_READ,
        "GetSettingsForEdit": Permission.SETTINGS_READ,
        "CreateSettings": Permission.SETTINGS_WRITE,
        "UpdateSettings": Permission.SETTINGS_WRITE,
    },
    "flyteidl2.task.TaskService": {
        "DeployTask": Permission.TASK_DEPLOY,
        "GetTaskDetails": Permission.TASK_READ,
        "ListTasks": Permission.TASK_READ,
        "ListVersions": Permission.TASK_READ,
    },
    "flyteidl2.trigger.TriggerService": {
        "DeployTrigger": Permission.TASK_DEPLOY,  # and run:create, as for those that change one
        "GetTriggerDetails": Permission.TASK_READ,
        "GetTriggerRevisionDetails": Permission.TASK_READ,
        "ListTriggers": Permission.TASK_READ,
        "GetTriggerRevisionHistory": Permission.TASK_READ,
        "UpdateTriggers": Permission.TASK_DEPLOY,
        "DeleteTriggers": Permission.TASK_DEPLOY,
    },
    "flyteidl2.workflow.EventsProxyService": {
        "Record": Access.UNBUILT,
    },
    "flyteidl2.workflow.InternalRunService": {
        "RecordAction": Access.UNBUILT,
        "RecordActionStream": Access.UNBUILT,
        "UpdateActionStatus": Access.UNBUILT,
        "UpdateActionStatusStream": Access.UNBUILT,
        "RecordActionEvents": Access.UNBUILT,
        "RecordActionEventStream": Access.UNBUILT,
    },
    "flyteidl2.workflow.QueueService": {
        "EnqueueAction": Permission.ACTION_ENQUEUE,
        "AbortQueuedRun": Permission.RUN_ABORT,
        "AbortQueuedAction": Permission.RUN_ABORT,
    },
    "flyteidl2.workflow.RunLogsService": {
        "TailLogs": Permission.ACTION_READ,
    },
    "flyteidl2.workflow.RunService": {
        "CreateRun": Permission.RUN_CREATE,
        "AbortRun": Permission.RUN_ABORT,
        "GetRunDetails": Permission.RUN_READ,
        "WatchRunDetails": Permission.RUN_READ,
        "GetActionDetails": Permission.ACTION_READ,
        "WatchActionDetails": Permission.ACTION_READ,
        "GetActionData": Permission.ACTION_READ,
        "ListRuns": Permission.RUN_READ,
        "WatchRuns": Permission.RUN_READ,
        "ListActions": Permission.ACTION_READ,
        "WatchActions": Permission.ACTION_READ,
        "WatchClusterEvents": Permission.ACTION_READ,
        "AbortAction": Permission.RUN_ABORT,
        "SignalEvent": Permission.RUN_SIGNAL,
        "WatchGroups": Permission.RUN_READ,
        "GetActionDataURIs": Permission.ACTION_READ,
        "GetActionLogContext": Permission.ACTION_READ,
    },
    "flyteidl2.workflow.StateService": {
        "Put": Access.UNBUILT,
        "Get": Access.UNBUILT,
        "Watch": Permission.ACTION_READ,
    },
    "flyteidl2.workflow.TrackedRunService": {
        "CreateRun": Permission.RUN_CREATE,
        "ReportActions": Permission.RUN_CREATE,  # of one's own runs only
        "GetRunDetails": Permission.RUN_READ,
        "WatchRunDetails": Permission.RUN_READ,
        "GetActionDetails": Permission.ACTION_READ,
        "WatchActionDetails": Permission.ACTION_READ,
        "ListRuns": Permission.RUN_READ,
        "WatchRuns": Permission.RUN_READ,
        "ListActions": Permission.ACTION_READ,
        "WatchActions": Permission.ACTION_READ,
        "AbortRun": Permission.RUN_ABORT,
    },
    "flyteidl2.workflow.TranslatorService": {
        "LiteralsToLaunchFormJson": Access.KNOWN,  # and who names an action may read its inputs
        "LaunchFormJsonToLiterals": Access.KNOWN,
        "TaskSpecToLaunchFormJson": Access.KNOWN,
        "JsonValuesToLiterals": Access.KNOWN,
    },
    "volary.platform.v1.ApiKeyService": {
        "CreateApiKey": Permission.SERVICE_ACCOUNT_WRITE,
        "GetApiKey": Permission.SERVICE_ACCOUNT_READ,
        "ListApiKeys": Permission.SERVICE_ACCOUNT_READ,
        "RevokeApiKey": Permission.SERVICE_ACCOUNT_WRITE,
        "RotateApiKey": Permission.SERVICE_ACCOUNT_WRITE,
    },
    "volary.platform.v1.ArtifactService": {
        "ListConsumers": Permission.ARTIFACT_READ,
        "GetRunArtifacts": Permission.RUN_READ,
    },
    "volary.platform.v1.AuditService": {
        "ListAuditRecords": Permission.AUDIT_READ,
        "VerifyAuditLog": Permission.AUDIT_READ,
        "ExportAuditLog": Permission.AUDIT_READ,
    },
    "volary.platform.v1.CallerService": {
        "GetCaller": Access.KNOWN,
    },
    "volary.platform.v1.ClusterService": {
        "GetCluster": Permission.CLUSTER_READ,
        "ListClusters": Permission.CLUSTER_READ,
        "WatchClusters": Permission.CLUSTER_READ,
        "ListLeasedAttempts": Permission.CLUSTER_READ,  # shows those that the caller may read
        "ListClusterSessions": Permission.CLUSTER_READ,
        "UpdateCluster": Permission.CLUSTER_WRITE,
        "DrainCluster": Permission.CLUSTER_WRITE,
        "DeleteCluster": Permission.CLUSTER_WRITE,
        "WatchDrain": Permission.CLUSTER_READ,  # to stop attempts at the deadline: cluster:write
    },
    "volary.platform.v1.EmailDomainService": {
        "AllowEmailDomain": Permission.ORG_WRITE,
        "ListEmailDomains": Permission.ORG_READ,
        "ForbidEmailDomain": Permission.ORG_WRITE,
        "ClaimEmailDomain": Permission.ORG_WRITE,
        "VerifyEmailDomain": Permission.ORG_WRITE,
        "ListEmailDomainClaims": Permission.ORG_READ,
    },
    "volary.platform.v1.EnrolmentService": {
        "CreateCluster": Permission.CLUSTER_WRITE,
        "CreateJoinToken": Permission.CLUSTER_WRITE,
        "ListEnrolments": Permission.CLUSTER_READ,
        "AcceptEnrolment": Permission.CLUSTER_WRITE,
        "RevokeAgent": Permission.CLUSTER_WRITE,
    },
    "volary.platform.v1.ExplanationService": {
        "ExplainAction": Permission.ACTION_READ,
        "ListPendingActions": Permission.RUN_READ,
        "WatchExplanation": Permission.ACTION_READ,
        "ListAttempts": Permission.ACTION_READ,
        "ListFailures": Permission.ACTION_READ,
        "GetCriticalPath": Permission.ACTION_READ,
        "GetActivity": Permission.ACTION_READ,
    },
    "volary.platform.v1.FileService": {
        "ListFiles": Permission.BLOB_READ,
        "CreateFileLink": Permission.BLOB_READ,
        "ListCodeFiles": Permission.BLOB_READ,
        "ReadCodeFile": Permission.BLOB_READ,
    },
    "volary.platform.v1.IdentityProviderService": {
        "CreateIdentityProvider": Permission.IDENTITY_PROVIDER_WRITE,
        "GetIdentityProvider": Permission.IDENTITY_PROVIDER_READ,
        "ListIdentityProviders": Permission.IDENTITY_PROVIDER_READ,
        "UpdateIdentityProvider": Permission.IDENTITY_PROVIDER_WRITE,
        "DeleteIdentityProvider": Permission.IDENTITY_PROVIDER_WRITE,
    },
    "volary.platform.v1.InvitationService": {
        "CreateInvitation": Permission.MEMBER_WRITE,
        "GetInvitation": Permission.MEMBER_READ,
        "ListInvitations": Permission.MEMBER_READ,
        "WithdrawInvitation": Permission.MEMBER_WRITE,
        "AcceptInvitation": Access.KNOWN,  # the invitation's token is the permission
    },
    "volary.platform.v1.LogService": {
        "ReadLines": Permission.ACTION_READ,
        "SearchLines": Permission.ACTION_READ,
    },
    "volary.platform.v1.MemberService": {
        "GetMember": Permission.MEMBER_READ,
        "ListMembers": Permission.MEMBER_READ,
        "UpdateMember": Permission.MEMBER_WRITE,
        "RemoveMember": Access.KNOWN,  # members may remove themselves
    },
    "volary.platform.v1.DeliveryConfigService": {
        "CreateDeliveryConfig": Permission.NOTIFICATION_WRITE,
        "GetDeliveryConfig": Permission.NOTIFICATION_WRITE,  # addresses may be secret
        "ListDeliveryConfigs": Permission.NOTIFICATION_WRITE,
        "UpdateDeliveryConfig": Permission.NOTIFICATION_WRITE,
        "DeleteDeliveryConfig": Permission.NOTIFICATION_WRITE,
        "RotateSigningSecret": Permission.NOTIFICATION_WRITE,
    },
    "volary.platform.v1.NotificationRuleService": {
        "CreateNotificationRule": Permission.NOTIFICATION_WRITE,
        "GetNotificationRule": Permission.NOTIFICATION_READ,
        "ListNotificationRules": Permission.NOTIFICATION_READ,
        "UpdateNotificationRule": Permission.NOTIFICATION_WRITE,
        "DeleteNotificationRule": Permission.NOTIFICATION_WRITE,
    },
    "volary.platform.v1.NotificationService": {
        "ListDeliveries": Permission.NOTIFICATION_READ,
        "ResendDeliveries": Permission.NOTIFICATION_WRITE,
    },
    "volary.platform.v1.OrgService": {
        "CreateOrg": Access.KNOWN,  # every person, unless the operator creates orgs only
        "GetOrg": Permission.ORG_READ,
        "UpdateOrg": Permission.ORG_WRITE,
        "DeleteOrg": Permission.ORG_WRITE,  # and all others: an owner
        "ListOrgs": Access.KNOWN,  # one's own
        "ListJoinableOrgs": Access.KNOWN,  # the verified e-mail address is the permission
        "JoinOrg": Access.KNOWN,
    },
    "volary.platform.v1.PoolService": {
        "ListPools": Permission.CLUSTER_READ,
    },
    "volary.platform.v1.QueueService": {
        "GetQueue": Permission.QUEUE_READ,
        "ListQueues": Permission.QUEUE_READ,
        "GetQueueShares": Permission.QUEUE_READ,  # shows runs that the caller may read
        "GetQueueHistory": Permission.QUEUE_READ,
        "CreateQueue": Permission.QUEUE_WRITE,
        "UpdateQueue": Permission.QUEUE_WRITE,
        "DeleteQueue": Permission.QUEUE_WRITE,
    },
    "volary.platform.v1.QuotaService": {
        "GetQuota": Permission.QUOTA_READ,
        "ListQuotas": Permission.QUOTA_READ,
        "UpdateQuota": Permission.QUOTA_WRITE,  # the org's: the operator
    },
    "volary.platform.v1.RoleBindingService": {
        "CreateRoleBinding": Permission.MEMBER_WRITE,
        "GetRoleBinding": Permission.MEMBER_READ,
        "ListRoleBindings": Permission.MEMBER_READ,
        "DeleteRoleBinding": Permission.MEMBER_WRITE,
    },
    "volary.platform.v1.RoleService": {
        "CreateRole": Permission.ROLE_WRITE,
        "GetRole": Permission.ROLE_READ,
        "ListRoles": Permission.ROLE_READ,
        "UpdateRole": Permission.ROLE_WRITE,
        "DeleteRole": Permission.ROLE_WRITE,
        "ListPermissions": Access.KNOWN,  # the same in every org
    },
    "volary.platform.v1.RunService": {
        "GetRetentionPolicy": Permission.ORG_READ,
        "GetRunRetention": Permission.RUN_READ,
        "PurgeRun": Permission.RUN_PURGE,
        "SetRunsState": Permission.RUN_ABORT,
        "HoldRun": Permission.RUN_PURGE,
        "ReleaseRun": Permission.RUN_PURGE,
        "ListRunRows": Permission.RUN_READ,
        "SummarizeRuns": Permission.RUN_READ,
    },
    "volary.platform.v1.RunTreeService": {
        "GetTree": Permission.ACTION_READ,
        "WatchTree": Permission.ACTION_READ,
    },
    "volary.platform.v1.SearchService": {
        "Find": Access.KNOWN,  # what the caller may not read is left out
    },
    "volary.platform.v1.SecretService": {
        "ListSecrets": Permission.SECRET_READ,
        "RotateSecret": Permission.SECRET_WRITE,
    },
    "volary.platform.v1.ServiceAccountService": {
        "CreateServiceAccount": Permission.SERVICE_ACCOUNT_WRITE,
        "GetServiceAccount": Permission.SERVICE_ACCOUNT_READ,
        "ListServiceAccounts": Permission.SERVICE_ACCOUNT_READ,
        "UpdateServiceAccount": Permission.SERVICE_ACCOUNT_WRITE,
        "DeleteServiceAccount": Permission.SERVICE_ACCOUNT_WRITE,
    },
    "volary.platform.v1.SessionService": {
        "ListSessions": Access.KNOWN,  # one's own; a member's with member:write
        "RevokeSession": Access.KNOWN,
    },
    "volary.platform.v1.TriggerService": {
        "ListTriggers": Permission.TASK_READ,
        "GetTrigger": Permission.TASK_READ,
        "ListFirings": Permission.TASK_READ,
        "FireTrigger": Permission.RUN_CREATE,
    },
    "volary.platform.v1.UsageService": {
        "GetUsage": Permission.USAGE_READ,
        "ListUsage": Permission.USAGE_READ,
    },
}
