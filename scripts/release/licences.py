"""Checks the licences of dependencies against those that Volary may be distributed with."""

import re
from collections.abc import Collection, Iterable, Sequence

from scripts.release.components import Component

ALLOWED = frozenset({
    "0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "PSF-2.0",
    "PostgreSQL", "Unlicense", "Zlib",
    "MPL-2.0",  # of its own files only, which we do not change
})  # fmt: skip
"""SPDX identifiers. None asks anything of the programs that use the package."""

# Names that packages give in classifiers and fields.
_SPDX = {
    "3-clause bsd license": "BSD-3-Clause",
    "apache": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license, version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd": "BSD-3-Clause",
    "bsd license": "BSD-3-Clause",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
    "the unlicense (unlicense)": "Unlicense",
}

READ = {
    "aws-cryptographic-material-providers": "Apache-2.0",
    "aws-cryptography-internal-dynamodb": "Apache-2.0",
    "aws-cryptography-internal-kms": "Apache-2.0",
    "aws-cryptography-internal-primitives": "Apache-2.0",
    "aws-cryptography-internal-standard-library": "Apache-2.0",
    "flyte": "Apache-2.0",
}
"""Licences of packages whose metadata has none, read in their repositories."""

EXCEPTIONS = {
    "asyncssh": "EPL-2.0",  # of its own files only; flyte brings it, and nothing here imports it
}
"""Licences that one package may have."""


def licence_of(component: Component) -> str:
    """Return the licence as an expression of SPDX identifiers; empty if it is unknown."""
    stated = component.licence or READ.get(component.name, "")
    if whole := _SPDX.get(stated.lower()):
        return whole
    parts = [part.strip() for part in re.split(r"(\s+AND\s+|\s+OR\s+|[()])", stated)]
    return " ".join(_SPDX.get(part.lower(), part) for part in parts if part)


def find_refused(components: Iterable[Component]) -> Sequence[str]:
    """Name each component with a licence that is not allowed, and the remedy."""
    return [
        f"{each.name} {each.version}: {licence_of(each) or 'no licence'} is not in ALLOWED of"
        " scripts/release/licences.py: replace the package, or read its licence and list it there"
        for each in components
        if not _is_allowed(licence_of(each), {*ALLOWED, EXCEPTIONS.get(each.name, "MIT")})
    ]


def _is_allowed(expression: str, allowed: Collection[str]) -> bool:
    """Return whether one of the alternatives has allowed licences only."""
    plain = expression.replace("(", "").replace(")", "")
    return any(
        all(part.strip() in allowed for part in alternative.split(" AND "))
        for alternative in plain.split(" OR ")
    )
