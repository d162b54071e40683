"""Settings by which an agent gets its certificate; without gRPC, which commands need not load."""

from collections.abc import Sequence
from pathlib import Path

from shared.kit.settings import kinds, setting, settings
from shared.kit.settings.paths import path

ENROLMENT_PORT = 8102
"""Where the control plane enrols agents, unless an address is set."""


@settings("Enrolment")
class EnrolmentSettings:
    join_token_file: Path | None = setting(
        "VOLARY_AGENT_JOIN_TOKEN_FILE",
        path(),
        "File with a join token of `volary cluster create` or `join-token`. The agent makes a key, "
        "and gets a certificate for it, once; it keeps both in its data directory, or in a Secret "
        "of its namespace. The file may then be deleted. Another token in it enrols again.",
        default=None,
    )
    addresses: Sequence[str] = setting(
        "VOLARY_AGENT_ENROLMENT",
        kinds.listing(kinds.host_port()),
        "Addresses at which the control plane enrols agents.",
        default=(),
        default_text="the link's first host, port 8102",
    )
