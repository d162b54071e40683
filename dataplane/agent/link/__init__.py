"""
The agent's end of the stream: dial, translate, pump.

``frames`` translates, ``channel`` dials, ``stream`` carries out what ``core.session``
decides, ``connection`` comes back after every end, ``handler`` is what all of it needs of
the agent behind it.
"""

import os

# gRPC reads this when it is imported. The agent starts programs but never forks itself,
# and gRPC's fork handlers complain about every start.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
