"""
What changed, for everybody who watches on this replica.

Postgres says only *where* to look (``store.notifications``); here each changed run is read once,
past where this replica has read before, however many watch it. A slow watcher is given the
latest state of each action it missed, never a gap.
"""
