"""
Copilot: downloads the inputs of a raw container and uploads its outputs, over signed URLs.

One image runs as two containers in the user's pod: ``download`` as an init container, and
``sidecar`` as a native sidecar. It has no bucket credentials; the signer of the URLs decides
what it may read and write. ``cli`` and ``main`` assemble the programs, ``inputs`` and
``outputs`` implement Flyte's file layouts, ``transfers`` moves bytes, ``urls`` requests
links, ``waiting`` detects the task's end. It starts in milliseconds: tests limit its imports.
"""
