"""E-mail addresses and their domains: validated, compared. PURE."""

import re

from controlplane.core.errors import InvalidError

_EMAIL = re.compile(r"[^@\s\x00-\x1f]{1,64}@[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?")
_EMAIL_DOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+")

# Everyone can have an address there, so it says nothing about whom an org trusts.
_PUBLIC_EMAIL_DOMAINS = frozenset({
    "gmail.com", "googlemail.com", "outlook.com", "hotmail.com", "live.com", "yahoo.com",
    "icloud.com", "me.com", "aol.com", "proton.me", "protonmail.com", "gmx.de", "gmx.net",
    "web.de", "mail.ru", "yandex.ru", "qq.com", "163.com",
})  # fmt: skip


def parse_email(email: str) -> str:
    """Validate an e-mail address; return it with its domain in lower case."""
    name, _, domain = email.strip().rpartition("@")
    address = f"{name}@{domain.lower()}"
    if not _EMAIL.fullmatch(address):
        raise InvalidError(f"{email[:80]!r} is not an e-mail address")
    return address


def is_same_address(one: str, other: str) -> bool:
    """Return whether two addresses reach the same mailbox, as people write them."""
    return bool(one) and one.casefold() == other.casefold()


def parse_email_domain(domain: str) -> str:
    """Validate a domain whose users may join; not one where everyone can have an address."""
    lower = domain.strip().lower().removeprefix("@")
    if len(lower) > 253 or not _EMAIL_DOMAIN.fullmatch(lower):
        raise InvalidError(f"{domain[:80]!r} is not the domain of an e-mail address")
    if lower in _PUBLIC_EMAIL_DOMAINS:
        raise InvalidError(f"anyone can have an address of {lower}; invite people by link instead")
    return lower


def domain_of(email: str) -> str:
    """Return the domain of an e-mail address, in lower case; "" for none."""
    return email.rpartition("@")[2].lower() if "@" in email else ""
