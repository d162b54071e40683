"""
Lets local tasks trust the API's private authority in libraries that know SSL_CERT_FILE only.

The SDK uploads code by such a library. The variable replaces the system's authorities, so the file
that it names has those as well.
"""

import asyncio
import logging
import ssl
from pathlib import Path

from shared.kit.file_changes import watch_files

logger = logging.getLogger(__name__)

VARIABLE = "SSL_CERT_FILE"


def write_bundle(ca_file: Path, bundle: Path) -> Path | None:
    """
    Write the system's authorities and those of ``ca_file`` to ``bundle``, and return it.

    None, with a warning, if the system has no file of authorities that could be extended.
    """
    system = ssl.get_default_verify_paths().cafile
    if not system:  # None, though its type says otherwise
        logger.warning(
            "the system has no file of certificate authorities; set SSL_CERT_FILE for the agent, so"
            " that tasks can upload code",
            extra={"ca_file": str(ca_file)},
        )
        return None
    text = f"{Path(system).read_text().rstrip()}\n{ca_file.read_text().strip()}\n"
    if bundle.exists() and bundle.read_text() == text:
        return bundle
    draft = bundle.with_suffix(".new")
    draft.write_text(text)
    draft.replace(bundle)
    return bundle


async def keep_bundle(ca_file: Path, bundle: Path) -> None:
    """Write the bundle again when ``ca_file`` changes, until cancelled; tasks that start read it."""
    failure = ""
    async for _ in watch_files([ca_file]):
        try:
            await asyncio.to_thread(write_bundle, ca_file, bundle)
            failure = ""
        except (OSError, UnicodeDecodeError) as error:
            if str(error) != failure:
                failure = str(error)
                logger.error(  # noqa: TRY400 - the error's text is the whole story
                    "authorities not copied for tasks, those before stay",
                    extra={"ca_file": str(ca_file), "error": failure},
                )
