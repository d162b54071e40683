"""
Selects the control plane and login of a command: by its options, its environment, the file.

An API key comes first, then a context or address that is named, then the current context.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from controlplane.client.addresses import Address, parse_address
from controlplane.client.authorization import ApiKey, parse_api_key
from controlplane.client.calls import RemoteApi
from controlplane.client.contexts import Context, ContextFile, Contexts, config_file
from controlplane.client.credentials import (
    Credentials,
    KeyCredentials,
    NoCredentials,
    StoredCredentials,
)
from controlplane.client.errors import ClientError, LoginRequiredError
from controlplane.client.http import Connection
from shared.kit.secrets import SecretText

API_KEY, CA_FILE, CONTEXT, ORG, URL = (
    "VOLARY_API_KEY",
    "VOLARY_CA_FILE",
    "VOLARY_CONTEXT",
    "VOLARY_ORG",
    "VOLARY_URL",
)
_NO_KEY = SecretText("")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Options of a command and variables of its environment; "" for none."""

    context: str = ""
    url: str = ""
    org: str = ""
    ca_file: str = ""
    api_key: SecretText = _NO_KEY
    is_by_option: bool = False  # an option of the command names a control plane

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], **options: str) -> "Choice":
        """Combine options with variables; an option that names a context or URL stands alone."""
        names_place = bool(options.get("context") or options.get("url"))
        given = {
            "context": "" if names_place else environment.get(CONTEXT, ""),
            "url": "" if names_place else environment.get(URL, ""),
            "org": environment.get(ORG, ""),
            "ca_file": environment.get(CA_FILE, ""),
            **{name: value for name, value in options.items() if value},
        }
        return cls(
            **given,
            api_key=SecretText(environment.get(API_KEY, "")),
            is_by_option=names_place,
        )

    @property
    def is_remote(self) -> bool:
        """Return whether a control plane is named, without a look at the file of contexts."""
        return bool(self.context or self.url or self.api_key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """A control plane, and how to authenticate there."""

    address: Address
    connection: Connection
    credentials: Credentials
    org: str
    context: str = ""  # "" if there is none in the file

    @property
    def api(self) -> RemoteApi:
        return RemoteApi(self.connection, self.credentials)


def select(environment: Mapping[str, str], choice: Choice) -> Selected:
    """Return the control plane of a command; LoginRequiredError if there is none."""
    if choice.api_key:
        return _of_key(parse_api_key(choice.api_key), choice)
    file = ContextFile(config_file(environment))
    contexts = file.read()
    if choice.context:
        name = choice.context
        if name not in contexts.by_name:
            raise LoginRequiredError(
                f"there is no context {name}; there is {', '.join(contexts.by_name) or 'none'}"
            )
    elif choice.url:
        address = parse_address(choice.url)
        name = find_context(contexts, address, choice.org)
        if not name:
            return _without_login(address, choice)
    else:
        name = contexts.current
        if not name:
            raise LoginRequiredError(
                "no control plane is selected; run `volary login https://…`, or set "
                f"{URL} or {API_KEY}"
            )
    if choice.org and contexts.by_name[name].org not in {"", choice.org}:
        name = _in_other_org(contexts, contexts.by_name[name], choice.org)
    context = contexts.by_name[name]
    address = parse_address(context.url)
    return Selected(
        address=address,
        connection=Connection(address, _path(choice.ca_file or context.ca_file)),
        credentials=StoredCredentials(file, name),
        org=context.org,
        context=name,
    )


def find_context(contexts: Contexts, address: Address, org: str) -> str:
    """Return the context of an address and org, the current one if several are; "" for none."""
    found = [
        name
        for name, context in contexts.by_name.items()
        if context.url == address.url and (not org or context.org in {"", org})
    ]
    if len(found) > 1 and contexts.current not in found:
        raise ClientError(
            f"{address.url} has several contexts; choose one with --context: {', '.join(found)}"
        )
    return contexts.current if contexts.current in found else "".join(found)


def _of_key(key: ApiKey, choice: Choice) -> Selected:
    address = parse_address(choice.url or key.host)
    if address.host != parse_address(key.host).host:
        raise ClientError(
            f"the API key is for {key.host}, and is not sent to {address.url}; unset one of the two"
        )
    if choice.org and key.org and choice.org != key.org:
        raise ClientError(f"the API key is of org {key.org}, not {choice.org}")
    connection = Connection(address, _path(choice.ca_file))
    return Selected(
        address=address,
        connection=connection,
        credentials=KeyCredentials(connection, key),
        org=key.org,
    )


def _without_login(address: Address, choice: Choice) -> Selected:
    """Without a context: calls are anonymous, which `volary up` on this machine allows."""
    if not address.is_plain:
        raise LoginRequiredError(
            f"there is no login to {address.url}"
            + (f" in org {choice.org}" if choice.org else "")
            + f"; run `volary login {address.url}`"
        )
    return Selected(
        address=address,
        connection=Connection(address),
        credentials=NoCredentials(),
        org=choice.org,
    )


def _in_other_org(contexts: Contexts, context: Context, org: str) -> str:
    for name, each in contexts.by_name.items():
        if each.url == context.url and each.org == org:
            return name
    raise LoginRequiredError(
        f"there is no login to org {org} at {context.url}; run `volary login {context.url}` and "
        "choose it there"
    )


def _path(ca_file: str) -> Path | None:
    return Path(ca_file).expanduser() if ca_file else None
