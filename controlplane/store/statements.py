"""
Builds SQL statements with typed timestamps and sets of rows as arrays.

Statements on the hot path take arrays and work on sets; ``unnest`` with a cast on each
array gives their types. Such a set is always read through a MATERIALIZED ``n`` that also
carries the org: that is a fence for the planner, so it joins from the set by the whole key.
Were the org a condition on the table, the planner would estimate "all rows of this org" as
cheap whenever statistics lag behind, which on hot tables they always do.
"""

from sqlalchemy import DateTime, TextClause, bindparam, text

_TIMESTAMP = DateTime(timezone=True)

FAILURE = {
    "error_code": "text",
    "error_kind": "smallint",
    "error_message": "text",
    "error_recoverable": "boolean",
    "error_uri": "text",
}
"""The columns of a failure with their types, for :func:`given`."""


def given(**columns: str) -> str:
    """
    Return the WITH clause for the set ``n`` of a statement: the org, and these columns.

    Each value is a column's type; its values are bound as an array of the column's name.
    A name may end in ``_``, which the column's does not: that keeps ``…_at_`` an array.
    Where ``org`` is among the columns, as in a pass across orgs, it is not the transaction's.
    """
    arrays = ", ".join(f"CAST(:{name} AS {kind}[])" for name, kind in columns.items())
    org = "" if "org" in columns else "CAST(:org AS text) AS org, "
    names = ", ".join(name.removesuffix("_") for name in columns)
    return f"WITH n AS MATERIALIZED (SELECT {org}u.* FROM unnest({arrays}) AS u ({names}))"


def only_one(column: str, value: str) -> str:
    """
    Return the end of a lateral query for the one row whose last column of a unique key has a value.

    A plain equality with LIMIT 1 costs the same by any index that has the columns before it, as long
    as the table has no statistics; Postgres may then read all rows with those. A range in the order
    of the unique key can only be had from its index.
    """
    return f"{column} >= {value} AND {column} <= {value} ORDER BY {column} LIMIT 1"


def not_deleted(org: str) -> str:
    """Return SQL for "this org is not deleted", by the small index of those that are."""
    return (
        "NOT EXISTS (SELECT 1 FROM orgs gone"
        f" WHERE gone.org = {org} AND gone.deleted_at IS NOT NULL)"
    )


def statement(source: str) -> TextClause:
    """Create a statement whose parameters ``now`` and ``…_at`` are timestamps with time zone."""
    made = text(source)
    timestamps = [
        bindparam(name, type_=_TIMESTAMP)
        for name in made._bindparams  # noqa: SLF001  # there is no public way to list them
        if name == "now" or name.endswith("_at")
    ]
    return made.bindparams(*timestamps)
