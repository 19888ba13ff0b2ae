"""A model registry in memory, and the contract that every registry keeps."""

from __future__ import annotations

from dataclasses import replace

import pytest

from features.gate import ModelVersion, Registry, UnknownModelError


class MemoryRegistry:
    """`features.gate.Registry` as a dictionary."""

    def __init__(self) -> None:
        self.models: dict[str, list[ModelVersion]] = {}
        self.champions: dict[str, int] = {}

    def add(self, name: str, verdict: str | None) -> ModelVersion:
        versions = self.models.setdefault(name, [])
        versions.append(ModelVersion(name, len(versions) + 1, (), False, verdict, None, None, None, len(versions)))
        return versions[-1]

    def version(self, name: str, version: int) -> ModelVersion:
        if not 1 <= version <= len(self.models.get(name, [])):
            raise UnknownModelError(f"there is no version {version} of {name}")
        found = self.models[name][version - 1]
        return replace(found, aliases=("champion",) if self.champions.get(name) == version else ())

    def champion(self, name: str) -> ModelVersion | None:
        return self.version(name, self.champions[name]) if name in self.champions else None

    def crown(self, name: str, version: int) -> None:
        for crowned in {version, self.champions.get(name, version)}:
            self.models[name][crowned - 1] = replace(self.models[name][crowned - 1], was_champion=True)
        self.champions[name] = version


class RegistryContract:
    """What the gate relies on. Subclasses give ``registry``: two versions of "recommender", no champion."""

    @pytest.fixture
    def registry(self) -> Registry:
        raise NotImplementedError

    def test_there_is_no_champion_at_first(self, registry: Registry) -> None:
        assert registry.champion("recommender") is None
        assert registry.champion("unheard of") is None
        assert not registry.version("recommender", 1).was_champion

    def test_crowning_moves_the_alias(self, registry: Registry) -> None:
        registry.crown("recommender", 1)
        registry.crown("recommender", 2)
        champion = registry.champion("recommender")
        assert champion is not None
        assert champion.version == 2
        assert "champion" in champion.aliases
        assert "champion" not in registry.version("recommender", 1).aliases

    def test_whoever_was_champion_is_remembered(self, registry: Registry) -> None:
        registry.crown("recommender", 1)
        registry.crown("recommender", 2)
        assert registry.version("recommender", 1).was_champion
        assert registry.version("recommender", 2).was_champion

    @pytest.mark.parametrize(("name", "version"), [("recommender", 3), ("unheard of", 1)])
    def test_what_is_not_there_is_unknown(self, registry: Registry, name: str, version: int) -> None:
        with pytest.raises(UnknownModelError, match=str(version)):
            registry.version(name, version)
