"""Parses Kubernetes quantities: "500m", "512Mi", "1.5G", "1e9"."""

import re
from decimal import Decimal

_FORM = re.compile(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,2})?([num]|[kMGTPE]|[KMGTPE]i)?")
_FRACTIONS = {"n": Decimal("1e-9"), "u": Decimal("1e-6"), "m": Decimal("1e-3")}


def read_quantity(text: str) -> Decimal | None:
    """Return the quantity in its base unit (cores, bytes); None if ``text`` is not a quantity."""
    found = _FORM.fullmatch(text.strip())
    if found is None:
        return None
    number, unit = Decimal(found[1] + (found[2] or "")), found[3] or ""
    if unit in _FRACTIONS:
        return number * _FRACTIONS[unit]
    power = " KMGTPE".index(unit[0].upper()) if unit else 0
    return number * Decimal(1024 if unit.endswith("i") else 1000) ** power
