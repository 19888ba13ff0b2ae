"""The model registry: the one module of serving that knows MLflow.

It needs no more than mlflow-skinny (with SQLAlchemy where the registry is a database file), and imports it when the
registry is first asked, so a service that runs from bundle folders never does.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from features.gate import ModelVersion, UnknownModelError
from serving.origins import OriginError, Registered, Release

if TYPE_CHECKING:
    from mlflow import MlflowClient

_Found = TypeVar("_Found")

#: The file that tells the bundle's folder from all else that an MLflow model holds.
MANIFEST = "manifest.json"

#: Bundles kept on disk, so that a roll-back needs no download.
_KEPT = 4

#: A registry that is down should be noticed between two polls, not after MLflow's own fourteen minutes of retries.
_IMPATIENCE = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


class Registry:
    """Models registered in MLflow, followed by alias.

    Args:
        tracking_uri: an MLflow server (http…) or a database (sqlite:///…). A database file that is not there is
            reported, never created.
        alias: what marks the version to serve.
        cache: folder for downloaded bundles.
    """

    def __init__(self, tracking_uri: str, alias: str, cache: Path) -> None:
        self._tracking_uri = tracking_uri
        self._shown = _without_password(tracking_uri)
        self._alias = alias
        self._cache = cache

    def latest(self, name: str) -> Release:
        """The version that has the alias."""
        with self._asking():
            from mlflow.exceptions import MlflowException

            try:
                version = self._client.get_registered_model(name).aliases.get(self._alias)
            except MlflowException as error:
                if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    raise OriginError(f"no model {name} in {self._shown}") from None
                raise
            if version is None:
                raise OriginError(f"no version of {name} has the alias {self._alias} in {self._shown}")
            return Release(name, str(version), self._client.get_model_version_download_uri(name, str(version)))

    def fetch(self, release: Release) -> Path:
        """Download a release, unless it is in the cache. Processes that share a cache may do so at the same time."""
        digest = hashlib.sha256(f"{self._tracking_uri} {release.location}".encode()).hexdigest()[:12]
        kept = self._cache / release.name / f"{release.version}-{digest}"
        if not kept.is_dir():
            kept.parent.mkdir(parents=True, exist_ok=True)
            arriving = Path(tempfile.mkdtemp(prefix=".arriving-", dir=kept.parent))
            try:
                self._download(release, arriving)
                _move(arriving, kept)
            finally:
                shutil.rmtree(arriving, ignore_errors=True)
        os.utime(kept)  # the time of last use
        _forget_oldest(kept.parent)
        return _bundle_in(kept)

    def versions(self, name: str) -> list[Registered]:
        """Every version with its aliases."""
        with self._asking():
            found = self._client.search_model_versions(f"name = '{name}'", max_results=1000)
            aliases: dict[str, list[str]] = {}
            if found:
                for alias, version in self._client.get_registered_model(name).aliases.items():
                    aliases.setdefault(str(version), []).append(alias)
            return [
                Registered(
                    version=str(one.version),
                    aliases=tuple(sorted(aliases.get(str(one.version), []))),
                    created_at=datetime.fromtimestamp(one.creation_timestamp / 1000, UTC),
                    run_id=one.run_id or None,
                )
                for one in sorted(found, key=lambda one: int(one.version), reverse=True)
            ]

    def aliased(self, alias: str) -> Aliased:
        """The registry as the gate sees it, which moves one alias."""
        return Aliased(self, alias)

    def move(self, name: str, alias: str, version: int) -> None:
        """Give an alias to a version, whatever had it."""
        with self._asking():
            self._client.set_registered_model_alias(name, alias, str(version))

    def mark_champion(self, name: str, version: int) -> None:
        """Remember that a version was champion."""
        with self._asking():
            self._client.set_model_version_tag(name, str(version), "was_champion", "true")

    def holder(self, name: str, alias: str) -> int | None:
        """The version that has an alias; None if none has, or there is no such model."""
        with self._asking():
            found = self._or_none(lambda: self._client.get_registered_model(name))
            return None if found is None or alias not in found.aliases else int(found.aliases[alias])

    def version(self, name: str, version: int) -> ModelVersion:
        """One version, with its evidence.

        Raises:
            UnknownModelError: there is none.
            OriginError: no answer.
        """
        with self._asking():
            found = self._or_none(lambda: self._client.get_model_version(name, str(version)))
            model = self._or_none(lambda: self._client.get_registered_model(name))
        if found is None or model is None:
            raise UnknownModelError(f"there is no version {version} of a model named {name!r}")
        return ModelVersion(
            name=name,
            version=version,
            aliases=tuple(sorted(alias for alias, holder in model.aliases.items() if int(holder) == version)),
            was_champion=found.tags.get("was_champion") == "true",
            verdict=found.tags.get("verdict"),
            config=found.tags.get("config"),
            data=found.tags.get("data"),
            run_id=found.run_id or None,
            created=int(found.creation_timestamp),
        )

    def _or_none(self, ask: Callable[[], _Found]) -> _Found | None:
        """What MLflow finds, None where it says that there is no such thing."""
        from mlflow.exceptions import MlflowException

        try:
            return ask()
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise

    def _download(self, release: Release, folder: Path) -> None:
        with self._asking():
            from mlflow.artifacts import download_artifacts

            download_artifacts(artifact_uri=release.location, dst_path=str(folder), tracking_uri=self._tracking_uri)

    @cached_property
    def _client(self) -> MlflowClient:
        for variable, value in _IMPATIENCE.items():
            os.environ.setdefault(variable, value)
        from mlflow import MlflowClient

        return MlflowClient(tracking_uri=self._tracking_uri, registry_uri=self._tracking_uri)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """What goes wrong in MLflow or below it comes out as an `OriginError` of one line."""
        scheme, _, file = self._tracking_uri.partition(":///")
        if scheme == "sqlite" and not Path(file).is_file():
            # MLflow would make the database, at a cost of five seconds and 65 tables, only to find it empty.
            raise OriginError(f"there is no model registry at {file} yet")
        try:
            yield
        except OriginError:
            raise
        except Exception as error:  # MLflow, SQLAlchemy, requests and cloud clients each raise their own
            first_line = str(error).partition("\n")[0]
            first_line = first_line.replace(self._tracking_uri, self._shown)
            raise OriginError(f"{self._shown}: {type(error).__name__}: {first_line}") from error


class Aliased:
    """`features.gate.Registry` over one alias: who has it is the champion."""

    def __init__(self, registry: Registry, alias: str) -> None:
        self._registry = registry
        self._alias = alias

    def version(self, name: str, version: int) -> ModelVersion:
        """One version."""
        return self._registry.version(name, version)

    def champion(self, name: str) -> ModelVersion | None:
        """The version that has the alias."""
        version = self._registry.holder(name, self._alias)
        return None if version is None else self._registry.version(name, version)

    def crown(self, name: str, version: int) -> None:
        """Move the alias. MLflow cannot compare and swap: of two promotions in the same instant the later one wins."""
        before = self._registry.holder(name, self._alias)
        if before is not None:  # first, so that a crash in between cannot lose the way back
            self._registry.mark_champion(name, before)
        self._registry.move(name, self._alias, version)
        self._registry.mark_champion(name, version)


def _without_password(uri: str) -> str:
    """The address as it may be shown: errors are told by ``/health/ready``, which is open to all."""
    return re.sub(r"//[^/@]*@", "//…@", uri)


def _move(arriving: Path, kept: Path) -> None:
    try:
        arriving.rename(kept)
    except OSError:
        if not kept.is_dir():  # else another process was first, with the same bytes
            raise


def _bundle_in(folder: Path) -> Path:
    """The bundle inside a downloaded model: registered as such, or as an artifact of a pyfunc model."""
    manifests = sorted(folder.rglob(MANIFEST), key=lambda path: (len(path.parts), path))
    if not manifests:
        raise OriginError(f"{folder}: the registered model holds no bundle ({MANIFEST})")
    return manifests[0].parent


def _forget_oldest(folder: Path) -> None:
    kept = sorted(
        (one for one in folder.iterdir() if not one.name.startswith(".")), key=lambda one: one.stat().st_mtime
    )
    for one in kept[:-_KEPT]:
        shutil.rmtree(one, ignore_errors=True)
