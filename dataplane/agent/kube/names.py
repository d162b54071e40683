"""
Converts arbitrary text to valid Kubernetes names, namespaces and label values.

PURE. Different texts never become the same name: a text that has to be shortened or rewritten
ends in a digest of the whole, and no text that is kept unchanged ends like that.
"""

import hashlib
import re
from collections.abc import Mapping, Sequence
from string import Formatter

MAX_LABEL = 63
"""Characters of a DNS label, and of a label's value."""
MAX_SUBDOMAIN = 253

_DIGEST = 16  # hexadecimal digits
_DIGESTED = re.compile(rf"(?:.*[-_.])?[0-9a-f]{{{_DIGEST}}}", re.DOTALL)
_DNS_LABEL = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(rf"{_DNS_LABEL.pattern}(?:\.{_DNS_LABEL.pattern})*")
_LABEL_NAME = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?")


def is_dns_label(text: str) -> bool:
    return len(text) <= MAX_LABEL and _DNS_LABEL.fullmatch(text) is not None


def is_subdomain(text: str) -> bool:
    return len(text) <= MAX_SUBDOMAIN and _SUBDOMAIN.fullmatch(text) is not None


def is_label_key(text: str) -> bool:
    """Return whether ``text`` is a valid key of a label, a taint or a node selector."""
    prefix, slash, name = text.rpartition("/")
    if slash and not is_subdomain(prefix):
        return False
    return len(name) <= MAX_LABEL and _LABEL_NAME.fullmatch(name) is not None


def is_annotation_key(text: str) -> bool:
    return is_label_key(text.lower())


def is_label_value(text: str) -> bool:
    return not text or (len(text) <= MAX_LABEL and _LABEL_NAME.fullmatch(text) is not None)


def as_label(text: str) -> str:
    """Return ``text`` as a label value: unchanged if valid, else a part of it and a digest."""
    if not text or (is_label_value(text) and not _DIGESTED.fullmatch(text)):
        return text
    return _digested(re.sub(r"[^A-Za-z0-9._-]", "-", text), text, MAX_LABEL)


def as_dns_label(text: str) -> str:
    """Return ``text`` as a DNS label: unchanged if valid, else a part of it and a digest."""
    if is_dns_label(text) and not _DIGESTED.fullmatch(text):
        return text
    return _digested(re.sub(r"[^a-z0-9-]+", "-", text.lower()), text, MAX_LABEL)


def render_namespace(template: str, values: Mapping[str, str]) -> str:
    """
    Return the namespace for these values, from a template such as "{project}-{domain}".

    The rendered text is used as it is if the values can be read back from it: of "a-b-c" the
    project is "a-b". Values that would read back as others ("a" and "b-c"), or whose text is no
    valid name, get a digest of the values.
    """
    text = template.format(**values)
    fields = template_fields(template)
    if not fields and is_dns_label(text):
        return text  # the template has no fields: one namespace for all
    used = {name: values[name] for name in fields}
    if is_dns_label(text) and not _DIGESTED.fullmatch(text) and _read_back(template, text) == used:
        return text
    whole = "\0".join([template, *used.values()])
    return _digested(re.sub(r"[^a-z0-9-]+", "-", text.lower()), whole, MAX_LABEL)


def template_fields(template: str) -> Sequence[str]:
    """Return the names of the fields of ``template``, each once, in order."""
    return list(dict.fromkeys(name for _, name, _, _ in Formatter().parse(template) if name))


def digest(text: str, length: int = _DIGEST) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:length]


def _read_back(template: str, text: str) -> Mapping[str, str] | None:
    """Parse the template's fields out of ``text``, the first field as long as possible."""
    pattern, seen = "", set[str]()
    for before, name, _, _ in Formatter().parse(template):
        pattern += re.escape(before)
        if name:
            pattern += f"(?P={name})" if name in seen else f"(?P<{name}>.+)"
            seen.add(name)
    found = re.fullmatch(pattern, text)
    return None if found is None else found.groupdict()


def _digested(readable: str, whole: str, most: int) -> str:
    kept = readable[: most - _DIGEST - 1].strip("-_.")
    return f"{kept}-{digest(whole)}" if kept else digest(whole)
