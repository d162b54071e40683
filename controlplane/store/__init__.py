"""Postgres, and nothing else that talks to it. Rows become model values here."""
