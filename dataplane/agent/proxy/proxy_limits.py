"""Limits of the API proxy: counts are items, sizes bytes, durations ``timedelta``."""

from datetime import timedelta

# What a pod may send.
REQUEST_BYTES = 16 * 1024 * 1024  # of one call, compressed or not: the control plane's own limit
OUR_BYTES = 64 * 1024  # of a call that the proxy answers before it authenticates the caller
MAX_REQUEST_BYTES = 4 * 1024 * 1024  # of one request of a copilot
STREAM_REQUEST_BYTES = 256 * 1024  # of a call that is answered by a stream: it only names things
BODIES = 256 * 1024 * 1024  # bytes of all calls in progress
BODIES_OF_POD = 64 * 1024 * 1024  # bytes of one pod's
REQUEST_WITHIN = timedelta(seconds=60)  # from its first byte to its last
HEADER_BYTES = 32 * 1024  # of one header; a token has about 1 KiB
HEADERS = 100  # of one call
HEAD_BYTES = 64 * 1024  # of an incomplete request line with headers
HEAD_WITHIN = timedelta(seconds=10)  # from the connection, or a request's first byte
HANDSHAKE_WITHIN = timedelta(seconds=10)  # of TLS
IDLE_POD = timedelta(seconds=75)  # between two calls on a connection

# Connections: a pod with the SDK has one for each stream, and some for calls.
CONNECTIONS = 8192
CONNECTIONS_OF_ADDRESS = 2048  # a pod's own; where the network hides pods, all those of a node

# The metrics port.
METRICS_CONNECTIONS = 64
METRICS_CONNECTIONS_OF_ADDRESS = 16  # several scrapers may share their node's address

# Concurrency of one pod; other pods have as much.
CALLS_OF_POD = 32  # the SDK has 20 workers; more wait in line
WAITING_OF_POD = 512  # in that line
STREAMS_OF_POD = 128
LINE_WITHIN = timedelta(seconds=20)

# The control plane.
CONNECT_WITHIN = timedelta(seconds=5)
CALL_WITHIN = timedelta(seconds=65)  # a little longer than the control plane's own timeout
IDLE_CONNECTION = timedelta(
    seconds=45
)  # before the control plane, or a load balancer before it, closes it
SILENT_PEER = timedelta(seconds=30)  # a dead one on an idle stream is noticed after about that

# Tokens.
TOKENS_KNOWN = 65_536
REVIEW_LASTS = timedelta(minutes=10)  # then the API server is asked again
REJECTION_TTL = timedelta(seconds=5)
REVIEWS_AT_ONCE = 32
REVIEW_TIMEOUT = timedelta(seconds=4)  # the SDK gives an Enqueue 5 s
TOKEN_BYTES = 16 * 1024

# Runs that runs have started.
LINEAGE_CACHE_SIZE = 16_384
LINEAGE_TTL = timedelta(hours=1)
STRANGERS_LAST = timedelta(seconds=10)
GENERATIONS = 8

# Certificates.
CA_LASTS = timedelta(days=3650)
CERTIFICATE_LASTS = timedelta(days=2)
RENEW_BEFORE = timedelta(days=1)
REFRESH_INTERVAL = timedelta(minutes=10)
PUBLISHED_LASTS = timedelta(minutes=1)  # before a namespace's ConfigMap is checked again
NAMESPACES_KNOWN = 4096

# The signer.
LINKS_AT_ONCE = 512  # of one request; copilots ask for 256
PAGE_BLOBS = 5000  # a copilot accepts an answer of 16 MiB
STORES_OPEN = 64
LINK_LASTS = timedelta(minutes=15)
PART_BYTES = 32 * 1024 * 1024  # at least; S3 accepts 10,000 parts of an upload
PARTS = 10_000
WHOLE_BYTES = 32 * 1024 * 1024  # up to this size a blob is uploaded in one piece
INPUTS_BYTES = 32 * 1024 * 1024  # of an inputs.pb that determines what may be read
URIS_KNOWN = 200_000  # of all cached inputs; one may have more
STORE_WITHIN = timedelta(seconds=30)

# Shutdown.
STOP_WITHIN = timedelta(seconds=20)  # for calls in progress, once no new ones are accepted
CLOSE_WITHIN = timedelta(seconds=1)  # for clients to close their connections; then they are cut
