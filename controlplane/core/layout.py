"""
Where things lie in the object store. PURE: text in, text out.

::

    {base}/{org}/uploads/{project}/{domain}/{root}/{filename}       what people upload
    {base}/{org}/{project}/{domain}/inputs/{hash}/inputs.pb         inputs of root actions
    {base}/{org}/{project}/{domain}/{run}/                          the run's base
        {action}/inputs.pb                                          inputs of the others
        {action}/{attempt}/outputs.pb|error.pb|report.html|logs.jsonl.gz|raw/…

Every attempt has a prefix of its own, so that a stale one cannot overwrite a result.
``base`` never ends in a slash.
"""

from shared.model.ids import ActionName, DomainName, OrgName, ProjectName, RunKey

INPUTS = "inputs.pb"
OUTPUTS = "outputs.pb"
ERROR = "error.pb"
REPORT = "report.html"
LOGS = "logs.jsonl.gz"

RESERVED_PROJECTS = frozenset({"uploads"})
"""No project may be called so: its runs would lie among the org's uploads."""


def org_base(base: str, org: OrgName) -> str:
    """Return where all of one org lies; nothing outside it is ever signed or shown to it."""
    return f"{base}/{org}"


def belongs_to(base: str, org: OrgName, uri: str) -> bool:
    """Whether ``uri`` lies below the org's base, without a step back out of it."""
    own = f"{org_base(base, org)}/"
    return uri.startswith(own) and ".." not in uri.removeprefix(own).split("/")


def is_of_another_org(base: str, org: OrgName, uri: str) -> bool:
    """Whether ``uri`` lies in our store, but not in the org's part of it."""
    return f"{uri.rstrip('/')}/".startswith(f"{base}/") and not belongs_to(base, org, f"{uri}/")


def run_base(base: str, org: OrgName, run: RunKey) -> str:
    return f"{base}/{org}/{run.project}/{run.domain}/{run.name}"


def action_base(run_base: str, action: ActionName) -> str:
    return f"{run_base}/{action}"


def input_uri(run_base: str, action: ActionName) -> str:
    """Return the inputs.pb of an action that is not a run's first."""
    return f"{run_base}/{action}/{INPUTS}"


def output_prefix(run_base: str, action: ActionName, attempt: int) -> str:
    """Return where one attempt writes; attempts count from 1."""
    return f"{run_base}/{action}/{attempt}"


def raw_data_prefix(
    run_base: str, action: ActionName, attempt: int, *, raw_data_base: str = ""
) -> str:
    """Return where one attempt keeps files and tables; a RunSpec may name another base."""
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
    """Return where inputs sent ahead of their run lie, named by all their bytes."""
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
    """Return where an uploaded file lies; ``root`` groups the files of one directory."""
    return f"{base}/{org}/uploads/{project}/{domain}/{root}/{filename}"
