"""
SQL with its instants typed.

Statements on the hot path take arrays and work on sets; ``unnest`` with a cast on each
array says what they hold.
"""

from sqlalchemy import DateTime, TextClause, bindparam, text

_INSTANT = DateTime(timezone=True)


def statement(source: str) -> TextClause:
    """Make a statement whose parameters named ``now`` or ``…_at`` are aware instants."""
    made = text(source)
    instants = [
        bindparam(name, type_=_INSTANT)
        for name in made._bindparams  # noqa: SLF001  # there is no public way to list them
        if name == "now" or name.endswith("_at")
    ]
    return made.bindparams(*instants)
