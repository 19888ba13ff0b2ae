"""The embedded stores: two SQLite files of a shop, ``events.db`` and ``decisions.db``."""

from features.store.sqlite_decisions import SqliteDecisions
from features.store.sqlite_events import SqliteEvents

__all__ = ["SqliteDecisions", "SqliteEvents"]
