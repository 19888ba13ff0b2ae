"""Where models come from: the seam between serving and a registry, and its simplest side, folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

import orjson


class OriginError(Exception):
    """Where models come from does not answer, or holds nothing to serve; the message says which."""


@dataclass(frozen=True)
class Release:
    """One version of a model. Two releases are equal if they are the same bytes.

    Attributes:
        name: the model, such as ``recommender``.
        version: what people call it.
        location: where its bundle is, in the words of the origin.
    """

    name: str
    version: str
    location: str


@dataclass(frozen=True)
class Registered:
    """A version of the registry, as people see it. Times are UTC."""

    version: str
    aliases: tuple[str, ...]
    created_at: datetime | None
    run_id: str | None


class Origin(Protocol):
    """What a model can be followed in. Calls may block; they are made in threads."""

    def latest(self, name: str) -> Release:
        """What should be served of a model now. Cheap: asked every few seconds.

        Raises:
            OriginError: there is nothing to serve, or no answer.
        """
        ...

    def fetch(self, release: Release) -> Path:
        """The bundle folder of a release, on this machine's disk.

        Raises:
            OriginError: it cannot be had.
        """
        ...

    def versions(self, name: str) -> list[Registered]:
        """Every version of a model, newest first.

        Raises:
            OriginError: no answer.
        """
        ...


class Folders:
    """Bundle folders given by hand, one a model.

    A folder may be a symbolic link: moving the link to another bundle is a release, as moving an alias is. A bundle in
    use must not be written to.

    Args:
        folders: model name -> folder.
    """

    def __init__(self, folders: dict[str, Path]) -> None:
        self._folders = folders

    @property
    def names(self) -> frozenset[str]:
        """The models that there are folders of."""
        return frozenset(self._folders)

    def latest(self, name: str) -> Release:
        """The bundle that the folder of this model is, or links to. Its version is its folder's name."""
        folder = self._folders.get(name)
        if folder is None:
            raise OriginError(f"none of the given bundles is a {name}")
        try:
            target = folder.resolve(strict=True)
        except OSError as error:
            raise OriginError(f"{folder}: {error.strerror}") from None
        return Release(name, target.name, str(target))

    def fetch(self, release: Release) -> Path:
        """The folder itself."""
        return Path(release.location)

    def versions(self, name: str) -> list[Registered]:
        """The one there is."""
        if name not in self._folders:
            return []
        return [Registered(self.latest(name).version, aliases=(), created_at=None, run_id=None)]


def folders_of(bundles: Sequence[Path], *, name: str) -> Folders:
    """The origin of the bundle folders of a command line. Their manifests say which model each is.

    Args:
        bundles: the folders.
        name: the model of a bundle whose manifest names none.

    Raises:
        OriginError: two bundles of one model.
    """
    found: dict[str, Path] = {}
    for folder in bundles:
        model = _model_of(folder) or name
        if model in found:
            raise OriginError(f"2 bundles of one model ({model}) were given: {found[model]}, {folder}")
        found[model] = folder
    return Folders(found)


def _model_of(folder: Path) -> str | None:
    """The model that a bundle is of, if its manifest says so."""
    try:
        manifest = orjson.loads((folder / "manifest.json").read_bytes())
    except (OSError, ValueError):
        return None
    kind = manifest.get("kind") if isinstance(manifest, dict) else None
    return kind if isinstance(kind, str) else None
