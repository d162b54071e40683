"""Every call of the agent to the API server has a row in the table of permissions."""

import ast
from collections.abc import Iterator
from pathlib import Path

from dataplane.agent.doctor import cluster
from dataplane.agent.doctor.permissions import TABLE
from dataplane.agent.kube import objects
from dataplane.agent.kube.objects import Kind

AGENT = Path(__file__).parents[3] / "dataplane" / "agent"
VERBS = {
    "create": ["create"],
    "delete": ["delete"],
    "get": ["get"],
    "list": ["list"],
    "patch": ["patch"],
    "replace": ["update"],
    "watch": ["watch"],
    "Informer": ["list", "watch"],
}
IN_THE_TABLE = {(rule.group, rule.resource, verb): rule for rule in TABLE for verb in rule.verbs}


def _calls() -> Iterator[tuple[str, Kind, str, bool]]:
    """Give where each call is, its kind, its verb, and whether it is of the status."""
    for path in sorted(AGENT.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            for verb in VERBS.get(_name(node.func), ()):
                for argument in node.args[:2]:
                    if kind := _kind(argument):
                        is_status = any(word.arg == "status" for word in node.keywords)
                        yield f"{path.relative_to(AGENT)}:{node.lineno}", kind, verb, is_status


def _kind(argument: ast.expr) -> Kind | None:
    if not isinstance(argument, ast.Name):
        return None
    found = getattr(objects, argument.id, None) or getattr(cluster, argument.id, None)
    return found if isinstance(found, Kind) else None


def _name(called: ast.expr) -> str:
    if isinstance(called, ast.Attribute):
        return called.attr
    return called.id if isinstance(called, ast.Name) else ""


def test_calls_of_the_agent_are_granted() -> None:
    seen = list(_calls())
    assert len(seen) > 30
    for where, kind, verb, is_status in seen:
        resource = f"{kind.plural}/status" if is_status else kind.plural
        assert (kind.group, resource, verb) in IN_THE_TABLE, f"{where} may not {verb} {resource}"


def test_granted_permissions_are_used() -> None:
    """Kinds that are passed on as variables, logs and reviews are not seen here."""
    made = {"pods", "pods/log", "tokenreviews", "podtemplates", "events"}
    seen = {
        (kind.group, f"{kind.plural}/status" if is_status else kind.plural, verb)
        for _, kind, verb, is_status in _calls()
    }
    for key, rule in IN_THE_TABLE.items():
        if rule.feature == "agent" and rule.resource not in made:
            assert key in seen, f"nobody asks to {key[2]} {key[1]}: {rule.why}"
