"""
Decide for which URIs an attempt may get signed links.

It may write below its own prefixes. It may read below its run's base, and what its inputs name:
uploads, and results of other runs. All of it is its org's; a link is signed with the agent's
access to the bucket, so this check keeps callers from using more of it.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator

from flyteidl2.core.literals_pb2 import Literal
from flyteidl2.task.common_pb2 import Inputs
from google.protobuf.message import DecodeError

from dataplane.agent.proxy import proxy_limits
from dataplane.agent.proxy.callers import Caller
from dataplane.agent.proxy.errors import Code, PodCallRefusedError
from shared.blobs.errors import BlobError, BlobNotFoundError, BlobStoreError
from shared.blobs.store import BlobStore
from shared.model.uris import is_below


class UriForbiddenError(Exception):
    """The attempt may not access the URI; the message gives the reason."""


class UriPolicy:
    def __init__(self, open_store: Callable[[str], BlobStore]) -> None:
        self._open_store = open_store
        self._stores: OrderedDict[str, BlobStore] = OrderedDict()
        self._named: OrderedDict[str, frozenset[str]] = OrderedDict()  # by inputs.pb
        self._reading: dict[str, asyncio.Lock] = {}

    def store(self, caller: Caller) -> BlobStore:
        """Return the store of the attempt's run; PodCallRefusedError if it cannot be opened."""
        base = _base(caller)
        store = self._stores.pop(base, None)
        if store is None:
            try:
                store = self._open_store(base)
            except (ValueError, BlobStoreError) as error:
                raise PodCallRefusedError(
                    Code.PERMISSION_DENIED, f"the agent cannot open the store {base}: {error}"
                ) from error
        self._stores[base] = store
        while len(self._stores) > proxy_limits.STORES_OPEN:
            self._stores.popitem(last=False)
        return store

    def require_written(self, caller: Caller, uri: str) -> None:
        """Raise UriForbiddenError unless the attempt may write there."""
        if not any(is_below(uri, own) for own in (caller.output_prefix, caller.raw_data_prefix)):
            raise UriForbiddenError(
                f"{uri} is below neither {caller.output_prefix} nor {caller.raw_data_prefix},"
                " where the attempt may write"
            )
        if not is_below(uri, _org(caller)):
            raise UriForbiddenError(
                f"{uri} is outside {_org(caller)}, where raw containers of this org write; choose"
                " a raw_data_storage below it, or leave it out"
            )

    async def require_read(self, caller: Caller, uri: str) -> None:
        """
        Raise UriForbiddenError unless the attempt may read it: first of all it must be its
        org's.
        """
        if is_below(uri, _org(caller)):
            if uri == caller.input_uri or is_below(uri, caller.run_base):
                return
            named = await self._inputs(caller)
            if uri in named or any(is_below(uri, each) for each in named):
                return
        raise UriForbiddenError(
            f"{uri} is neither below the run {caller.run} nor named by the inputs of the attempt"
        )

    async def _inputs(self, caller: Caller) -> frozenset[str]:
        """Return the URIs that the attempt's inputs name; read once, however many ask."""
        uri = caller.input_uri
        lock = self._reading.setdefault(uri, asyncio.Lock())
        try:
            async with lock:
                named = self._named.pop(uri, None)
                if named is None:
                    named = await self._read_inputs(caller)
                self._named[uri] = named
        finally:
            if not lock.locked():
                self._reading.pop(uri, None)
        while (
            len(self._named) > 1 and sum(map(len, self._named.values())) > proxy_limits.URIS_KNOWN
        ):
            self._named.popitem(last=False)
        return named

    async def _read_inputs(self, caller: Caller) -> frozenset[str]:
        if not is_below(caller.input_uri, _org(caller)):
            return frozenset()  # the URIs that another org's inputs name are not disclosed either
        store = self.store(caller)
        try:
            body = await store.read(caller.input_uri, limit=proxy_limits.INPUTS_BYTES)
            inputs = Inputs.FromString(body)
        except BlobNotFoundError:
            return frozenset()
        except BlobStoreError as error:
            raise PodCallRefusedError(
                Code.UNAVAILABLE, f"the inputs could not be read: {error}"
            ) from error
        except (BlobError, DecodeError) as error:
            raise PodCallRefusedError(
                Code.PERMISSION_DENIED, f"the inputs are invalid: {error}"
            ) from error
        return frozenset(
            uri.rstrip("/") for named in inputs.literals for uri in _uris(named.value) if uri
        )


def _uris(literal: Literal) -> Iterator[str]:
    """Yield every URI of a blob, file or table that a literal names."""
    match literal.WhichOneof("value"):
        case "scalar":
            scalar = literal.scalar
            match scalar.WhichOneof("value"):
                case "blob":
                    yield scalar.blob.uri
                case "structured_dataset":
                    yield scalar.structured_dataset.uri
                case "schema":
                    yield scalar.schema.uri
                case "union":
                    yield from _uris(scalar.union.value)
                case _:
                    pass
        case "collection":
            for each in literal.collection.literals:
                yield from _uris(each)
        case "map":
            for each in literal.map.literals.values():
                yield from _uris(each)
        case "offloaded_metadata":
            yield literal.offloaded_metadata.uri
        case _:
            pass


def _base(caller: Caller) -> str:
    """Return the base of the store: what is above the org in the run's own base."""
    run = caller.run
    suffix = f"/{caller.org}/{run.project}/{run.domain}/{run.name}"
    base = caller.run_base.rstrip("/")
    if not base.endswith(suffix):
        raise PodCallRefusedError(
            Code.PERMISSION_DENIED,
            f"the agent signs no links below {base}: it is not of this org's runs",
        )
    return base.removesuffix(suffix)


def _org(caller: Caller) -> str:
    return f"{_base(caller)}/{caller.org}"
