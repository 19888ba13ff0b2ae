from __future__ import annotations

import pytest

from features.store.memory import MemoryDecisions, MemoryEvents
from tests.features.store.contract import DecisionStoreContract, EventStoreContract


class TestMemoryEvents(EventStoreContract):
    @pytest.fixture
    def store(self) -> MemoryEvents:
        return MemoryEvents()


class TestMemoryDecisions(DecisionStoreContract):
    @pytest.fixture
    def store(self) -> MemoryDecisions:
        return MemoryDecisions()
