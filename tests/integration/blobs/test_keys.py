"""Sources of the S3 access key, against stub credential services."""

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

import pytest

from shared.blobs.errors import BlobStoreError
from shared.blobs.keys import AccessKeys
from shared.blobs.options import S3Options
from shared.kit.secrets import SecretText
from tests.fakes.clock import FakeClock

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_UNTIL = _NOW + timedelta(hours=1)


class _Service(ThreadingHTTPServer):
    """Stub service that issues keys valid for an hour for the right token, and counts them."""

    given = 0
    form: dict[str, list[str]]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answers(BaseHTTPRequestHandler):
    server: _Service  # type: ignore[mutable-override]

    def do_GET(self) -> None:
        if self.headers.get("Authorization") != "token-of-the-pod":
            self.send_error(401)
            return
        self.server.given += 1
        output = {
            "AccessKeyId": f"container-{self.server.given}",
            "SecretAccessKey": "secret",
            "Token": "session",
            "Expiration": _UNTIL.isoformat().replace("+00:00", "Z"),
        }
        self._say(json.dumps(output))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.form = parse_qs(body.decode())
        self._say(
            "<AssumeRoleWithWebIdentityResponse><Credentials><AccessKeyId>web</AccessKeyId>"
            "<SecretAccessKey>secret</SecretAccessKey><SessionToken>session</SessionToken>"
            f"<Expiration>{_UNTIL:%Y-%m-%dT%H:%M:%SZ}</Expiration></Credentials>"
            "</AssumeRoleWithWebIdentityResponse>"
        )

    def _say(self, text: str) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[_Service]:
    with _Service(("127.0.0.1", 0), _Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


async def test_access_key_prefers_options_over_environment() -> None:
    environment = {"AWS_ACCESS_KEY_ID": "env", "AWS_SECRET_ACCESS_KEY": "s"}
    output = S3Options(access_key="said", secret_key=SecretText("s"))
    assert (await AccessKeys(output, FakeClock().now, environment).current()).id == "said"
    assert (await AccessKeys(S3Options(), FakeClock().now, environment).current()).id == "env"


async def test_access_key_from_web_identity_of_service_account(
    service: _Service, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("projected\n")
    environment = {
        "AWS_ENDPOINT_URL_STS": service.url,
        "AWS_ROLE_ARN": "arn:aws:iam::1:role/volary",
        "AWS_WEB_IDENTITY_TOKEN_FILE": str(token),
    }
    key = await AccessKeys(S3Options(), FakeClock().now, environment).current()
    assert (key.id, key.secret, key.session_token) == ("web", "secret", "session")
    assert key.until == _UNTIL
    assert service.form["WebIdentityToken"] == ["projected"]
    assert service.form["RoleArn"] == ["arn:aws:iam::1:role/volary"]


async def test_access_key_from_pod_identity_is_refreshed_before_expiry(
    service: _Service, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("token-of-the-pod")
    environment = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{service.url}/v1/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token),
    }
    clock = FakeClock(_NOW)
    keys = AccessKeys(S3Options(), clock.now, environment)
    assert (await keys.current()).id == "container-1"
    clock.advance(timedelta(minutes=30))
    assert (await keys.current()).id == "container-1"
    clock.advance(timedelta(minutes=15))
    assert (await keys.current()).id == "container-2"


async def test_access_key_missing_error_states_remedy() -> None:
    keys = AccessKeys(S3Options(), FakeClock().now, {"AWS_EC2_METADATA_DISABLED": "true"})
    with pytest.raises(BlobStoreError, match="service account"):
        await keys.current()


async def test_access_key_error_hides_the_token(service: _Service) -> None:
    environment = {
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{service.url}/v1/credentials",
        "AWS_CONTAINER_AUTHORIZATION_TOKEN": "wrong-and-secret",
    }
    with pytest.raises(BlobStoreError, match="answers 401") as refused:
        await AccessKeys(S3Options(), FakeClock().now, environment).current()
    assert "wrong-and-secret" not in str(refused.value)
