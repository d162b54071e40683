"""
Names the replicas that are connected to the database, with the schema that each was made for.

Each replica holds one connection that listens to notifications, to Postgres itself and never
through a pooler. Its ``application_name`` says the replica's schema and release: the entry exists
for as long as the replica does, and needs no table and no heartbeat. Any user may read the name;
the client's address only one that may see the replica's sessions.
"""

import re
from collections.abc import Sequence

from controlplane.core.schema_steps import Replica

LISTENER = "volary-listen"
"""The name without a schema, of releases that do not report it; the others begin with it."""
_NAME = re.compile(rf"{LISTENER}(?: schema=(?P<schema>\w+) release=(?P<release>\S+))?")
_NAME_BYTES = 63  # Postgres cuts the rest

SELECT_REPLICAS = f"""
SELECT application_name AS name,
       'pid ' || pid || coalesce(' at ' || host(client_addr), '') AS address
FROM pg_stat_activity
WHERE datname = current_database() AND application_name LIKE '{LISTENER}%'
ORDER BY pid
"""


def name_listener(schema: str, release: str) -> str:
    """Return the ``application_name`` of a replica's listening connection."""
    return f"{LISTENER} schema={schema} release={release}"[:_NAME_BYTES]


def parse_replicas(rows: Sequence[tuple[str, str]]) -> Sequence[Replica]:
    """Read names and addresses; a name in no known form is a replica that reports no schema."""
    return [_parse(name, address) for name, address in rows]


def _parse(name: str, address: str) -> Replica:
    parsed = _NAME.fullmatch(name)
    if parsed is None or parsed["schema"] is None:
        return Replica(address)
    return Replica(address, schema=parsed["schema"], release=parsed["release"])
