"""Rules for each scoped setting's value: what Kubernetes or a run could not be given is refused."""

import re
from collections.abc import Callable, Mapping

from controlplane.core.errors import InvalidError
from shared.kit.quantities import read_quantity

Value = str | int | bool | Mapping[str, str]
Rule = Callable[[str, Value], None]

MAX_CONCURRENCY = 1_000_000
_MAX_ENTRIES = 64  # as many labels as a run may have
_MAX_VARIABLES = 500

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")  # DNS-1123 subdomain
_KEY = re.compile(
    r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
_LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_OURS = "volary.dev/"
_RESERVED = ("_U_", "_F_", "FLYTE_INTERNAL_", "VOLARY_")
_RESERVED_NAMES = frozenset({"ACTION_NAME", "FLYTE_ATTEMPT_NUMBER", "RUN_NAME"})


def require_order(resource: str, lower: str, upper: str, level: str) -> None:
    """Raise InvalidError unless the minimum of a resource is at most its maximum."""
    least, most = read_quantity(lower), read_quantity(upper)
    if least is not None and most is not None and least > most:
        raise InvalidError(
            f"task_resource.min.{resource}: {lower} is more than task_resource.max.{resource},"
            f" which the {level} sets to {upper}; lower the minimum or raise the maximum"
        )


def _text(key: str, value: Value) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidError(f"{key}: is empty; leave it out to inherit, or unset it")
    if len(value) > 1024 or "\0" in value:
        raise InvalidError(f"{key}: must be at most 1024 characters, without NUL")
    return value


def _plain(key: str, value: Value) -> None:
    _text(key, value)


def _kubernetes_name(key: str, value: Value) -> None:
    name = _text(key, value)
    if len(name) > 253 or not _NAME.fullmatch(name):
        raise InvalidError(
            f"{key}: {name[:253]!r} is not a name of Kubernetes: small letters, digits, dots and"
            " dashes, at most 253"
        )


def _quantity(key: str, value: Value) -> None:
    amount = read_quantity(_text(key, value))
    if amount is None:
        raise InvalidError(f"{key}: {value!r} is not a quantity; write 2, 500m, 512Mi or 2G")
    if key.endswith(".gpu") and amount != amount.to_integral_value():
        raise InvalidError(f"{key}: {value!r} is not a whole number of GPUs")


def _concurrency(key: str, value: Value) -> None:
    if not isinstance(value, int) or not (value == 0 or 2 <= value <= MAX_CONCURRENCY):
        raise InvalidError(
            f"{key}: must be 0 (no limit), or from 2 to {MAX_CONCURRENCY}: with 1 a run's first task"
            " would leave no place for those it calls"
        )


def _mirror(key: str, value: Value) -> None:
    if value is not True:
        raise InvalidError(
            f"{key}: must be true: a container without a limit always gets its request as the"
            " limit, so that it runs on a full node as on an empty one"
        )


def _entries(key: str, value: Value, most: int) -> Mapping[str, str]:
    entries = value if isinstance(value, Mapping) else {}
    if len(entries) > most:
        raise InvalidError(f"{key}: at most {most} entries, not {len(entries)}")
    return entries


def _labels(key: str, value: Value) -> None:
    for name, text in _entries(key, value, _MAX_ENTRIES).items():
        _metadata_key(key, name)
        if not _LABEL.fullmatch(text):
            raise InvalidError(
                f"{key}.{name}: {text[:70]!r} is not a label's value: at most 63 letters, digits,"
                " '-', '_' and '.', beginning and ending with a letter or digit"
            )


def _annotations(key: str, value: Value) -> None:
    for name, text in _entries(key, value, _MAX_ENTRIES).items():
        _metadata_key(key, name)
        if "\0" in text:
            raise InvalidError(f"{key}.{name}: holds a NUL character; leave it out")


def _metadata_key(key: str, name: str) -> None:
    if not _KEY.fullmatch(name):
        raise InvalidError(f"{key}: Kubernetes takes no key such as {name[:70]!r}")
    if name.startswith(_OURS):
        raise InvalidError(f"{key}.{name}: {_OURS} is reserved for the agent; choose another key")


def _variables(key: str, value: Value) -> None:
    for name, text in _entries(key, value, _MAX_VARIABLES).items():
        if not _VARIABLE.fullmatch(name) or len(name) > 255:
            raise InvalidError(
                f"{key}: {name[:70]!r} is not a variable's name: letters, digits, '_', '.' and '-',"
                " not beginning with a digit"
            )
        if name.startswith(_RESERVED) or name in _RESERVED_NAMES:
            raise InvalidError(
                f"{key}.{name}: is reserved for what the SDK and the agent tell a task; choose"
                " another name"
            )
        if "\0" in text:
            raise InvalidError(f"{key}.{name}: holds a NUL character; encode the value")


def _of_apps(key: str, _value: Value) -> None:
    raise InvalidError(f"{key}: this release serves no apps; leave it out")


RULES: Mapping[str, Rule] = {
    "run.default_queue": _plain,  # and it exists, which the use case checks
    "run.max_action_concurrency": _concurrency,
    "run.run_base_dir": _plain,  # and it lies below the org's prefix, as does the next
    "storage.raw_data_path": _plain,
    "security.service_account": _kubernetes_name,
    "pod_template_name": _kubernetes_name,
    **{
        f"task_resource.{end}.{resource}": _quantity
        for end in ("min", "max")
        for resource in ("cpu", "gpu", "memory", "storage")
    },
    "task_resource.mirror_limits_request": _mirror,
    "task_resource.default_accelerator": _plain,  # a GPUAccelerator as JSON, parsed by the API
    "labels": _labels,
    "annotations": _annotations,
    "environment_variables": _variables,
    "app.disallow_anonymous": _of_apps,
    "app.app_dns_strategy": _of_apps,
}
"""Rules by the dotted keys of flyteidl2's Settings: every key has one."""
