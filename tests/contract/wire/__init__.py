"""
The wire only grows: what an older release said is read as it was meant.

``recorded/<release>/`` holds what a release says: its schema, a frame of each kind, and
whole sessions. ``make wire-fixtures`` records that of the release at hand; a recording is
never changed once its release is out. Two releases back are kept, as long as they are
served (``DECISIONS.md``).
"""
