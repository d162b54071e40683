"""
Finds the database and keys of a running ``volary up`` from its data directory.

The URL names the server's socket, the control plane's user and the secret in the directory.
The directory stays locked by ``volary up``: nothing is locked here, and nothing written.
"""

import json
from pathlib import Path
from urllib.parse import quote

from controlplane.embedded import databases
from controlplane.embedded.errors import UpError

DATABASE = "volary"
SECRETS_KEYS = "secrets-keys"
_SOCKETS = 4  # the line of postmaster.pid that names the directory of its sockets


def database_url_of(root: Path) -> str:
    """Return the URL of the directory's database; UpError when it is not running."""
    return _url_of(root, user=databases.LOGIN, secret="postgres-application")  # noqa: S106 - a file


def owner_url_of(root: Path) -> str:
    """Return the URL of the directory's database for its owner; UpError when it is not running."""
    return _url_of(root, user=databases.OWNER, secret="postgres-owner")  # noqa: S106 - a file


def _url_of(root: Path, *, user: str, secret: str) -> str:
    root = root.expanduser().absolute()
    try:
        password = (root / "secrets" / secret).read_text().strip()
        postmaster = (root / "postgres" / "data" / "postmaster.pid").read_text().splitlines()
        sockets = postmaster[_SOCKETS].strip()
    except (FileNotFoundError, NotADirectoryError, IndexError):
        raise UpError(
            f"no database is running in {root}; run volary up there, choose another directory with "
            "--data-dir, or set VOLARY_DATABASE_URL to the control plane's database"
        ) from None
    except OSError as error:
        raise UpError(
            f"cannot read {root} ({error.strerror}); run this as the user who runs volary up"
        ) from error
    return f"postgresql://{user}:{quote(password, safe='')}@/{DATABASE}?host={quote(sockets)}"


def state_file_of(root: Path) -> Path:
    """Return the path of the file that a running ``volary up`` keeps for programs."""
    return root.expanduser().absolute() / "up.json"


def public_url_of(root: Path) -> str | None:
    """Return the URL of a running ``volary up``; None if it is not running."""
    return _read_state(root, "url")


def blob_base_of(root: Path) -> str:
    """Return the prefix below which a running ``volary up`` stores data; "" if it is not running."""
    return _read_state(root, "blobBase") or ""


def _read_state(root: Path, name: str) -> str | None:
    try:
        found = json.loads(state_file_of(root).read_text())[name]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(found)


def secrets_key_file_of(root: Path) -> Path:
    """Return the path of the directory's file of keys that seal secrets."""
    return root.expanduser().absolute() / "secrets" / SECRETS_KEYS
