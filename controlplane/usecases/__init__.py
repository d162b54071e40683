"""Use cases: one class per kind of object, one method per operation; permissions are checked here."""
