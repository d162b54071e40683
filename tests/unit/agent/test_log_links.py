from flyteidl2.core import execution_pb2, tasks_pb2

from dataplane.agent.runtimes.log_links import Pod, render_log_links
from shared.model.reports import LogLink
from tests.unit.agent.assignments import make_job

POD = Pod("p-development", "r1-a1-1-abc")


def template(*uris: str) -> tasks_pb2.TaskTemplate:
    links = [execution_pb2.TaskLog(name="Logs", uri=uri) for uri in uris]
    return tasks_pb2.TaskTemplate(metadata=tasks_pb2.TaskMetadata(log_links=links))


def test_log_link_template_is_filled_in() -> None:
    job = make_job(template=template("https://logs/{{.executionProject}}/{{ .podName }}"))
    assert render_log_links(job, POD) == [LogLink("Logs", "https://logs/p/r1-a1-1-abc")]


def test_log_link_to_pod_is_omitted_without_pod() -> None:
    job = make_job(template=template("https://logs/{{.podName}}", "https://logs/{{.runName}}"))
    assert render_log_links(job) == [LogLink("Logs", "https://logs/r1")]


def test_log_link_with_unknown_placeholder_is_omitted() -> None:
    assert render_log_links(make_job(template=template("https://logs/{{.weather}}")), POD) == []


def test_log_links_of_cluster_follow_the_tasks() -> None:
    job = make_job(template=template("https://mine"))
    own = LogLink("Cloud", "https://cloud/{{.namespace}}/{{.actionName}}/{{.attempt}}")
    assert render_log_links(job, POD, [own]) == [
        LogLink("Logs", "https://mine"),
        LogLink("Cloud", "https://cloud/p-development/a1/1"),
    ]
