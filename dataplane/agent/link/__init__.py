"""
The agent's end of the gRPC stream to the control plane.

``frames`` converts protobuf, ``channel`` opens gRPC channels, ``stream`` performs what
``core.session`` decides, ``connection`` reconnects after every end, ``handler`` is the
interface to the rest of the agent.
"""

import os

# gRPC reads this when it is imported. The agent starts programs but never forks itself,
# and gRPC's fork handlers complain about every start.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")
