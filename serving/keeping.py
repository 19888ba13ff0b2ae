"""What decisions refer to is kept as long as they are: bundles, as folders named by their content, and rules."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from pathlib import Path

from features.store.base import DecisionStore, StoreError

#: A bundle nobody refers to may be about to be: a process that loaded it has not decided yet.
_YOUNG_SECONDS = 86_400.0

_PATIENCE_SECONDS = 10.0


class Keeping:
    """The bundles below one folder, and the texts of a decision log.

    Args:
        folder: where bundles are kept.
        decisions: the log.
    """

    def __init__(self, folder: Path, decisions: DecisionStore) -> None:
        self.folder = folder
        self._decisions = decisions

    def bundle(self, found: Path) -> Path:
        """A copy of a bundle, named by the SHA-256 of all that is in it; made if there is none.

        What is copied out of a cache of ours is linked, at no cost.
        """
        files = sorted(file for file in found.rglob("*") if file.is_file())
        digest = hashlib.sha256()
        for file in files:
            digest.update(f"{file.relative_to(found)} {file.stat().st_size}\n".encode())
            with file.open("rb") as content:
                digest.update(hashlib.file_digest(content, "sha256").digest())
        kept = self.folder / digest.hexdigest()[:32]
        if not kept.is_dir():
            self.folder.mkdir(parents=True, exist_ok=True)
            ours = found.resolve().is_relative_to(self.folder.parent.resolve())
            arriving = Path(tempfile.mkdtemp(prefix=".arriving-", dir=self.folder))
            try:
                copy = os.link if ours else shutil.copyfile
                shutil.copytree(found, arriving, dirs_exist_ok=True, copy_function=copy)
                arriving.rename(kept)
            except OSError:
                if not kept.is_dir():  # else another process was first, with the same bytes
                    raise
            finally:
                shutil.rmtree(arriving, ignore_errors=True)
        os.utime(kept)  # the time of last use
        return kept

    def text(self, text: str) -> str:
        """Keep a text; returns its digest. Waits a while if others write: a model is not to be refused for that.

        Raises:
            features.store.base.StoreError: it cannot be kept.
        """
        until = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                return self._decisions.keep_text(text)
            except StoreError:
                if time.monotonic() > until:
                    raise
            time.sleep(0.05)

    def prune(self, serving: set[str]) -> int:
        """Remove the bundles that no decision refers to, that are not ``serving`` (folder names) and not used today."""
        if not self.folder.is_dir():
            return 0
        used = self._decisions.bundles() | serving
        old = time.time() - _YOUNG_SECONDS
        idle = [one for one in self.folder.iterdir() if one.name not in used and one.stat().st_mtime < old]
        for one in idle:
            shutil.rmtree(one, ignore_errors=True)
        return len(idle)
