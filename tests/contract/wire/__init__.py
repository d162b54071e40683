"""
Backward compatibility of the wire: frames of older releases keep their meaning.

``recorded/<release>/`` holds what a release sends: its schema, a frame of each kind, and
whole sessions. ``make wire-fixtures`` records that of the release at hand; a recording is
never changed once its release is out. Two releases back are kept, as long as they are
served (``DECISIONS.md``).
"""
