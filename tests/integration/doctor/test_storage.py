"""The doctor tries the bucket as the agent and its copilots will use it, and cleans up."""

from dataclasses import replace
from pathlib import Path

from dataplane.agent.doctor.results import Outcome
from dataplane.agent.doctor.storage import PREFIX, try_storage
from shared.blobs.store import open_store
from shared.kit.secrets import SecretText
from tests.ports import free_ports
from tests.servers.seaweed import S3ForTests


async def test_a_bucket_that_works(s3_server: S3ForTests) -> None:
    base = s3_server.new_base()
    found = await try_storage(base, by_links=True, options=s3_server.options)
    assert [finding.outcome for finding in found] == [Outcome.OK, Outcome.OK]
    assert "written to, read from and deleted from" in found[0].text
    assert "signed links work" in found[1].text
    store = open_store(base, s3_server.options)
    assert not await store.list_below(store.uri(PREFIX), limit=10)


async def test_credentials_that_are_not_taken(s3_server: S3ForTests) -> None:
    wrong = replace(s3_server.options, secret_key=SecretText("another"))
    found = await try_storage(s3_server.new_base(), by_links=True, options=wrong)
    assert [finding.outcome for finding in found] == [Outcome.FAIL]
    assert "another" not in found[0].text
    assert "storage.existingSecret" in found[0].remedy


async def test_a_store_that_is_not_there(s3_server: S3ForTests) -> None:
    nowhere = replace(s3_server.options, endpoint=f"http://127.0.0.1:{free_ports(1)[0]}")
    found = await try_storage("s3://tests/here", by_links=True, options=nowhere)
    assert {finding.outcome for finding in found} == {Outcome.FAIL}


async def test_a_directory_gives_copilots_no_links(tmp_path: Path) -> None:
    base = f"file://{tmp_path}"
    assert [each.outcome for each in await try_storage(base, by_links=False)] == [Outcome.OK]
    found = await try_storage(base, by_links=True)
    assert [each.outcome for each in found] == [Outcome.OK, Outcome.WARN]
    assert not _files(tmp_path)


def _files(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()]


async def test_a_base_that_is_no_store() -> None:
    (found,) = await try_storage("ftp://somewhere", by_links=False)
    assert found.outcome is Outcome.FAIL
    assert "ftp://somewhere" in found.text
