"""Tests of the channel to the control plane: loopback, token and CA files."""

from pathlib import Path

import pytest

from dataplane.agent.link.channel import DialError, Token, is_loopback, open_channel


@pytest.mark.parametrize(
    "address", ["localhost:8101", "127.0.0.1:8101", "127.8.9.1:1", "[::1]:8101"]
)
def test_loopback_address_is_recognized(address: str) -> None:
    assert is_loopback(address)


@pytest.mark.parametrize(
    "address", ["volary.example.com:443", "10.0.0.1:8101", "localhost.example.com:1", "0.0.0.0:1"]
)
def test_other_address_is_not_loopback(address: str) -> None:
    assert not is_loopback(address)


def test_token_file_is_reread_for_each_session(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("first\n")
    token = Token(path)
    assert token.metadata() == (("authorization", "Bearer first"),)

    path.write_text("second")
    assert token.metadata() == (("authorization", "Bearer second"),)


@pytest.mark.parametrize("text", ["", "  \n", "two words", "töken", "x" * 20_000])
def test_invalid_token_is_refused_without_quoting_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "token"
    path.write_text(text)

    with pytest.raises(DialError, match="--token-file") as refused:
        Token(path).metadata()
    assert not text.strip() or text.strip() not in str(refused.value)


def test_missing_token_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DialError, match="cannot be read"):
        Token(tmp_path / "none").metadata()


async def test_missing_ca_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DialError, match="--ca-file"):
        open_channel("volary.example.com:443", tmp_path / "none")
