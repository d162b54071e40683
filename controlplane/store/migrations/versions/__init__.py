"""Revisions, in the order of their names; the newest is the head."""
