"""Identities that sign links where no key is configured: those of GKE and AKS, on stubs."""

import json
import threading
from base64 import b64decode, b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from shared.blobs.azure.identity import AzureIdentity
from shared.blobs.azure.sas import DelegationKey
from shared.blobs.errors import BlobStoreError
from shared.blobs.gcs.identity import GcsIdentity
from shared.blobs.options import AzureOptions, GcsOptions
from tests.fakes.clock import FakeClock
from tests.servers.gcs import EMAIL, ServiceAccount

_TIMES = "%Y-%m-%dT%H:%M:%SZ"


class _Cloud(ThreadingHTTPServer):
    """Metadata server and IAM of Google, Entra ID and a storage account of Azure, on one port."""

    account: ServiceAccount
    email = EMAIL
    may_sign = True
    may_delegate = True
    tokens = 0
    keys = 0
    form: dict[str, list[str]]
    asked: tuple[str, str]  # from when until when a delegation key was requested

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"


class _Answers(BaseHTTPRequestHandler):
    server: _Cloud  # type: ignore[mutable-override]

    def do_GET(self) -> None:
        if self.headers.get("Metadata-Flavor") != "Google":
            self.send_error(403)
        elif self.path.endswith("/default/email"):
            self._say(self.server.email)
        else:
            self.server.tokens += 1
            self._say(json.dumps({"access_token": "of-metadata", "expires_in": 3600}))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.path.endswith(":signBlob"):
            self._sign(b64decode(json.loads(body)["payload"]))
        elif self.path == "/tenant/oauth2/v2.0/token":
            self.server.form = parse_qs(body)
            self._say(json.dumps({"access_token": "of-entra"}))
        else:
            self._delegate(body)

    def _sign(self, data: bytes) -> None:
        expected = f"/v1/projects/-/serviceAccounts/{self.server.email}:signBlob"
        sent = self.headers.get("Authorization")
        if self.path != expected or sent != "Bearer of-metadata" or not self.server.may_sign:
            self.send_error(403)
            return
        signature = self.server.account.key.sign(data, padding.PKCS1v15(), hashes.SHA256())
        self._say(json.dumps({"keyId": "1", "signedBlob": b64encode(signature).decode()}))

    def _delegate(self, body: str) -> None:
        query = parse_qs(urlsplit(self.path).query)
        sent = self.headers.get("Authorization")
        if query != {"restype": ["service"], "comp": ["userdelegationkey"]} or (
            sent != "Bearer of-entra" or not self.server.may_delegate
        ):
            self.send_error(403)
            return
        self.server.keys += 1
        start, expiry = (
            body.split(f"<{n}>")[1].split("<", maxsplit=1)[0] for n in ("Start", "Expiry")
        )
        self.server.asked = (start, expiry)
        self._say(
            "<UserDelegationKey><SignedOid>oid</SignedOid><SignedTid>tid</SignedTid>"
            f"<SignedStart>{start}</SignedStart><SignedExpiry>{expiry}</SignedExpiry>"
            "<SignedService>b</SignedService><SignedVersion>2022-11-02</SignedVersion>"
            f"<Value>{b64encode(b'key').decode()}</Value></UserDelegationKey>"
        )

    def _say(self, text: str) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def cloud() -> Iterator[_Cloud]:
    with _Cloud(("127.0.0.1", 0), _Answers) as server:
        server.account = ServiceAccount()
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _on_gke(cloud: _Cloud, clock: FakeClock) -> GcsIdentity:
    environment = {"GCE_METADATA_HOST": cloud.host}
    return GcsIdentity(GcsOptions(), clock, environment, iam=f"http://{cloud.host}")


async def test_gke_identity_signs_by_iam_with_one_token_until_it_expires(cloud: _Cloud) -> None:
    clock = FakeClock()
    identity = _on_gke(cloud, clock)

    assert await identity.email() == EMAIL
    for data in (b"first", b"second"):
        assert cloud.account.has_signed(data, await identity.sign(data))
    assert cloud.tokens == 1
    clock.advance(timedelta(hours=1))
    await identity.sign(b"third")
    assert cloud.tokens == 2


async def test_gke_identity_that_may_not_sign_is_told_which_role_it_lacks(cloud: _Cloud) -> None:
    cloud.may_sign = False

    with pytest.raises(BlobStoreError, match=r"roles/iam\.serviceAccountTokenCreator"):
        await _on_gke(cloud, FakeClock()).sign(b"data")


async def test_kubernetes_account_without_google_account_is_refused(cloud: _Cloud) -> None:
    cloud.email = "project.svc.id.goog"

    with pytest.raises(BlobStoreError, match=r"project\.svc\.id\.goog, which is no Google service"):
        await _on_gke(cloud, FakeClock()).email()


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "Expecting property name"),
        ('{"type": "authorized_user"}', "the key of no service account"),
        ('{"type": "service_account", "private_key": "x", "client_email": "a@b"}', "PEM"),
        (None, "No such file"),
    ],
)
async def test_unusable_key_file_of_google_is_named(
    tmp_path: Path, content: str | None, complaint: str
) -> None:
    file = tmp_path / "key.json"
    if content is not None:
        file.write_text(content)

    with pytest.raises(BlobStoreError, match=complaint):
        await GcsIdentity(GcsOptions(credentials_file=str(file)), FakeClock(), {}).sign(b"data")


def _on_aks(cloud: _Cloud, clock: FakeClock, file: Path) -> AzureIdentity:
    file.write_text("token-of-the-pod\n")
    environment = {
        "AZURE_CLIENT_ID": "client",
        "AZURE_TENANT_ID": "tenant",
        "AZURE_FEDERATED_TOKEN_FILE": str(file),
        "AZURE_AUTHORITY_HOST": f"http://{cloud.host}/",
    }
    return AzureIdentity(AzureOptions(), f"http://{cloud.host}", clock, environment)


async def test_aks_identity_gets_a_key_of_the_store_and_another_before_it_expires(
    cloud: _Cloud, tmp_path: Path
) -> None:
    clock = FakeClock()
    identity = _on_aks(cloud, clock, tmp_path / "token")

    key = await identity.signing_key()

    assert isinstance(key, DelegationKey)
    assert (key.object_id, key.tenant_id, key.key) == ("oid", "tid", b64encode(b"key").decode())
    assert cloud.form["client_assertion"] == ["token-of-the-pod"]
    assert cloud.form["scope"] == ["https://storage.azure.com/.default"]
    start, expiry = (datetime.strptime(each, _TIMES).replace(tzinfo=UTC) for each in cloud.asked)
    assert start < clock.now()  # the store's clock may be behind
    assert expiry - clock.now() < timedelta(days=7)
    assert await identity.signing_key() is key
    clock.advance(timedelta(hours=5))  # links signed now would outlive the key
    assert await identity.signing_key() is not key
    assert cloud.keys == 2


async def test_aks_identity_without_its_tenant_is_refused(cloud: _Cloud, tmp_path: Path) -> None:
    environment = {"AZURE_FEDERATED_TOKEN_FILE": str(tmp_path / "token"), "AZURE_CLIENT_ID": "c"}
    identity = AzureIdentity(AzureOptions(), f"http://{cloud.host}", FakeClock(), environment)

    with pytest.raises(BlobStoreError, match="is set without AZURE_TENANT_ID"):
        await identity.signing_key()


async def test_azure_identity_without_its_role_is_told_which(cloud: _Cloud, tmp_path: Path) -> None:
    cloud.may_delegate = False

    with pytest.raises(BlobStoreError, match="answers 403") as refusal:
        await _on_aks(cloud, FakeClock(), tmp_path / "token").signing_key()

    assert "the role Storage Blob Delegator" in str(refusal.value)
