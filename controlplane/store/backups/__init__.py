"""
Copies the whole database to an archive and back, by Postgres' own programs.

``programs`` finds and runs pg_dump, pg_restore and psql; ``snapshots`` reads what a copy will hold;
``restores`` fills an empty database in one transaction.
"""
