"""
Fan-out of changes to the watchers on this replica.

Postgres notifications name only the changed runs (``store.notify.notifications``); here each
changed run is read once, past this replica's cursor, however many watchers it has. A slow
watcher gets the latest state of each action it missed, never a gap.
"""
