"""Maps flyteidl2's services to the classes that serve them; all others answer UNIMPLEMENTED."""

from collections.abc import Mapping

from controlplane.api.actions import ActionsService, QueueService, StateService
from controlplane.api.artifacts import ArtifactService
from controlplane.api.cache import CacheService
from controlplane.api.clusters import ClusterService
from controlplane.api.dataproxy import DataProxyService
from controlplane.api.domains import DomainService
from controlplane.api.identity import AuthMetadataService, IdentityService
from controlplane.api.platform.triggers import CreateRun
from controlplane.api.projects import ProjectService
from controlplane.api.run_logs import RunLogsService
from controlplane.api.run_maxima import RunMaxima
from controlplane.api.runs import RunService
from controlplane.api.scoped_settings import SettingsService
from controlplane.api.secrets import SecretService
from controlplane.api.tasks import TaskService
from controlplane.api.tracked_runs import TrackedRunService
from controlplane.api.translator import TranslatorService
from controlplane.api.triggers import TriggerService
from controlplane.usecases.actions import Actions
from controlplane.usecases.artifacts import Artifacts
from controlplane.usecases.cache_entries import CacheEntries
from controlplane.usecases.data import Data
from controlplane.usecases.domains import Domains
from controlplane.usecases.logs import Logs
from controlplane.usecases.people import People
from controlplane.usecases.projects import Projects
from controlplane.usecases.runs import Runs
from controlplane.usecases.scoped_settings import ScopedSettings
from controlplane.usecases.secrets import Secrets
from controlplane.usecases.task_groups import TaskGroups
from controlplane.usecases.tasks import Tasks
from controlplane.usecases.tracked_runs import TrackedRuns
from controlplane.usecases.triggers import Triggers
from shared.kit.clock import Clock


def services(
    *,
    runs: Runs,
    tracked_runs: TrackedRuns,
    actions: Actions,
    tasks: Tasks,
    task_groups: TaskGroups,
    people: People,
    projects: Projects,
    domains: Domains,
    data: Data,
    logs: Logs,
    artifacts: Artifacts,
    secrets: Secrets,
    cache: CacheEntries,
    settings: ScopedSettings,
    triggers: Triggers,
    clock: Clock,
    base: str,
    public_url: str,
    has_logins: bool = False,
) -> Mapping[str, object]:
    """
    Build the services, by their full names.

    ``base`` is the storage prefix below which every org's data lies; ``public_url`` is this API's
    address; ``has_logins``: clients log in at the authorization server below it.
    """
    maxima = RunMaxima(runs)
    run_service = RunService(
        runs=runs,
        actions=actions,
        triggers=triggers,
        data=data,
        task_groups=task_groups,
        people=people,
        base=base,
    )
    return {
        "flyteidl2.actions.ActionsService": ActionsService(actions, data, maxima),
        "flyteidl2.artifact.ArtifactService": ArtifactService(artifacts),
        "flyteidl2.auth.AuthMetadataService": AuthMetadataService(
            public_url, has_logins=has_logins
        ),
        "flyteidl2.auth.IdentityService": IdentityService(),
        "flyteidl2.cacheservice.v2.CacheService": CacheService(cache),
        "flyteidl2.cluster.ClusterService": ClusterService(),
        "flyteidl2.dataproxy.DataProxyService": DataProxyService(
            data, tasks, triggers, logs, settings, artifacts=artifacts
        ),
        "flyteidl2.org.DomainService": DomainService(domains),
        "flyteidl2.project.ProjectService": ProjectService(projects, domains),
        "flyteidl2.secret.SecretService": SecretService(secrets),
        "flyteidl2.settings.SettingsService": SettingsService(settings),
        "flyteidl2.task.TaskService": TaskService(tasks, triggers, data, base=base, clock=clock),
        "flyteidl2.trigger.TriggerService": TriggerService(triggers, base=base, clock=clock),
        "flyteidl2.workflow.QueueService": QueueService(runs, actions, data, maxima),
        "flyteidl2.workflow.RunLogsService": RunLogsService(logs),
        "flyteidl2.workflow.RunService": run_service,
        "flyteidl2.workflow.StateService": StateService(actions),
        "flyteidl2.workflow.TrackedRunService": TrackedRunService(
            tracked_runs, run_service, base=base
        ),
        "flyteidl2.workflow.TranslatorService": TranslatorService(data),
    }


def create_run_of(services: Mapping[str, object]) -> CreateRun:
    """Return the method of RunService by which the platform API starts runs."""
    service = services["flyteidl2.workflow.RunService"]
    if not isinstance(service, RunService):
        raise TypeError(f"{service} is not RunService")
    return service.create_run
