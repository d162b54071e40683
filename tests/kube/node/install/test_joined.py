"""
An agent that joins with a join token, and runs a task of its org in a pod.

The control plane has logins and TLS, and runs outside of the cluster, where two orgs share it. Only
one of them has an agent: the chart's, of the released image, with a join token and three addresses.
"""

import asyncio
import base64
import hashlib
import json
import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, aclosing
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest

from controlplane.store.database import open_database
from controlplane.store.resources import clusters
from shared.kit.clock import SystemClock
from shared.model.ids import ClusterName, OrgName
from tests.kube.client import Json, KubeClient, wait_until
from tests.kube.node.install.world import (
    AGENT,
    SMALL,
    bucket_entries,
    log_of,
    make_map,
    make_namespace,
    make_secret,
)
from tests.servers import seaweed
from tests.servers.helm import CHARTS, Helm
from tests.servers.kubernetes import NodeForTests
from tests.servers.postgres import PostgresForTests
from tests.servers.seaweed import S3ForTests
from tests.system.tenants import world
from tests.system.tenants.world import (
    DOMAIN,
    PROJECT,
    WORKFLOW,
    Installation,
    Tenant,
    run_name,
)

_AGENTS = "volary-joined"
_TASKS = f"joined-{PROJECT}-{DOMAIN}"
_CLUSTER = "pods"
_READY_WITHIN = 180.0
_CERTIFICATES = """
SELECT serial, confirmed_at FROM agent_certificates
WHERE org = $1 AND cluster = $2 AND retired_at IS NULL AND revoked_at IS NULL
ORDER BY created_at
"""


@dataclass(frozen=True, slots=True)
class Joined:
    installation: Installation
    tenant: Tenant  # whose cluster it is
    other: Tenant


@pytest.fixture(scope="module")
def joined(
    stocked_node: NodeForTests,
    helm: Helm,
    postgres_server: PostgresForTests,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Joined]:
    home = tmp_path_factory.mktemp("joined")
    machine = stocked_node.place.network.machine
    with ExitStack() as stack:
        database = stack.enter_context(postgres_server.migrated())
        s3 = stack.enter_context(seaweed.running(machine))
        options = s3.options
        installation = stack.enter_context(
            world.running(
                home,
                database,
                at=machine,
                VOLARY_BLOB_BASE=s3.new_base(),
                VOLARY_S3_ENDPOINT=str(options.endpoint),
                VOLARY_S3_REGION=str(options.region),
                VOLARY_S3_ACCESS_KEY=str(options.access_key),
                VOLARY_S3_SECRET_KEY=str(options.secret_key and options.secret_key.reveal()),
                VOLARY_S3_ALLOW_HTTP="true",
            )
        )
        tenant, other = stack.enter_context(
            world.tenants(installation, {"acme": "ada", "globex": "grace"})
        )
        for each in (tenant, other):
            asyncio.run(_prepare_org(installation, each))
        join_token = asyncio.run(_create_cluster(installation, tenant))
        cluster = helm.with_cluster(stocked_node.kube.kubeconfig())
        asyncio.run(_install(stocked_node, cluster, installation, s3, join_token))
        yield Joined(installation, tenant, other)
        cluster.run("uninstall", "volary", f"--namespace={_AGENTS}")
        asyncio.run(_remove(stocked_node))


async def _operate(installation: Installation, tenant: Tenant, *command: str) -> Any:
    """Run ``volary`` as the operator of the database does; return its answer."""
    shown = await installation.volary(
        tenant,
        *command,
        *("--org", tenant.org, "--output", "json"),
        VOLARY_DATABASE_URL=installation.database.url,
        VOLARY_PUBLIC_URL=installation.url,
    )
    return json.loads(shown)


async def _prepare_org(installation: Installation, tenant: Tenant) -> None:
    """Make an API key, a project and a secret."""
    account = await _operate(installation, tenant, "service-account", "create", "builder")
    account_id = str(account["serviceAccount"]["id"])
    await _operate(installation, tenant, "role", "bind", "admin", "--service-account", account_id)
    key = await _operate(installation, tenant, "apikey", "create", account_id, "--name", "key")
    tenant.api_key = str(key["secret"]["apiKey"])
    tenant.secret = f"secret-of-{tenant.org}-{secrets.token_hex(8)}"
    project = await installation.call(
        tenant,
        "flyteidl2.project.ProjectService/CreateProject",
        {"project": {"id": PROJECT, "name": PROJECT}},
    )
    assert project.is_success, project.text
    await installation.flyte(
        tenant,
        *("create", "secret", "My-Key", "--value", tenant.secret),
        *("--project", PROJECT, "--domain", DOMAIN),
    )


async def _create_cluster(installation: Installation, tenant: Tenant) -> str:
    answer = await _operate(installation, tenant, "cluster", "create", _CLUSTER, "--auto-accept")
    return str(answer["joinToken"])


async def _install(
    node: NodeForTests, helm: Helm, installation: Installation, s3: S3ForTests, join_token: str
) -> None:
    """Install the agent's chart as docs/install.md says, with a private authority."""
    values: Json = {
        "replicas": 1,
        "controlPlane": {
            "link": installation.link,
            "api": installation.host,
            "enrolment": installation.enrolment,
            "certificateAuthority": {"existingConfigMap": "authority"},
        },
        "joinToken": {"existingSecret": "volary-join-token"},
        "namespaces": {"template": "joined-{project}-{domain}"},
        "tasks": {"environmentSecret": "bucket"},
        "storage": {"existingSecret": "bucket"},
        "resources": SMALL,
    }
    async with node.kube.client() as kube:
        await make_namespace(kube, _AGENTS)
        await make_namespace(kube, _TASKS, of_tasks=True)
        for namespace in (_AGENTS, _TASKS):
            await make_secret(kube, namespace, "bucket", bucket_entries(s3.options))
        await make_secret(kube, _AGENTS, "volary-join-token", {"token": join_token})
        await make_map(kube, _AGENTS, "authority", {"ca.crt": installation.authority.read_text()})
        await asyncio.to_thread(
            helm.run,
            *("install", "volary", CHARTS / AGENT, f"--namespace={_AGENTS}"),
            values=values,
        )

        async def is_ready() -> bool:
            deployment = await kube.get(f"/apis/apps/v1/namespaces/{_AGENTS}/deployments/{AGENT}")
            return bool(deployment["status"].get("readyReplicas") == 1)

        try:
            await wait_until(is_ready, "the agent is ready", within=_READY_WITHIN)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{await _output(kube)}") from None


async def _remove(node: NodeForTests) -> None:
    async with node.kube.client() as kube:
        for namespace in (_TASKS, _AGENTS):
            await kube.delete(f"/api/v1/namespaces/{namespace}")


async def _output(kube: KubeClient) -> str:
    """Return the logs of the agent and of the tasks."""
    texts = []
    for namespace in (_AGENTS, _TASKS):
        for pod in await kube.list(f"/api/v1/namespaces/{namespace}/pods"):
            name = pod["metadata"]["name"]
            container = pod["spec"]["containers"][0]["name"]
            texts.append(f"== {name} {json.dumps(pod['status'])}")
            texts.append((await log_of(kube, namespace, name, container))[-6000:])
    return "\n".join(texts)


async def _run(joined: Joined, kube: KubeClient, task: str) -> str:
    """Run a task by the unmodified ``flyte``, with an API key; return its run's name."""
    try:
        run = run_name(await joined.installation.flyte(joined.tenant, "run", WORKFLOW, task))
        found = await joined.installation.wait_for_output(joined.tenant, run)
    except (AssertionError, TimeoutError) as error:
        raise AssertionError(f"{error!r}\n{await _output(kube)}") from error
    assert found == hashlib.sha256(joined.tenant.secret.encode()).hexdigest()
    return run


@pytest.mark.parametrize("task", ["as_variables", "as_mounted_file"])
async def test_joined_agent_runs_a_task_with_a_secret_in_a_pod(
    joined: Joined, kube: KubeClient, task: str
) -> None:
    path = f"/api/v1/namespaces/{_TASKS}/pods"
    since = (await kube.get(path))["metadata"]["resourceVersion"]
    run = await _run(joined, kube, task)
    async with (
        asyncio.timeout(world.WITHIN_SECONDS),
        aclosing(kube.watch(path, since=since)) as changes,
    ):
        async for change in changes:
            pod = change["object"]
            assert joined.tenant.secret not in json.dumps(pod)
            if pod["metadata"]["labels"]["volary.dev/run"] != run:
                continue
            if pod["status"].get("phase") == "Succeeded":
                break


async def test_value_of_a_secret_is_in_no_namespace_but_that_of_its_tasks(
    joined: Joined, kube: KubeClient
) -> None:
    await _run(joined, kube, "as_variables")
    value = joined.tenant.secret.encode()
    encoded = base64.b64encode(value).decode()
    for kind in ("secrets", "configmaps", "pods", "events"):
        for found in await kube.list(f"/api/v1/{kind}"):
            text = json.dumps(found)
            if found["metadata"]["namespace"] != _TASKS:
                assert encoded not in text
            assert value.decode() not in text


async def test_joined_agent_renews_its_certificate_in_its_secret(
    joined: Joined, kube: KubeClient
) -> None:
    org, cluster = OrgName(joined.tenant.org), ClusterName(_CLUSTER)
    owner = await asyncpg.connect(joined.installation.database.owner_url)
    database = open_database(joined.installation.database.url)

    async def confirmed() -> Sequence[str]:
        rows = await owner.fetch(_CERTIFICATES, org, cluster)
        return [row["serial"] for row in rows if row["confirmed_at"] is not None]

    try:
        [old] = await confirmed()
        before = await _identity_secrets(kube)
        assert before  # with the agent's key and certificate
        async with database.for_org(org) as tx:
            await clusters.note_clone(tx, cluster, "test", old, SystemClock().now())

        async def is_renewed() -> bool:
            return old not in await confirmed() and bool(await confirmed())

        try:
            await wait_until(is_renewed, "a renewed certificate is confirmed", within=120)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{await _output(kube)}") from None
    finally:
        await database.close()
        await owner.close()
    assert await _identity_secrets(kube) != before
    await _run(joined, kube, "as_variables")  # with the new certificate


async def _identity_secrets(kube: KubeClient) -> Sequence[Any]:
    """Return the data of the Secrets that the agent keeps its identity in."""
    return [
        found["data"]
        for found in await kube.list(f"/api/v1/namespaces/{_AGENTS}/secrets")
        if "identity" in found["metadata"]["name"]
    ]


async def test_other_org_sees_nothing_of_the_cluster_and_its_runs(
    joined: Joined, kube: KubeClient
) -> None:
    run = await _run(joined, kube, "as_variables")
    where = {"org": joined.tenant.org, "project": PROJECT, "domain": DOMAIN, "name": run}
    answer = await joined.installation.call(
        joined.other, "flyteidl2.workflow.RunService/GetRunDetails", {"runId": where}
    )
    assert answer.status_code == 404, answer.text
    shown = await joined.installation.flyte(joined.other, "get", "run")
    assert run not in shown
    shown = await joined.installation.with_key(joined.other, "cluster", "list", "--output", "json")
    assert _CLUSTER not in shown
    shown = await joined.installation.with_key(joined.tenant, "cluster", "list", "--output", "json")
    assert _CLUSTER in shown


def test_join_token_is_not_needed_again(joined: Joined, stocked_node: NodeForTests) -> None:
    """The Secret with the token may be deleted; a new pod of the agent has its identity."""
    kubectl = stocked_node.kube.kubectl
    kubectl("delete", "secret", "volary-join-token", "--namespace", _AGENTS)
    kubectl("rollout", "restart", f"deployment/{AGENT}", "--namespace", _AGENTS)
    kubectl(*("rollout", "status", f"deployment/{AGENT}", "--namespace", _AGENTS, "--timeout=180s"))

    async def run() -> None:
        async with stocked_node.kube.client() as kube:
            await _run(joined, kube, "as_variables")

    asyncio.run(run())
