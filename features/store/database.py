"""One SQLite file used by many threads and processes: connections, transactions, and errors that name the cure."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

from features.store.base import StoreError

BUSY_SECONDS = 30.0  # how long a writer waits for others

#: Pages of a WAL that is to begin anew: writers who never pause would make it grow for ever. 4 KB each.
LONG_WAL = 20_000

#: SQL parameters of one statement at most.
CHUNK = 512


class Cursor(Protocol):
    """What is used of a cursor."""

    def __iter__(self) -> Iterator[Any]: ...
    def fetchall(self) -> list[Any]:
        """All rows left."""
        ...

    def fetchone(self) -> Any:
        """The next row or None."""
        ...


class Connection(Protocol):
    """What is used of a connection: the part that sqlite3 and apsw have in common."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Cursor:
        """Run one statement."""
        ...

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]], /) -> Cursor:
        """Run one statement for each row."""
        ...

    def close(self) -> None:
        """Idempotent."""
        ...


Connect = Callable[[Path], Connection]


def connect(path: Path) -> Connection:
    """A connection of the standard library, which begins no transactions by itself."""
    return sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)


class Database:
    """An SQLite file in WAL mode, made if it is not there.

    A thread has a connection of its own, and so has a process: one that was forked opens its own. Readers never wait;
    writers take turns, of this process by a lock, of others by asking again.

    Args:
        path: the file; its folder is made.
        schema: statements that make the tables.
        version: of the schema. A file of another version is refused, unless it can be brought up to it.
        upgrades: from a version to the next one: statements. Processes that know the older one go on meanwhile, so they
            only add.
        synchronous: FULL: what is committed is on disk; NORMAL: it is once `sync` was called.
        checkpoints: whether commits move a long WAL into the file; otherwise only `sync` does.
        busy_seconds: how long a write waits for those of this process, and then for other processes.
        connect: makes a connection to the file; tests put other file systems beneath it.
        errors: what its library raises.

    Raises:
        StoreError: from every method, when the file cannot be used.
    """

    def __init__(
        self,
        path: Path,
        schema: Sequence[str],
        version: int,
        *,
        synchronous: Literal["FULL", "NORMAL"],
        checkpoints: bool = True,
        busy_seconds: float = BUSY_SECONDS,
        connect: Connect = connect,
        errors: tuple[type[Exception], ...] = (sqlite3.Error,),
        upgrades: Mapping[int, Sequence[str]] | None = None,
    ) -> None:
        self.path = path
        self._schema = schema
        self._version = version
        self._upgrades = upgrades or {}
        self._synchronous = synchronous
        self._checkpoints = checkpoints
        self._busy_seconds = busy_seconds
        self._connect = connect
        self._errors = errors
        self._closed = False
        self._begin()
        _make_folder(path.parent)
        self.read("SELECT 1")

    def _begin(self) -> None:
        """State of one process."""
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._local = threading.local()
        self._held: weakref.WeakSet[_Held] = weakref.WeakSet()

    def connection(self) -> Connection:
        """The connection of this thread."""
        if os.getpid() != self._pid:
            _PARENTS.append((self._local, self._held))
            self._begin()
        if self._closed:
            raise StoreError(f"{self.path} was closed")
        held: _Held | None = getattr(self._local, "held", None)
        if held is None:
            held = self._local.held = _Held(self._open())
            self._held.add(held)
        return held.connection

    def read(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        """The rows of one query."""
        try:
            return self.connection().execute(sql, parameters).fetchall()
        except self._errors as error:
            raise self._explained(error) from error

    def write(self, sql: str, parameters: Sequence[Any]) -> None:
        """One statement as a transaction."""
        connection = self.connection()
        with self._turn():
            try:
                connection.execute(sql, parameters)
            except self._errors as error:
                raise self._explained(error) from error

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Several queries on one state of the file."""
        connection = self.connection()
        try:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                connection.execute("COMMIT")
        except self._errors as error:
            raise self._explained(error) from error

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """One transaction: all of it or, after any exception, nothing."""
        connection = self.connection()
        with self._turn():
            try:
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield connection
                    connection.execute("COMMIT")
                except BaseException:
                    self._roll_back(connection)
                    raise
            except self._errors as error:
                raise self._explained(error) from error

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """The turn to write among the threads of this process."""
        # Were the wait unlimited, threads would add up those for a file that another process has locked.
        if not self._lock.acquire(timeout=self._busy_seconds):
            raise StoreError(f"{self.path}: its writers are {self._busy_seconds:g} seconds behind; try again")
        try:
            yield
        finally:
            self._lock.release()

    def _roll_back(self, connection: Connection) -> None:
        try:
            connection.execute("ROLLBACK")
        except self._errors:
            # SQLite ended the transaction itself, as it does when the disk is full. If it is open all the same,
            # whatever comes next on this connection would fail, so that the next one is a new one.
            self._local.held = None

    def sync(self) -> None:
        """What was committed is on disk when this returns; moves as much as possible into the file."""
        connection = self.connection()
        try:
            # Others may write meanwhile. It syncs the WAL, so that they do not wait long for the commit below.
            _, pages, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            with self._turn():
                if pages > LONG_WAL:  # when nothing is left in it, the next commit begins it anew
                    # FULL: other processes do not write into it before that, either.
                    with _waiting_for_nobody(connection, self._busy_seconds):
                        connection.execute("PRAGMA wal_checkpoint(FULL)").fetchall()
                connection.execute("PRAGMA synchronous=FULL")
                try:
                    # A commit that is on disk has all those before it on disk too: they are in one file.
                    with self.writing():
                        connection.execute("UPDATE synced SET times = times + 1")
                finally:
                    # Not of a connection that was given up for a new one.
                    self.connection().execute(f"PRAGMA synchronous={self._synchronous}")
        except self._errors as error:
            raise self._explained(error) from error

    def scrub(self) -> None:
        """What was deleted is in no file any more when this returns: the WAL is emptied into the file.

        Waits for whoever is reading; others may write meanwhile.
        """
        connection = self.connection()
        try:
            with _waiting_for_nobody(connection, self._busy_seconds):
                self._empty_wal(connection)
        except self._errors as error:
            raise self._explained(error) from error

    def _empty_wal(self, connection: Connection) -> None:
        until = time.monotonic() + BUSY_SECONDS
        while True:
            with self._lock:
                busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not busy:
                return
            if time.monotonic() > until:
                raise StoreError(
                    f"{self.path}: somebody keeps reading it, so that {self.path.name}-wal still holds what was "
                    "erased; erase again when they are done"
                )
            time.sleep(0.02)

    def close(self) -> None:
        """Close the connections of all threads of this process. Idempotent."""
        self._closed = True
        if os.getpid() == self._pid:
            for held in list(self._held):
                held.close()

    def _open(self) -> Connection:
        connection: Connection | None = None
        try:
            connection = self._connect(self.path)
            # Whoever closed it last may be moving a long WAL into the file.
            connection.execute(_busy_timeout(BUSY_SECONDS)).fetchall()
            for pragma in (
                # A new file begins with a rollback journal. Were its removal not on disk, it could come back after a
                # power cut and undo what the WAL had committed: EXTRA syncs the folder.
                "synchronous=EXTRA",
                "journal_mode=WAL",
                f"synchronous={self._synchronous}",
                f"wal_autocheckpoint={1000 if self._checkpoints else 0}",  # pages
                "secure_delete=ON",
                "cache_size=-8000",
            ):
                connection.execute(f"PRAGMA {pragma}").fetchall()
            if self._found_version(connection) == 0:
                self._make_tables(connection)
            while self._found_version(connection) in self._upgrades:
                self._upgrade(connection)
            connection.execute(_busy_timeout(self._busy_seconds)).fetchall()
        except self._errors as error:
            if connection is not None:
                connection.close()
            raise self._explained(error) from error
        if (found := self._found_version(connection)) != self._version:
            connection.close()
            raise StoreError(
                f"{self.path} has format {found}, this version of Segue reads format {self._version}; export it with "
                "the version that wrote it and import that into a new SEGUE_HOME"
            )
        return connection

    def _found_version(self, connection: Connection) -> int:
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        return version

    def _make_tables(self, connection: Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        if self._found_version(connection) == 0:  # else another process was first
            for statement in (*self._schema, "CREATE TABLE synced(times INTEGER)", "INSERT INTO synced VALUES (0)"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={self._version}")
        connection.execute("COMMIT")

    def _upgrade(self, connection: Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        version = self._found_version(connection)
        for statement in self._upgrades.get(version, ()):  # none if another process was first
            connection.execute(statement)
        if version in self._upgrades:
            connection.execute(f"PRAGMA user_version={version + 1}")
        connection.execute("COMMIT")

    def _explained(self, error: Exception) -> StoreError:
        text = str(error)
        if "full" in text:
            cure = "the disk is full; make room"
        elif "locked" in text or "busy" in text.lower():
            cure = f"another process has kept it locked for {self._busy_seconds:g} seconds; see which one"
        elif "malformed" in text or "not a database" in text:
            cure = "the file is damaged or no store; put a backup in its place, or move it away to begin anew"
        elif "UNIQUE" in text:
            cure = "there is one of that id already"
        elif "readonly" in text or "unable to open" in text:
            cure = "it cannot be written to; check the rights of file and folder"
        else:
            cure = "check disk and file system"
        return StoreError(f"{self.path}: {cure} ({text})")


def _busy_timeout(seconds: float) -> str:
    return f"PRAGMA busy_timeout={round(seconds * 1000)}"


@contextmanager
def _waiting_for_nobody(connection: Connection, otherwise: float) -> Iterator[None]:
    """SQLite would wait for readers with the file locked against writers: it is to give up at once."""
    connection.execute(_busy_timeout(0)).fetchall()
    try:
        yield
    finally:
        connection.execute(_busy_timeout(otherwise)).fetchall()


class _Held:
    """A connection that is closed when nobody holds it any more, such as at the end of its thread."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def close(self) -> None:
        self.connection.close()

    def __del__(self) -> None:
        self.connection.close()


#: Connections of the process that forked this one. They must neither be used here nor closed, which would take away the
#: parent's locks on the file.
_PARENTS: list[object] = []


def _make_folder(folder: Path) -> None:
    """Make a folder whose entry is on disk too."""
    try:
        for missing in reversed([one for one in (folder, *folder.parents) if not one.exists()]):
            missing.mkdir(exist_ok=True)
            descriptor = os.open(missing.parent, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
    except OSError as error:
        raise StoreError(f"{folder} cannot be made ({error.strerror}); check the rights of the folder above") from error


def among(connection: Connection, sql: str, values: Sequence[Any]) -> Iterator[Any]:
    """The rows of a query with ``IN ({})``, for any number of values. Few statements, so they stay prepared."""
    for start in range(0, len(values), CHUNK):
        part = list(values[start : start + CHUNK])
        part += part[-1:] * ((1 << (len(part) - 1).bit_length()) - len(part))
        yield from connection.execute(sql.format(",".join("?" * len(part))), part)
