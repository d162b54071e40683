"""Constants shared by pods and the in-cluster API proxy: token audience, file paths, URL paths."""

TOKEN_AUDIENCE = "volary-proxy"  # noqa: S105 -- of the projected service-account token
CA_CONFIG_MAP = "volary-proxy"  # in each namespace of attempts
CA_KEY = "ca.crt"  # in the ConfigMap, and the file below

DIRECTORY = "/var/run/volary"  # a projected volume in each container that may call
TOKEN_FILE = f"{DIRECTORY}/token"
CA_FILE = f"{DIRECTORY}/{CA_KEY}"

COPILOT_PATH = "/copilot"  # of the URL signer, below the proxy's address
FENCE_PATH = "/fence"  # answers 200 while replaceable attempts may run, for liveness probes
