"""
Layout of the object store: builds the URIs of inputs, outputs, logs and uploads. PURE.

::

    {base}/{org}/uploads/{project}/{domain}/{root}/{filename}       users' uploads
        tracked-runs/{run}/{action}/…                               a tracked run's, as below
    {base}/{org}/{project}/{domain}/inputs/{hash}/inputs.pb         inputs of root actions
    {base}/{org}/{project}/{domain}/{run}/                          the run's base
        {action}/inputs.pb                                          inputs of other actions
        {action}/{attempt}/outputs.pb|error.pb|report.html|logs.jsonl.gz|raw/…

Each attempt has a prefix of its own, so that a stale attempt cannot overwrite a result.
``base`` never ends in a slash.
"""

from shared.model.ids import ActionName, DomainName, OrgName, ProjectName, RunKey, RunName
from shared.model.uris import is_below, may_be_below

INPUTS = "inputs.pb"
OUTPUTS = "outputs.pb"
ERROR = "error.pb"
REPORT = "report.html"
LOGS = "logs.jsonl.gz"

TRACKED_RUNS = "tracked-runs"
"""Root of the uploads of programs that report a tracked run; the SDK's name for it."""

_ROOT_INPUTS = "inputs"  # beside the runs of a domain
_STEPS_TO_RUN = 3  # project, domain, run

_SHARED_FOLDERS = frozenset({"uploads"})
RESERVED_PROJECTS = _SHARED_FOLDERS
"""Forbidden project names: their runs would collide with the org's uploads."""


def org_base(base: str, org: OrgName) -> str:
    """Return the prefix of one org's data; nothing outside it is signed for or shown to the org."""
    return f"{base}/{org}"


def belongs_to(base: str, org: OrgName, uri: str) -> bool:
    """Return whether ``uri`` lies below the org's base, however a program reads it."""
    return is_below(uri, org_base(base, org))


def scope_of(base: str, org: OrgName, uri: str) -> tuple[str, str]:
    """
    Return the project and domain whose data lies at ``uri``; "" for what belongs to all.

    ``uri`` belongs to the org. A path with an empty step belongs to all: a directory store takes
    it for the path without that step, and so for another project's.
    """
    steps = uri.removeprefix(f"{org_base(base, org)}/").split("/")
    if steps[0] in _SHARED_FOLDERS:
        steps = steps[1:]
    project, domain = (*steps, "", "")[:2]
    return (project, domain) if project not in ("", ".") and domain != "." else ("", "")


def run_of(base: str, org: OrgName, uri: str) -> RunKey | None:
    """
    Return the run in whose data ``uri`` lies; None for what belongs to no run. It need not exist.

    ``uri`` belongs to the org.
    """
    project, domain = scope_of(base, org, uri)
    steps = uri.removeprefix(f"{org_base(base, org)}/").split("/")
    if steps[0] in _SHARED_FOLDERS:
        steps = steps[1:]
        if TRACKED_RUNS not in steps[2:3]:
            return None
        del steps[2]
    name = (*steps, "", "", "", "")[2]
    if not project or not domain or len(steps) <= _STEPS_TO_RUN or name in ("", ".", _ROOT_INPUTS):
        return None
    return RunKey(ProjectName(project), DomainName(domain), RunName(name))


def is_of_another_org(base: str, org: OrgName, uri: str) -> bool:
    """Return whether a program could read ``uri`` as a place of our store outside the org's prefix."""
    return may_be_below(uri, base) and not belongs_to(base, org, f"{uri}/")


def run_base(base: str, org: OrgName, run: RunKey) -> str:
    return f"{base}/{org}/{run.project}/{run.domain}/{run.name}"


def tracked_run_base(base: str, org: OrgName, run: RunKey) -> str:
    """Return the base of a tracked run: where its program uploads inputs, outputs and reports."""
    return upload_uri(base, org, run.project, run.domain, root=TRACKED_RUNS, filename=str(run.name))


def may_be_replaced(root: str, filename: str) -> bool:
    """Return whether an upload may replace another: only the report of a tracked run grows."""
    return filename == REPORT and root.startswith(f"{TRACKED_RUNS}/")


def action_base(run_base: str, action: ActionName) -> str:
    return f"{run_base}/{action}"


def input_uri(run_base: str, action: ActionName) -> str:
    """Return the inputs.pb of an action other than the run's root."""
    return f"{run_base}/{action}/{INPUTS}"


def output_prefix(run_base: str, action: ActionName, attempt: int) -> str:
    """Return the output prefix of one attempt; attempts count from 1."""
    return f"{run_base}/{action}/{attempt}"


def prefix_of_attempt(output_prefix: str, attempt: int) -> str:
    """Return the output prefix of another attempt of the same action."""
    return f"{output_prefix.rpartition('/')[0]}/{attempt}"


def raw_data_prefix(
    run_base: str, action: ActionName, attempt: int, *, raw_data_base: str = ""
) -> str:
    """Return the prefix of an attempt's files and tables; a RunSpec may name another base."""
    if raw_data_base:
        run = run_base.rsplit("/", 1)[-1]
        return f"{raw_data_base.rstrip('/')}/{run}/{action}/{attempt}"
    return f"{output_prefix(run_base, action, attempt)}/raw"


def outputs_uri(output_prefix: str) -> str:
    return f"{output_prefix}/{OUTPUTS}"


def error_uri(output_prefix: str) -> str:
    return f"{output_prefix}/{ERROR}"


def report_uri(output_prefix: str) -> str:
    return f"{output_prefix}/{REPORT}"


def log_uri(output_prefix: str) -> str:
    return f"{output_prefix}/{LOGS}"


def uploaded_inputs_uri(
    base: str, org: OrgName, project: ProjectName, domain: DomainName, digest: str
) -> str:
    """Return the URI of inputs uploaded before their run, named by the digest of their bytes."""
    return f"{base}/{org}/{project}/{domain}/inputs/{digest}/{INPUTS}"


def upload_uri(
    base: str,
    org: OrgName,
    project: ProjectName,
    domain: DomainName,
    *,
    root: str,
    filename: str,
) -> str:
    """Return the URI of an uploaded file; ``root`` groups the files of one directory."""
    return f"{base}/{org}/uploads/{project}/{domain}/{root}/{filename}"
