"""Checks what a caller needs where a run's data goes and comes from."""

from controlplane.core.callers import Caller
from controlplane.core.runs import NewRun
from controlplane.usecases.blob_access import BlobAccess


def require_run_access(access: BlobAccess, caller: Caller, new: NewRun) -> None:
    """Raise unless the caller may write where the run's data goes, and read where it is from."""
    access.require_writable(caller, new.run_base, "run_spec.run_base_dir")
    access.require_raw_data_prefix(
        caller, new.raw_data_base, "run_spec.raw_data_storage.raw_data_prefix"
    )
    access.require_readable(caller, new.input_uri, "offloaded_input_data.uri")
