"""The ledger of a cluster keeps the promises of ledgers."""

import pytest

from dataplane.agent.kube.client import Kube
from tests.contract.ledger.promises import LedgerPromises, Open
from tests.kube.api.ledger.conftest import OpenWith


class TestTaskActions(LedgerPromises):
    @pytest.fixture
    def reopen(self, kube: Kube, open_with: OpenWith) -> Open:
        return lambda: open_with(kube)
