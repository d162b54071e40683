"""Certificates for servers under test: a private authority, and pairs in files that change."""

import ssl
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from shared.kit.certificates import KeyPair, issue, make_authority
from shared.kit.clock import SystemClock

HOSTS = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """A directory like a Secret's mount: files are links to a directory that is replaced whole."""

    directory: Path
    authority: KeyPair = field(
        default_factory=lambda: make_authority(
            "tests authority", SystemClock().now(), lasts=timedelta(days=1)
        )
    )

    @property
    def certificate(self) -> Path:
        return self.directory / "tls.crt"

    @property
    def key(self) -> Path:
        return self.directory / "tls.key"

    @property
    def authority_file(self) -> Path:
        """A file with the authority's certificate, for clients."""
        path = self.directory / "ca.crt"
        path.write_bytes(self.authority.certificate)
        return path

    def make(self, *, lasts: timedelta = timedelta(hours=1)) -> KeyPair:
        """Sign a pair that ends so long after (or before) now."""
        now = SystemClock().now()
        if lasts > timedelta():
            return issue(self.authority, "volary", HOSTS, now, lasts=lasts).pair
        before = now - timedelta(hours=12)
        return issue(self.authority, "volary", HOSTS, before, lasts=lasts + now - before).pair

    def put(self, pair: KeyPair) -> KeyPair:
        """Replace both files at once, as the kubelet does."""
        version = self.directory / f"..{len(list(self.directory.iterdir()))}"
        version.mkdir(parents=True)
        (version / "tls.crt").write_bytes(pair.certificate)
        (version / "tls.key").write_bytes(pair.key)
        link = self.directory / "..data_tmp"
        link.symlink_to(version.name)
        link.rename(self.directory / "..data")
        for each in (self.certificate, self.key):
            if not each.is_symlink():
                each.symlink_to(f"..data/{each.name}")
        return pair

    def trust(self, *alpn: str) -> ssl.SSLContext:
        """Return a client's context that trusts the authority."""
        context = ssl.create_default_context(cadata=self.authority.certificate.decode())
        if alpn:
            context.set_alpn_protocols(list(alpn))
        return context


def make_files(directory: Path) -> TlsFiles:
    """Make a directory with a valid pair."""
    directory.mkdir(parents=True)
    files = TlsFiles(directory)
    files.put(files.make())
    return files
