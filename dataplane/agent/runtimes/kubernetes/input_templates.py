"""Read the inputs that a raw container's arguments refer to; the pod spec has to contain them."""

from dataplane.agent.core import attempt_limits
from dataplane.agent.runtimes.blobs import Stores
from dataplane.agent.runtimes.kubernetes.pods import needs_inputs, with_inputs
from dataplane.agent.runtimes.protocol import Job


async def fill_in(stores: Stores, job: Job) -> Job:
    """
    Return the job with its arguments filled in; most tasks have no input templates and read
    nothing.

    Raises BadSpecError for a value that no argument can hold, BlobError when the inputs cannot
    be read.
    """
    if not needs_inputs(job):
        return job
    store, uri = stores.of(job.assignment), job.assignment.input_uri
    body = await stores.with_retries(
        lambda: store.read(uri, limit=attempt_limits.INPUTS_BYTES), attempt_limits.STORAGE_TIMEOUT
    )
    return with_inputs(job, body)
