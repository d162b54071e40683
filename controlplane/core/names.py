"""
Validates names of projects, domains, runs, actions, queues, clusters and pools.

Names end up in URLs and in object keys. flyteidl2's own rules limit their length; these also
limit their characters. Each parser raises InvalidError.
"""

import re

from controlplane.core.errors import InvalidError
from controlplane.core.layout import RESERVED_PROJECTS
from shared.model.ids import ActionName, ClusterName, DomainName, ProjectName, RunName

MAX_LABEL = 63
MAX_RUN_NAME = 30
MAX_ACTION_NAME = 30

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_DNS_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_PATH_NAME = re.compile(r"[A-Za-z0-9]([-_.A-Za-z0-9]*[A-Za-z0-9])?")


def parse_project(name: str) -> ProjectName:
    """Validate a project's name, which must not collide with a reserved prefix."""
    _check("project", name, _LABEL, MAX_LABEL, "small letters, digits and dashes")
    if name in RESERVED_PROJECTS:
        raise InvalidError(f"no project can be called {name!r}; choose another name")
    return ProjectName(name)


def parse_domain(name: str) -> DomainName:
    """Validate a domain's name."""
    _check("domain", name, _LABEL, MAX_LABEL, "small letters, digits and dashes")
    return DomainName(name)


def parse_run(name: str) -> RunName:
    """Validate a run's name: it must also be a Kubernetes service name (DNS-1035)."""
    _check("run", name, _DNS_NAME, MAX_RUN_NAME, "small letters, digits and dashes")
    return RunName(name)


def parse_action(name: str) -> ActionName:
    """Validate an action's name."""
    _check("action", name, _PATH_NAME, MAX_ACTION_NAME, "letters, digits, dots and dashes")
    return ActionName(name)


def parse_queue(name: str) -> str:
    """Validate the name of a queue to create; the default queue exists from the start."""
    _check("queue", name, _LABEL, MAX_LABEL, "small letters, digits and dashes")
    if name == "default":
        raise InvalidError(
            "no queue can be called 'default': actions that name no queue are in the default "
            "queue, which has no limits; choose another name"
        )
    return name


def parse_notification_name(name: str, noun: str) -> str:
    """Validate the name of a notification rule or delivery configuration; ``noun`` is which."""
    _check(noun, name, _LABEL, MAX_LABEL, "small letters, digits and dashes")
    return name


def parse_cluster(name: str) -> ClusterName:
    """Validate the name of a cluster to create."""
    _check("cluster", name, _LABEL, MAX_LABEL, "small letters, digits and dashes")
    return ClusterName(name)


def parse_pool(name: str) -> str:
    """Validate a pool's name; "" is the default pool, of clusters that name none."""
    if name:
        _check("pool", name, _LABEL, MAX_LABEL, "small letters, digits and dashes")
    return name


def _check(kind: str, name: str, rule: re.Pattern[str], most: int, of_what: str) -> None:
    if len(name) > most:
        raise InvalidError(f"{kind} name {name[:most]!r}… is longer than {most} characters")
    if not rule.fullmatch(name):
        start = "a letter" if rule is _DNS_NAME else "a letter or digit"
        raise InvalidError(
            f"{kind} name {name!r} must consist of {of_what}, begin with {start} "
            "and end with a letter or digit"
        )
