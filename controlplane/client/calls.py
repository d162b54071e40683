"""
Calls of the control plane's APIs: Connect's protocol with JSON bodies (docs/platform-api.md).

A method is ``package.Service/Method``; requests and answers are the messages' JSON.
"""

import uuid
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any, Protocol

from controlplane.client.credentials import Credentials
from controlplane.client.errors import CallRefusedError, ClientError, LoginRequiredError
from controlplane.client.http import Answer, Connection
from shared.kit.secrets import SecretText

Message = Mapping[str, Any]


class Api(Protocol):
    """The APIs of one control plane, for one caller; see the module."""

    def call(self, method: str, request: Message) -> Message:
        """Call a unary method; ClientError if it is refused."""
        ...

    def stream(self, method: str, request: Message) -> Iterator[Message]:
        """Call a method that answers with a stream of messages."""
        ...


class RemoteApi:
    """Calls over HTTP. A token that is refused is replaced, and the call sent once more."""

    def __init__(self, connection: Connection, credentials: Credentials) -> None:
        self._connection = connection
        self._credentials = credentials

    def call(self, method: str, request: Message) -> Message:
        token = self._credentials.token()
        answer = self._connection.post_json(f"/{method}", request, _headers(token))
        if answer.status == HTTPStatus.UNAUTHORIZED:
            token = self._credentials.token(refused=token or SecretText(""))
            answer = self._connection.post_json(f"/{method}", request, _headers(token))
        if answer.status != HTTPStatus.OK or answer.body is None:
            raise self._refusal(answer)
        return answer.body

    def stream(self, method: str, request: Message) -> Iterator[Message]:
        token = self._credentials.token()
        again = False
        while True:
            for received in self._connection.stream_json(f"/{method}", request, _headers(token)):
                if not isinstance(received, Answer):
                    again = False
                    yield received
                elif not again and _is_unauthenticated(received):
                    break  # a stream ends with its token: it is opened again with the next
                else:
                    raise self._refusal(received)
            else:
                return
            token = self._credentials.token(refused=token or SecretText(""))
            again = True

    def _refusal(self, answer: Answer) -> ClientError:
        body = answer.body or {}
        code, message = body.get("code"), body.get("message", "")
        address = self._connection.address.url
        if isinstance(code, str):
            if code == "unauthenticated":
                return LoginRequiredError(f"{message}; run `volary login {address}`")
            return CallRefusedError(code, str(message))
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return CallRefusedError("unavailable", f"{address} answers with status {answer.status}")
        return CallRefusedError(
            "unimplemented" if answer.status == HTTPStatus.NOT_FOUND else "unknown",
            f"{address} answers with status {answer.status}, and not as a control plane does; "
            "check the address",
        )


def _is_unauthenticated(answer: Answer) -> bool:
    return (
        answer.status == HTTPStatus.UNAUTHORIZED
        or (answer.body or {}).get("code") == "unauthenticated"
    )


def _headers(token: SecretText | None) -> Mapping[str, str]:
    headers = {"connect-protocol-version": "1", "x-request-id": uuid.uuid4().hex}
    return headers if token is None else {**headers, "authorization": f"Bearer {token.reveal()}"}
