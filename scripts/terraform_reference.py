"""
Renders ``docs/terraform-reference.md`` from the schema of the Terraform provider.

    python -m scripts.terraform_reference          builds the provider, asks it, writes the page

It needs Go and Terraform, so ``make docs`` leaves it out; a test compares the page with the schema.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parent.parent
PAGE = _ROOT / "docs" / "terraform-reference.md"
CONFIGURATION = (
    'terraform {\n  required_providers {\n    volary = { source = "volary/volary" }\n  }\n}\n'
)

_HEAD = """\
# Terraform provider: reference

Written by `python -m scripts.terraform_reference` from the provider's schema; edit the descriptions in
`infra/terraform/provider`. How to use the provider is in [terraform.md](terraform.md).
"""


def terraform_page(schemas: Mapping[str, Any]) -> str:
    """Render the page; ``schemas``: what ``terraform providers schema -json`` prints."""
    [declared] = schemas["provider_schemas"].values()
    lines = [_HEAD, "## Provider", "", *_section(declared["provider"])]
    for title, kind in (("Resources", "resource_schemas"), ("Data sources", "data_source_schemas")):
        lines += [f"## {title}", ""]
        for name, schema in sorted(declared.get(kind, {}).items()):
            lines += [f"### {name}", "", *_section(schema)]
    return "\n".join(lines)


def _section(schema: Mapping[str, Any]) -> Iterator[str]:
    block = schema["block"]
    if text := _cell(block.get("description", "")):
        yield from [text, ""]
    rows = [*_rows(block, "")]
    if rows:
        yield from ["| Argument | Type | | Meaning |", "|---|---|---|---|", *rows, ""]


def _rows(block: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for name, attribute in sorted(block.get("attributes", {}).items()):
        nested = attribute.get("nested_type")
        kind = f"{nested['nesting_mode']} of objects" if nested else _type(attribute["type"])
        meaning = _cell(attribute.get("description", ""))
        yield f"| `{prefix}{name}` | {kind} | {_use(attribute)} | {meaning} |"
        if nested:
            yield from _rows(nested, f"{prefix}{name}.")
    for name, nested in sorted(block.get("block_types", {}).items()):
        yield f"| `{prefix}{name}` | block | | |"
        yield from _rows(nested["block"], f"{prefix}{name}.")


def _use(attribute: Mapping[str, Any]) -> str:
    computed = "computed" if attribute.get("computed") and not attribute.get("optional") else ""
    marks = [
        "required" if attribute.get("required") else computed or "optional",
        "sensitive" if attribute.get("sensitive") else "",
        "write-only" if attribute.get("write_only") else "",
    ]
    return ", ".join(mark for mark in marks if mark)


def _type(declared: object) -> str:
    match declared:
        case str():
            return declared
        case ["object", fields] if isinstance(fields, dict):
            return f"object of {', '.join(fields)}"
        case [container, element]:
            return f"{container} of {_type(element)}"
        case _:
            return json.dumps(declared)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "&#124;").replace("<", "&lt;")


def main() -> int:
    terraform = shutil.which("terraform") or shutil.which("tofu")
    if terraform is None or shutil.which("go") is None:
        print("It needs Go and Terraform or OpenTofu: run make test-needs.", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(  # noqa: S603 - our own arguments
            ["make", "--no-print-directory", "provider", f"INTO={folder}"],  # noqa: S607
            cwd=_ROOT,
            check=True,
        )
        Path(folder, "main.tf").write_text(CONFIGURATION)
        Path(folder, "terraformrc").write_text(
            f'provider_installation {{\n  dev_overrides {{ "volary/volary" = "{folder}" }}\n'
            "  direct {}\n}\n"
        )
        shown = subprocess.run(  # noqa: S603 - found on the PATH
            [terraform, "providers", "schema", "-json"],
            cwd=folder,
            env={
                **os.environ,
                "TF_CLI_CONFIG_FILE": f"{folder}/terraformrc",
                "CHECKPOINT_DISABLE": "1",
            },
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    PAGE.write_text(terraform_page(json.loads(shown)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
