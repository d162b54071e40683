"""
Reads secrets from the manager for many attempts at once.

While one call is under way the ids of the next one gather, each once: the 10,000 tasks of a
fan-out that name one secret cost a few calls, without a cache that would delay a new value.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence

from dataplane.agent.core.secrets import SecretsRefusedError, SecretsUnavailableError
from dataplane.agent.secret_managers.protocol import SecretManager
from shared.kit.batching import Batcher, OverfullError, StoppedError
from shared.kit.secrets import SecretBytes
from shared.model.secrets import MAX_VALUE_BYTES, SecretName, list_candidates

logger = logging.getLogger(__name__)

_MOST_WAITING = 10_000  # ids


class SecretReader:
    """Implements :class:`dataplane.agent.runtimes.secrets.OutsideSecrets`."""

    def __init__(self, manager: SecretManager) -> None:
        self._manager = manager
        self._batcher: Batcher[str, str, SecretBytes | None] = Batcher(
            self._read,
            most=_MOST_WAITING,
            most_waiting=_MOST_WAITING,
            shared_fate=(SecretsUnavailableError,),
        )

    async def run(self) -> None:
        """Make the calls until cancelled; then close the manager."""
        try:
            await self._batcher.run()
        finally:
            self._manager.close()

    async def find(self, asked: Iterable[SecretName]) -> Mapping[str, SecretBytes]:
        """
        Return values by key, each of the narrowest scope that has it.

        SecretsUnavailableError, SecretsRefusedError.
        """
        ids = {name.name: self._ids(name) for name in asked}
        wanted = sorted({each for candidates in ids.values() for each in candidates})
        try:
            async with asyncio.TaskGroup() as tasks:
                reads = {each: tasks.create_task(self._submit(each)) for each in wanted}
        except* SecretsRefusedError as refusals:
            raise refusals.exceptions[0] from refusals
        except* SecretsUnavailableError as failures:
            raise failures.exceptions[0] from failures
        values = {each: read.result() for each, read in reads.items()}
        found = {}
        for key, candidates in ids.items():
            for each in candidates:
                value = values[each]
                if value is not None:
                    found[key] = value
                    break
        return found

    def describe(self, asked: SecretName) -> str:
        """Return where a secret is looked for: the manager, and the ids it is asked for."""
        ids = self._ids(asked)
        if not ids:
            return f"{self._manager.title}, which can have no secret of this name"
        return f"{self._manager.title} ({'; '.join(ids)})"

    def _ids(self, name: SecretName) -> Sequence[str]:
        """Return the ids of the scopes, narrowest first."""
        rendered = (self._manager.id_of(each) for each in list_candidates(name))
        return [each for each in rendered if each]

    async def _submit(self, secret_id: str) -> SecretBytes | None:
        try:
            return await self._batcher.submit("", secret_id)
        except (OverfullError, StoppedError) as error:
            raise SecretsUnavailableError(f"{self._manager.title}: {error}") from error

    async def _read(self, _: str, ids: Sequence[str]) -> Sequence[SecretBytes | None]:
        distinct, most = sorted(set(ids)), self._manager.most
        found: dict[str, SecretBytes] = {}
        for start in range(0, len(distinct), most):
            page = distinct[start : start + most]
            try:
                found |= await asyncio.to_thread(self._manager.read, page)
            except SecretsUnavailableError as error:
                # The call was for attempts of several projects: only the log may name the ids.
                logger.warning(
                    "secret manager unavailable",
                    extra={"manager": self._manager.title, "detail": str(error)},
                )
                raise SecretsUnavailableError(
                    f"{self._manager.title} cannot be read now; see the agent's log"
                ) from error
        for secret_id, value in found.items():
            if len(value.reveal()) > MAX_VALUE_BYTES:
                raise SecretsRefusedError(
                    f"{secret_id} of {self._manager.title} has {len(value.reveal())} bytes; a "
                    f"secret may have {MAX_VALUE_BYTES}"
                )
        return [found.get(each) for each in ids]
