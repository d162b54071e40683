"""The schema's metadata, and the columns that many tables have."""

from sqlalchemy import Boolean, Column, DateTime, MetaData, SmallInteger, Text

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "ix": "%(table_name)s_%(column_0_N_name)s",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    }
)

FLEET_ONLY = {"fleet_only": True}
"""``info`` of a table that the role ``volary_app`` has no right on: it is of no single org."""


def at(name: str, *, nullable: bool = False) -> "Column[object]":
    """Create a column for a timestamp with time zone."""
    return Column(name, DateTime(timezone=True), nullable=nullable)


def text_column(name: str) -> "Column[str]":
    """Create a text column that is "" by default."""
    return Column(name, Text, nullable=False, server_default="")


def failure() -> "list[Column[object]]":
    """Return the columns of a Failure; all of them are NULL, or none is."""
    return [
        Column("error_code", Text),
        Column("error_kind", SmallInteger),
        Column("error_message", Text),
        Column("error_recoverable", Boolean),
        Column("error_uri", Text),
    ]
