"""Both stores in memory."""

from features.store.memory_decisions import MemoryDecisions
from features.store.memory_events import MemoryEvents

__all__ = ["MemoryDecisions", "MemoryEvents"]
