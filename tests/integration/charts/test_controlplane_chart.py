"""The control plane's chart, as helm renders it: what each value brings about, and refuses."""

from collections.abc import Mapping
from typing import Any

import pytest

from controlplane.authn.login_settings import AuthMode
from controlplane.settings import LogFormat, Settings
from tests.integration.charts.values import CONTROL_PLANE, put
from tests.servers.helm import Helm, HelmError

CHART = "volary-controlplane"

SECRETS = {
    "VOLARY_DATABASE_URL": "postgresql://volary:secret@db.example.com:5432/volary",
    "VOLARY_BLOB_SIGNING_KEY": "k" * 32,
    "VOLARY_CLUSTER_TOKEN": "t" * 20,
    "VOLARY_SEALING_KEY": "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=",
    "VOLARY_S3_ACCESS_KEY": "access",
    "VOLARY_S3_SECRET_KEY": "secret",
    "VOLARY_SMTP_PASSWORD": "secret",
}

VALUE_SETS: Mapping[str, Mapping[str, Any]] = {
    "fewest": {},
    "a store that is not Amazon's": {
        "blobs__s3": {
            "endpoint": "https://minio.example.com",
            "region": "eu-1",
            "pathStyle": False,
            "existingSecret": "bucket",
        }
    },
    "webhooks to private networks, and mail": {
        "notifications": {
            "webhooks": {"allowHttp": True, "allowedNetworks": ["10.1.0.0/16", "fd00::/8"]},
            "mail": {
                "host": "smtp.example.com",
                "port": 465,
                "security": "tls",
                "from": "Volary <volary@example.com>",
                "user": "volary",
                "existingSecret": "mail",
            },
        }
    },
    "ingress": {
        "ingress": {
            "enabled": True,
            "host": "volary.example.com",
            "className": "nginx",
            "tlsSecret": "tls",
            "annotations": {"a": "b"},
        }
    },
    "gateway": {
        "gateway": {
            "enabled": True,
            "parentRefs": [{"name": "public"}],
            "linkParentRefs": [{"name": "public", "sectionName": "link"}],
            "hostnames": ["volary.example.com"],
        }
    },
    "autoscaled": {"autoscaling__enabled": True},
    "monitored": {
        "metrics__podMonitor": {"enabled": True, "port": "front"},
        "networkPolicy__metricsFrom": [{"namespaceSelector": {}}],
    },
    "another owner": {"migration__ownerKey": "owner-url"},
    "migrated by hand": {"migration__enabled": False},
    "another tempo": {
        "link": {
            "heartbeatSeconds": 2,
            "silentAfterSeconds": 10,
            "acceptWithinSeconds": 5,
            "selfFenceSeconds": 60,
            "reassignAfterSeconds": 120.5,
        }
    },
    "another retention": {
        "retention": {
            "runsKeepSeconds": 2_592_000,
            "cacheKeepUnusedSeconds": 172_800,
            "cacheMaxAgeSeconds": 0,
            "deletedOrgsKeptSeconds": 0,
            "trackedRunTimeoutSeconds": 3600,
        },
        "selfServiceOrgs": False,
        "trustedProxies": ["10.1.0.0/16", "fd00::/8"],
        "metrics__from": ["10.2.0.0/16"],
    },
    "one replica": {"replicas": 1},
    "logins": {
        "tls": {"existingSecret": "volary-tls"},
        "linkTls": {"existingSecret": "link-tls"},
        "front__containers": [],
    },
}


def find(objects: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    found = [each for each in objects if each["kind"] == kind]
    assert len(found) == 1, f"{len(found)} of {kind}"
    return found[0]


def container_of(objects: list[dict[str, Any]]) -> dict[str, Any]:
    pod = find(objects, "Deployment")["spec"]["template"]["spec"]
    return dict(next(each for each in pod["containers"] if each["name"] == "controlplane"))


@pytest.mark.parametrize("changes", VALUE_SETS.values(), ids=VALUE_SETS)
def test_a_set_of_values_passes_the_linter_and_is_taken_by_the_control_plane(
    helm: Helm, changes: Mapping[str, Any]
) -> None:
    values = put(CONTROL_PLANE, **changes)
    helm.lint(CHART, values)
    objects = helm.template(CHART, values)
    environment = dict(find(objects, "ConfigMap")["data"])
    environment |= {each["name"]: SECRETS[each["name"]] for each in container_of(objects)["env"]}
    settings = Settings.from_environment(environment)
    has_logins = settings.logins.mode is AuthMode.OIDC
    assert has_logins == ("tls" in changes)
    assert settings.listeners.host == ("0.0.0.0" if has_logins else "127.0.0.1")  # noqa: S104
    assert settings.log.format is LogFormat.JSON


REFUSED = {
    "no address for clients": ({"publicUrl": ""}, "/publicUrl"),
    "no database": ({"database__existingSecret": ""}, "/database/existingSecret"),
    "no keys": ({"secrets__existingSecret": ""}, "/secrets/existingSecret"),
    "no bucket": ({"blobs__base": ""}, "/blobs/base"),
    "a bucket that is none": ({"blobs__base": "bucket"}, "/blobs/base"),
    "nobody in front": ({"front__containers": []}, "/front/containers"),
    "logins without TLS on the link": (
        {"tls": {"existingSecret": "volary-tls"}, "front__containers": []},
        "/linkTls/existingSecret",
    ),
    "a front that is no container": ({"front__containers": [{"name": "a"}]}, "image"),
    "an ingress without a host": ({"ingress__enabled": True}, "/ingress/host"),
    "a gateway without a parent": ({"gateway__enabled": True}, "/gateway/parentRefs"),
    "monitored nowhere": (
        {"metrics__podMonitor__enabled": True},
        "/metrics/podMonitor/port",
    ),
    "mail without a sender": (
        {"notifications__mail__host": "smtp.example.com"},
        "/notifications/mail/from",
    ),
    "a mail login without a password": (
        {"notifications__mail": {"user": "volary"}},
        "/notifications/mail/existingSecret",
    ),
    "an address in place of a network": (
        {"notifications__webhooks__allowedNetworks": ["10.1.2.3"]},
        "/notifications/webhooks/allowedNetworks",
    ),
    "a delay beyond what it serves": ({"stopDelaySeconds": 50}, "/stopDelaySeconds"),
    "a retention of cached results that forgets those in use": (
        {"retention": {"cacheKeepUnusedSeconds": 60}},
        "/retention/cacheKeepUnusedSeconds",
    ),
    "a misspelt value": ({"replica": 3}, "replica"),
}


@pytest.mark.parametrize(("changes", "named"), REFUSED.values(), ids=REFUSED)
def test_a_value_that_cannot_be_meant_is_refused_and_named(
    helm: Helm, changes: Mapping[str, Any], named: str
) -> None:
    with pytest.raises(HelmError, match="don't meet the specifications") as refused:
        helm.template(CHART, put(CONTROL_PLANE, **changes))
    assert named in str(refused.value)


def test_no_secret_is_in_the_release(helm: Helm) -> None:
    objects = helm.template(CHART, CONTROL_PLANE)
    assert "Secret" not in {each["kind"] for each in objects}


def test_it_asks_nothing_of_the_api_server(helm: Helm) -> None:
    objects = helm.template(CHART, CONTROL_PLANE)
    assert not {each["kind"] for each in objects} & {"Role", "ClusterRole", "RoleBinding"}
    for kind in ("Deployment", "Job"):
        pod = find(objects, kind)["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False  # or VOLARY_…_PORT would be read


def test_the_service_leads_to_the_front_alone(helm: Helm) -> None:
    objects = helm.template(CHART, put(CONTROL_PLANE, front__httpPort=9443, front__linkPort=9444))
    ports = find(objects, "Service")["spec"]["ports"]
    assert {each["name"]: each["targetPort"] for each in ports} == {"http": 9443, "link": 9444}
    policy = find(objects, "NetworkPolicy")["spec"]
    assert policy["ingress"] == [{"ports": [{"port": 9443}, {"port": 9444}]}]


def test_mail_server_is_reached_through_the_network_policy(helm: Helm) -> None:
    changes = VALUE_SETS["webhooks to private networks, and mail"]
    objects = helm.template(CHART, put(CONTROL_PLANE, **changes))
    (_, egress) = find(objects, "NetworkPolicy")["spec"]["egress"]
    assert {"port": 465} in egress["ports"]
    environment = find(objects, "ConfigMap")["data"]
    assert environment["VOLARY_WEBHOOK_ALLOWED_NETWORKS"] == "10.1.0.0/16,fd00::/8"
    plain = find(helm.template(CHART, CONTROL_PLANE), "ConfigMap")["data"]
    assert "VOLARY_SMTP_HOST" not in plain


def test_port_with_tls_is_reached_without_a_front(helm: Helm) -> None:
    objects = helm.template(CHART, put(CONTROL_PLANE, **VALUE_SETS["logins"]))
    pod = find(objects, "Deployment")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    ports = {each["name"]: each["targetPort"] for each in find(objects, "Service")["spec"]["ports"]}
    assert ports == {"http": 8100, "link": 8101, "enrolment": 8102}
    policy = find(objects, "NetworkPolicy")["spec"]["ingress"][0]["ports"]
    assert {each["port"] for each in policy} == {8100, 8101, 8102}
    files = find(objects, "ConfigMap")["data"]
    mount = next(each for each in container["volumeMounts"] if each["name"] == "tls")
    assert files["VOLARY_TLS_CERT_FILE"] == f"{mount['mountPath']}/tls.crt"
    probe = container["readinessProbe"]["exec"]["command"][-1]
    assert "HTTPSConnection" in probe
    compile(probe, "probe", "exec")


def test_link_with_tls_is_reached_past_the_front(helm: Helm) -> None:
    objects = helm.template(CHART, put(CONTROL_PLANE, linkTls={"existingSecret": "link-tls"}))
    ports = {
        each["name"]: (each["port"], each["targetPort"])
        for each in find(objects, "Service")["spec"]["ports"]
    }
    assert (ports["link"], ports["enrolment"]) == ((8101, 8101), (8102, 8102))
    container = find(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    named = {each["name"] for each in container["env"]}
    assert "VOLARY_SEALING_KEY" in named
    assert "VOLARY_CLUSTER_TOKEN" not in named
    environment = {
        **find(objects, "ConfigMap")["data"],
        "VOLARY_DATABASE_URL": "postgresql://volary@db.example.com/volary",
        "VOLARY_BLOB_SIGNING_KEY": "k" * 32,
    }
    listeners = Settings.from_environment(environment).listeners
    assert (listeners.host, listeners.link_host) == ("127.0.0.1", "0.0.0.0")  # noqa: S104
    assert listeners.link_tls.files is not None
    mount = next(each for each in container["volumeMounts"] if each["name"] == "link-tls")
    assert str(listeners.link_tls.files[0]) == f"{mount['mountPath']}/tls.crt"
    allowed = {
        each["port"] for each in find(objects, "NetworkPolicy")["spec"]["ingress"][0]["ports"]
    }
    assert allowed == {8443, 8101, 8102}


def test_migrations_come_first_and_use_nothing_of_the_release(helm: Helm) -> None:
    job = find(helm.template(CHART, put(CONTROL_PLANE, migration__ownerKey="owner")), "Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    pod = job["spec"]["template"]["spec"]
    assert "serviceAccountName" not in pod
    assert "envFrom" not in pod["containers"][0]
    variables = {each["name"] for each in pod["containers"][0]["env"]}
    assert variables == {"VOLARY_DATABASE_URL", "VOLARY_OWNER_DATABASE_URL"}
    selector = find(helm.template(CHART, CONTROL_PLANE), "Service")["spec"]["selector"]
    assert not selector.items() <= job["spec"]["template"]["metadata"]["labels"].items()


def test_retention_is_set_in_whole_seconds_however_long_it_is(helm: Helm) -> None:
    data = find(helm.template(CHART, CONTROL_PLANE), "ConfigMap")["data"]
    assert "VOLARY_RUNS_KEEP_SECONDS" not in data
    values = put(CONTROL_PLANE, **VALUE_SETS["another retention"])
    data = find(helm.template(CHART, values), "ConfigMap")["data"]
    assert data["VOLARY_RUNS_KEEP_SECONDS"] == "2592000"
    assert data["VOLARY_CACHE_MAX_AGE_SECONDS"] == "0"
    assert data["VOLARY_SELF_SERVICE_ORGS"] == "false"
    assert data["VOLARY_TRUSTED_PROXIES"] == "10.1.0.0/16,fd00::/8"


def test_the_one_who_counts_replicas_is_the_autoscaler(helm: Helm) -> None:
    objects = helm.template(CHART, put(CONTROL_PLANE, autoscaling__enabled=True))
    assert "replicas" not in find(objects, "Deployment")["spec"]


def test_a_stopping_replica_has_the_time_that_it_takes(helm: Helm) -> None:
    late = put(CONTROL_PLANE, stopDelaySeconds=45)
    helm.template(CHART, late)
    with pytest.raises(HelmError, match="and 10 more"):
        helm.template(CHART, put(late, terminationGracePeriodSeconds=54))
