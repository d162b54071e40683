"""What pods and the door have agreed upon: whom a token is for, and where what lies."""

TOKEN_AUDIENCE = "volary-proxy"  # noqa: S105 -- of the projected service-account token
CA_CONFIG_MAP = "volary-proxy"  # in each namespace of attempts
CA_KEY = "ca.crt"  # in the ConfigMap, and the file below

DIRECTORY = "/var/run/volary"  # a projected volume in each container that may call
TOKEN_FILE = f"{DIRECTORY}/token"
CA_FILE = f"{DIRECTORY}/{CA_KEY}"

COPILOT_PATH = "/copilot"  # the signer's, below the door's address
FENCE_PATH = "/fence"  # answers 200 while attempts may live, for liveness probes
