"""
How a command reaches the database of a ``volary up`` that runs: by its socket, as the
control plane's user, with the secret that lies in the data directory. The directory itself
stays its holder's: nothing is locked here, and nothing written.
"""

from pathlib import Path
from urllib.parse import quote

from controlplane.embedded import databases
from controlplane.embedded.errors import UpError

DATABASE = "volary"
_SOCKETS = 4  # the line of postmaster.pid that names the directory of its sockets


def database_url_of(root: Path) -> str:
    """Return the address of the directory's database; UpError when it is not up."""
    root = root.expanduser().absolute()
    try:
        password = (root / "secrets" / "postgres-application").read_text().strip()
        postmaster = (root / "postgres" / "data" / "postmaster.pid").read_text().splitlines()
        sockets = postmaster[_SOCKETS].strip()
    except (FileNotFoundError, NotADirectoryError, IndexError):
        raise UpError(
            f"no database is up in {root}; start volary up there, choose another directory with "
            "--data-dir, or name the control plane's database in VOLARY_DATABASE_URL"
        ) from None
    except OSError as error:
        raise UpError(
            f"cannot read {root} ({error.strerror}); run this as the user who runs volary up"
        ) from error
    return (
        f"postgresql://{databases.LOGIN}:{quote(password, safe='')}@/{DATABASE}"
        f"?host={quote(sockets)}"
    )
