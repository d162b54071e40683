"""
The copilot: brings inputs to a raw container and ships its outputs, over signed URLs.

Two containers of one image beside the user's: ``download`` before the task, ``sidecar``
behind it. It knows no bucket and holds no key to one; what it may read and write is
decided by whoever signs. Flat: ``cli`` and ``main`` wire, ``inputs`` and ``outputs``
know Flyte's file layouts, ``transfers`` moves bytes, ``urls`` asks for links, ``waiting``
sees the task end. It starts in milliseconds: tests count what it imports.
"""
