"""Renders ``docs/helm-values.md`` from the values and schemas of both charts."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

_ROOT = Path(__file__).parent.parent
PAGE = _ROOT / "docs" / "helm-values.md"
_CHARTS = _ROOT / "infra" / "helm"

_HEAD = """\
# Values of the charts

Written by `make docs` from `values.yaml` and `values.schema.json` of each chart; edit those.

Helm refuses a value that is not listed, or that the schema does not accept. How to install is in
[install.md](install.md). A default of `null` is the program's own, which [settings.md](settings.md) says.
"""


def helm_page() -> str:
    """Render the page as Markdown."""
    lines = [_HEAD]
    for chart in sorted(path.parent for path in _CHARTS.glob("*/Chart.yaml")):
        schema = json.loads((chart / "values.schema.json").read_text())
        values = yaml.safe_load((chart / "values.yaml").read_text())
        lines += [
            f"## {chart.name}",
            "",
            "| Value | Type | Default | Meaning |",
            "|---|---|---|---|",
        ]
        lines += [*_rows(schema, schema, values, ""), ""]
    return "\n".join(lines)


def _rows(
    root: Mapping[str, Any], schema: Mapping[str, Any], values: Any, path: str
) -> Iterator[str]:
    for name, declared in schema.get("properties", {}).items():
        each = {**_resolve(root, declared), **declared}
        value = values.get(name) if isinstance(values, dict) else None
        here = f"{path}{name}"
        if each.get("properties"):
            yield f"| `{here}` | object | | {_cell(each.get('description', ''))} |"
            yield from _rows(root, each, value, f"{here}.")
        else:
            default = f"`{json.dumps(value)}`"
            meaning = _cell(each.get("description", ""))
            yield f"| `{here}` | {_type(root, each)} | {_cell(default)} | {meaning} |"


def _resolve(root: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in schema:
        found: Any = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    return schema


def _type(root: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    for several in ("anyOf", "oneOf"):
        if several in schema:
            kinds = (_type(root, _resolve(root, each)) for each in schema[several])
            return " or ".join(dict.fromkeys(kinds))
    kind = schema.get("type", "any")
    name = " or ".join(kind) if isinstance(kind, list) else str(kind)
    lowest, highest = schema.get("minimum"), schema.get("maximum")
    if lowest is not None and highest is not None:
        return f"{name}, {lowest} to {highest}"
    return f"{name}, at least {lowest}" if lowest is not None else name


def _cell(text: str) -> str:
    return text.replace("|", "&#124;").replace("<", "&lt;")
