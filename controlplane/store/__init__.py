"""Postgres access: every SQL statement of the control plane. Rows become model values here."""
