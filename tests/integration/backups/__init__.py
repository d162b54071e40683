"""Backups of the whole database, made and restored by Postgres' own programs."""
