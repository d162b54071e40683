"""
Decides where in a store a URI lies, without trusting how it is spelt.

Programs differ in how they read a URI: some decode percent-encoding, some fold ``..`` or a
backslash. A URI that some of them could read as another place lies below nothing here.
"""

import re
from urllib.parse import unquote

_STEPS = frozenset({".", ".."})
# A separator or a dot in percent-encoding, encoded any number of times.
_ENCODED = re.compile(r"%(?:25)*(?:2e|2f|5c)", re.IGNORECASE)
_SAME_STORE = {
    **dict.fromkeys(("s3a", "s3n"), "s3"),
    "gcs": "gs",
    **dict.fromkeys(("abfss", "az", "adl", "azure"), "abfs"),
}
_MOST_DECODINGS = 8


def is_below(uri: str, prefix: str) -> bool:
    """
    Return whether ``uri`` lies below ``prefix``, however a program reads it.

    False as well for a step ``.`` or ``..``, a backslash, an encoded separator or dot, and for a
    ``prefix`` of "".
    """
    below = f"{prefix.rstrip('/')}/"
    path = uri.removeprefix(below)
    return bool(prefix) and uri.startswith(below) and is_plain(path)


def is_plain(path: str) -> bool:
    """Return whether every program reads the path as the same place, or one below it."""
    return _STEPS.isdisjoint(path.split("/")) and "\\" not in path and _ENCODED.search(path) is None


def may_be_below(uri: str, prefix: str) -> bool:
    """Return whether some program could read ``uri`` as ``prefix`` or as a place below it."""
    place, own = _fold(uri), _fold(prefix)
    return place[: len(own)] == own


def _fold(uri: str) -> tuple[str, ...]:
    """Return the scheme, the bucket and the path's steps as the most lenient program reads them."""
    for _ in range(_MOST_DECODINGS):
        decoded = unquote(uri)
        if decoded == uri:
            break
        uri = decoded
    uri = uri.replace("\\", "/")
    scheme, colon, rest = uri.partition(":")
    if not colon or "/" in scheme:
        scheme, rest = "file", uri
    scheme = scheme.lower()
    first, *steps = rest.removeprefix("//").split("/") if rest.startswith("//") else ["", rest]
    scheme = _SAME_STORE.get(scheme, scheme)
    if scheme == "file":
        first = ""
    elif scheme == "abfs":
        first = first.partition("@")[0]  # container@account.dfs.core.windows.net
    folded: list[str] = []
    for step in "/".join(steps).split("/"):
        if step == "..":
            del folded[-1:]
        elif step and step not in _STEPS:
            folded.append(step)
    return (scheme, first.lower(), *folded)
