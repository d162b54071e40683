"""Background passes: each re-reads what it needs, on any replica, at any time."""
