"""Renders ``docs/permissions.md``: permissions, built-in roles, and the permission of each RPC."""

from pathlib import Path

from controlplane.api.permissions import PERMISSIONS, Access
from controlplane.core.callers import Permission
from controlplane.core.roles import BUILT_IN_ROLES

PAGE = Path(__file__).parent.parent / "docs" / "permissions.md"

_HEAD = """\
# Permissions

Written by `make docs` from the declarations in the code; edit those.

A role is a set of permissions, and is bound to a person, a service account or a group: in the whole
org, in a project, or in a domain of a project. `volary role` makes roles and binds them
([platform-api.md](platform-api.md)). A call without its permission is answered `permission_denied`, or
`not_found` where the caller may not know of the thing.

## Built-in roles
"""

_RPCS = """
## RPCs

"Public" needs no credential and "any caller" any valid one. RPCs that are answered `unimplemented`
are left out. The same use cases serve the [HTTP API](http-reference.md), with the same permissions.
"""

_WORDS = {Access.PUBLIC: "public", Access.KNOWN: "any caller"}


def permissions_page() -> str:
    """Render the page as Markdown."""
    roles = list(BUILT_IN_ROLES)
    lines = [_HEAD, f"| Permission | {' | '.join(roles)} |", f"|---|{'---|' * len(roles)}"]
    for permission in Permission:
        marks = ("yes" if permission in BUILT_IN_ROLES[role] else "" for role in roles)
        lines.append(f"| `{permission}` | {' | '.join(marks)} |")
    lines.append(_RPCS)
    for service, methods in sorted(PERMISSIONS.items()):
        built = {name: needed for name, needed in methods.items() if needed is not Access.UNBUILT}
        if built:
            lines += [f"### {service}", "", "| RPC | Permission |", "|---|---|"]
            lines += [f"| `{name}` | {_needed(needed)} |" for name, needed in built.items()]
            lines.append("")
    return "\n".join(lines)


def _needed(needed: Permission | Access) -> str:
    return f"`{needed}`" if isinstance(needed, Permission) else _WORDS[needed]
