"""What is left after a power cut: a file system that forgets every write that was not synced.

SQLite runs (by apsw) on files in memory. Each write, truncation, creation and removal is only remembered, until it is
synced. At many moments we pull the plug: what is on the disk is what was synced, and of what was written since then
nothing, or any part. Then the store of the standard library opens that disk.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import apsw
import pytest

from features.store import database
from features.store.base import StoreError
from features.store.database import Connection
from features.store.sqlite import SqliteDecisions, SqliteEvents
from tests.features.store.contract import decision, event

#: A change of a file that was not synced: bytes written at a place, or (None) the file cut at a place.
Change = tuple[int, bytes | None]

_names = count()


@dataclass
class DiskFile:
    """A file: as the running system sees it, as it was last synced (None: not at all), and what came since."""

    seen: bytearray = field(default_factory=bytearray)
    synced: bytes | None = None
    since: list[Change] = field(default_factory=list)

    def change(self, change: Change) -> None:
        _apply(self.seen, change)
        self.since.append(change)

    def sync(self) -> None:
        self.synced, self.since = bytes(self.seen), []

    def after_power_cut(self, rng: random.Random, kept: float) -> bytes | None:
        """kept: how likely a change that was not synced is on the disk all the same, perhaps only its first half."""
        found = bytearray(self.synced or b"")
        survived = self.synced is not None
        for place, written in self.since:
            if rng.random() < kept:
                survived = True
                torn = written is not None and rng.random() < 0.2
                _apply(found, (place, written[: len(written) // 2] if torn and written is not None else written))
        return bytes(found) if survived else None


def _apply(content: bytearray, change: Change) -> None:
    place, written = change
    if written is None:
        del content[place:]
        return
    content.extend(bytes(max(0, place - len(content))))
    content[place : place + len(written)] = written


class Disk(apsw.VFS):
    """A file system in memory. ``watch`` is called before whatever changes something."""

    def __init__(self) -> None:
        self.name = f"forgetful{next(_names)}"
        self.files: dict[str, DiskFile] = {}
        self.watch: Callable[[], None] = lambda: None
        super().__init__(self.name, base="")

    def xFullPathname(self, name: str) -> str:  # noqa: N802
        return name

    def xAccess(self, pathname: str, flags: int) -> bool:  # noqa: N802
        return pathname in self.files

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        self.watch()
        if filename not in self.files:
            raise apsw.IOError
        if syncdir:
            del self.files[filename]
        else:  # it may be there again
            self.files[filename].change((0, None))

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> Any:  # noqa: N802
        path = name.filename() if isinstance(name, apsw.URIFilename) else (name or f"temporary{next(_names)}")
        flags[1] = flags[0]
        return OpenFile(self, self.files.setdefault(path, DiskFile()))

    def after_power_cut(self, rng: random.Random, kept: float) -> dict[str, bytes]:
        left = {name: file.after_power_cut(rng, kept) for name, file in self.files.items()}
        return {name: content for name, content in left.items() if content is not None}

    def connect(self, path: Path) -> Connection:
        connection = apsw.Connection(str(path), vfs=self.name)
        # WAL without memory shared between processes, which files of Python cannot offer.
        connection.execute("PRAGMA locking_mode=EXCLUSIVE").fetchall()
        return connection

    def careless(self, path: Path) -> Connection:
        """A connection that never syncs."""
        return Careless(self.connect(path))


class OpenFile:
    """What SQLite calls of an open file."""

    def __init__(self, disk: Disk, file: DiskFile) -> None:
        self._disk = disk
        self._file = file

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802
        return bytes(self._file.seen[offset : offset + amount])

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        self._disk.watch()
        self._file.change((offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        self._disk.watch()
        self._file.change((newsize, None))

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._disk.watch()
        self._file.sync()

    def xFileSize(self) -> int:  # noqa: N802
        return len(self._file.seen)

    def xClose(self) -> None: ...  # noqa: N802
    def xLock(self, level: int) -> None: ...  # noqa: N802
    def xUnlock(self, level: int) -> None: ...  # noqa: N802

    def xCheckReservedLock(self) -> bool:  # noqa: N802
        return False

    def xFileControl(self, op: int, pointer: int) -> bool:  # noqa: N802
        return False

    def xSectorSize(self) -> int:  # noqa: N802
        return 512

    def xDeviceCharacteristics(self) -> int:  # noqa: N802
        return 0  # a disk that promises nothing


class Careless:
    """A connection on which nobody waits for the disk."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.executemany = connection.executemany
        self.close = connection.close

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        return self._connection.execute("PRAGMA synchronous=OFF" if "synchronous" in sql else sql, parameters)


@dataclass
class Cut:
    """A power cut: how many steps were acknowledged before, and what was left on the disk."""

    acknowledged: int
    files: dict[str, bytes]


class Plug:
    """Pulled at random moments, and at least once between any two steps, while the system goes on all the same."""

    def __init__(self, disk: Disk, rng: random.Random) -> None:
        self.cuts: list[Cut] = []
        self.steps = 0
        self._disk = disk
        self._rng = rng
        disk.watch = self._perhaps

    def acknowledged(self) -> None:
        self.steps += 1
        self._pull()

    def _perhaps(self) -> None:
        if self._rng.random() < 0.05:
            self._pull()

    def _pull(self) -> None:
        kept = self._rng.choice([0.0, 0.3, 0.9])
        self.cuts.append(Cut(self.steps, self._disk.after_power_cut(self._rng, kept)))


def restored(cut: Cut, folder: Path) -> Path:
    """The disk after the cut, in a real folder."""
    folder.mkdir()
    for name, content in cut.files.items():
        (folder / Path(name).name).write_bytes(content)
    return folder


def is_sound(file: Path) -> bool:
    connection = sqlite3.connect(file)
    try:
        return bool(connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)])
    finally:
        connection.close()


def steps(rng: random.Random) -> list[tuple[str, Any]]:
    """What a shop does: batches of events, among them duplicates, products, settings, and somebody erased."""
    made: list[tuple[str, Any]] = []
    text = "long " * 40
    for number in range(60):
        who, said = f"c{number % 5}", {"x": text}
        batch = [
            event("view", number, customer_id=who, product_id=f"p{k}", event_id=f"{number}/{k}", more=said)
            for k in range(rng.choice([1, 3, 40]))
        ]
        if made and made[-1][0] == "append":
            batch.append(made[-1][1][0])
        made.append(("append", batch))
        if number % 10 == 5:
            made.append(("products", [(f"p{number}", {"price": number})]))
            made.append(("setting", f"s{number}"))
        if number % 20 == 19:
            made.append(("erase", "c3"))
    return made


def do(store: SqliteEvents, step: tuple[str, Any]) -> None:
    match step:
        case ("append", batch):
            store.append(batch)
        case ("products", products):
            store.put_products(products, at=0)
        case ("setting", name):
            store.setting(name, name)
        case (_, customer_id):
            store.erase(customer_id=customer_id, at=0)


def said(store: SqliteEvents) -> dict[str, Any]:
    """All that the steps leave behind."""
    settings = store._database.read("SELECT name FROM settings ORDER BY name")
    return {
        "rows": store.rows(),
        "mark": store.watermark(),
        "traffic": store.traffic().seq.tolist(),
        "products": store.product_changes(),
        "erased": store.erased(),
        "settings": [name for (name,) in settings],
    }


def run(connect: Callable[[Path], Connection], disk: Disk, seed: int) -> tuple[list[Cut], list[dict[str, Any]]]:
    """Cuts, and what the store said after each step."""
    rng = random.Random(seed)  # noqa: S311
    plug = Plug(disk, rng)
    store = SqliteEvents(Path("/home/events.db"), connect=connect, errors=(apsw.Error,))
    expected = [said(store)]
    plug.cuts.clear()  # before it was open there was no store
    for step in steps(rng):
        do(store, step)
        plug.acknowledged()
        expected.append(said(store))
    store.close()
    return plug.cuts, expected


def lost(cut: Cut, expected: list[dict[str, Any]], folder: Path) -> bool:
    """Whether the store after a cut holds anything but what was acknowledged, and perhaps the step under way."""
    restored(cut, folder)
    try:
        if not is_sound(folder / "events.db"):
            return True
        store = SqliteEvents(folder / "events.db")
        try:
            return said(store) not in expected[cut.acknowledged : cut.acknowledged + 2]
        finally:
            store.close()
    except (StoreError, sqlite3.Error):
        return True


def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    disk = Disk()
    cuts, expected = run(disk.connect, disk, 0)
    assert len(cuts) > 100
    assert not [number for number, cut in enumerate(cuts) if lost(cut, expected, tmp_path / str(number))]


def test_without_syncing_much_would_be_lost(tmp_path: Path) -> None:
    """The test itself is tested: with writes that are never synced it finds losses."""
    disk = Disk()
    cuts, expected = run(disk.careless, disk, 0)
    assert any(lost(cut, expected, tmp_path / str(number)) for number, cut in enumerate(cuts))


@pytest.mark.parametrize("long_wal", [0, database.LONG_WAL])
def test_flushed_decisions_are_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, long_wal: int) -> None:
    monkeypatch.setattr(database, "LONG_WAL", long_wal)
    disk, rng = Disk(), random.Random(0)  # noqa: S311
    store = SqliteDecisions(Path("/home/decisions.db"), connect=disk.connect, errors=(apsw.Error,))
    plug = Plug(disk, rng)
    for number in range(200):
        store.write(decision(str(number)))
        if number % 20 == 19:
            store.flush()
            plug.acknowledged()
    store.close()
    for number, cut in enumerate(plug.cuts):
        folder = restored(cut, tmp_path / str(number))
        assert is_sound(folder / "decisions.db")
        left = SqliteDecisions(folder / "decisions.db")
        found = [int(identifier) for _, identifier in left.ids()]
        left.close()
        assert len(found) >= 20 * cut.acknowledged
        assert found == list(range(len(found)))
