"""Runs the ledger's contract tests on the TaskAction journal."""

import pytest

from dataplane.agent.kube.client import Kube
from tests.contract.ledger.promises import LedgerPromises, Open
from tests.kube.api.ledger.conftest import OpenWith


class TestTaskActions(LedgerPromises):
    @pytest.fixture
    def reopen(self, kube: Kube, open_with: OpenWith) -> Open:
        return lambda: open_with(kube)
