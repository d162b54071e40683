"""What an operator may choose. Only ``main`` and ``cli`` read this."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The agent's settings; ``cli`` says what each means and where it comes from."""

    control_plane: Sequence[str]  # host:port of the link, of one replica or of several
    token_file: Path
    ca_file: Path | None
    data_dir: Path
    public_endpoint: str  # host:port of the API, for tasks
    public_insecure: bool
    slots: int
    grace: timedelta
    retention: timedelta
    warm: bool
    stop_attempts: bool
