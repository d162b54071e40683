"""
Finds environment variables that a process reads only at load time, so that a fork cannot change them.

The C library, the interpreter and native libraries read some while they are loaded: those have
known names. Python modules read others while they are imported: the zygote records them. A
variable that begins with the name of an imported package counts as well, because the package's
native code may read it without being recorded.
"""

import os
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

_READ_WHEN_LOADED = (
    *("PYTHON", "LD_", "MALLOC_", "GLIBC_", "GCONV_PATH", "LC_", "LANG", "LOCPATH", "NLSPATH"),
    *("TZ", "RES_OPTIONS", "LOCALDOMAIN", "HOSTALIASES", "OPENSSL_", "SSL_CERT_", "RUST_"),
    *("OMP_", "GOMP_", "KMP_", "MKL_", "BLIS_", "OPENBLAS_", "GOTO_", "NUMEXPR_", "VECLIB_"),
    *("NPY_", "ARROW_", "CUDA_", "TOKIO_", "GRPC_", "UV_"),
)
"""Names, or prefixes of names."""


def find_fixed(
    env: Mapping[str, str],
    base: Mapping[str, str],
    *,
    read: Collection[str],
    packages: Sequence[str],
) -> Sequence[str]:
    """
    Return the variables that differ from ``base`` and that a fork of a process loaded with
    ``base`` would ignore.

    ``read``: the variables that the process's imports read; ``packages``: its imports.
    """
    prefixes = (*_READ_WHEN_LOADED, *(f"{package.upper()}_" for package in packages))
    return sorted(
        name
        for name in {*env, *base}
        if env.get(name) != base.get(name) and (name in read or name.startswith(prefixes))
    )


@contextmanager
def recording() -> Iterator[set[str]]:
    """Collect the names of the variables that Python code reads within the block."""
    names: set[str] = set()

    class Recording(os._Environ[str]):  # noqa: SLF001 - the class of os.environ
        def __getitem__(self, name: str) -> str:
            names.add(name)
            return str(super().__getitem__(name))

        def __contains__(self, name: object) -> bool:
            names.add(str(name))
            return bool(super().__contains__(name))

    os.environ.__class__ = Recording
    try:
        yield names
    finally:
        os.environ.__class__ = os._Environ  # noqa: SLF001 - what it was


def list_foreign_packages(modules: Sequence[str]) -> Sequence[str]:
    """Return the top-level packages of the modules that are not in the standard library."""
    packages = {name.partition(".")[0].lstrip("_") for name in modules}
    return sorted(packages - sys.stdlib_module_names)
