"""A recommender as a folder: arrays, strings and a manifest. Writer and reader stand side by side here.

    manifest.json    what the bundle is: format, versions, when, configuration, and what training adds
    content.json     the shape of everything in the recommender, with references to arrays
    strings/N.json   vocabularies: ids of products and values of columns
    arrays/N.npy     arrays, memory-mapped when read

People stand in it as digests of their names (`features.people.digest`): they can be found, not read.
Nothing in it can run code: arrays are read without pickle, classes by a closed list.
"""

from __future__ import annotations

import importlib.metadata
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from scipy.sparse import csr_array

from features.catalogue import Catalogue, Flag, Number, Tags, Text, Time
from features.config import Config, ConfigError
from features.histories import Histories
from features.people import Digests, digest
from features.vocabulary import GrownVocabulary, Vocabulary
from recommender.config import RecommenderConfig
from recommender.engine import Recommender
from recommender.groups import Groups
from recommender.ranker import Ranker, RankerConfig
from recommender.signals import Facts
from recommender.sources.cooccurrence import CooccurrenceSource
from recommender.sources.neighbours import NeighbourSource
from recommender.sources.own_history import OwnHistoryConfig, OwnHistorySource
from recommender.sources.ranking import (
    Ingredients,
    NewArrivalsConfig,
    OnSaleConfig,
    PopularityConfig,
    RankingSource,
    TrendConfig,
)
from recommender.sources.repurchase import RepurchaseConfig, RepurchaseSource, Rhythms
from recommender.sources.tally import Tally
from recommender.sources.text import TextConfig, TextSource

#: Raised when what a bundle holds changes; another format is refused, never guessed at.
FORMAT = 3

_RECORDS = {
    record.__name__: record
    for record in (
        *(Catalogue, Text, Number, Flag, Time, Tags, Groups, Histories, Digests),
        *(NeighbourSource, CooccurrenceSource, OwnHistorySource, RankingSource, RepurchaseSource, TextSource),
        *(Ingredients, Tally, Ranker, Facts, Rhythms),
    )
}
_CONFIGS: dict[str, type[Config]] = {
    config.__name__: config
    for config in (
        *(OwnHistoryConfig, RankerConfig, RepurchaseConfig, TextConfig),
        *(NewArrivalsConfig, OnSaleConfig, PopularityConfig, TrendConfig),
    )
}


class BundleError(Exception):
    """A folder that is no bundle, is damaged, or was written by another version; the message says which."""


def write(recommender: Recommender, folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write a recommender into a folder that does not exist yet.

    Args:
        recommender: what to write.
        folder: where; its parents are made.
        manifest: JSON-ready facts to store beside our own (data hash, metrics …).

    Raises:
        FileExistsError: the folder is there already.
    """
    folder.mkdir(parents=True)
    writer = _Writer(folder)
    recommender = nameless(recommender)
    content = {f.name: writer.encode(getattr(recommender, f.name)) for f in fields(recommender) if f.name != "config"}
    (folder / "content.json").write_bytes(orjson.dumps(content))
    own = {
        "format": FORMAT,
        "kind": "recommender",
        "segue": importlib.metadata.version("segue"),
        "numpy": np.__version__,
        "products": len(recommender.catalogue),
        "people": len(recommender.people),
        "config": recommender.config.model_dump(mode="json"),
    }
    (folder / "manifest.json").write_bytes(
        orjson.dumps({**manifest, **own}, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
    )


def nameless(recommender: Recommender) -> Recommender:
    """The recommender with the digests of people's names in place of the names, and all about them in that order."""
    people = recommender.people
    if not isinstance(people, Vocabulary):
        return recommender
    digests = np.fromiter((digest(name) for name in people), dtype=np.int64, count=len(people))
    order = np.argsort(digests, kind="stable")
    return replace(
        recommender,
        people=Digests(digests[order]),
        anonymous=recommender.anonymous[order],
        histories=recommender.histories.take(order),
    )


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a bundle.

    Raises:
        BundleError: there is none that this version can read.
    """
    try:
        manifest: dict[str, Any] = orjson.loads((folder / "manifest.json").read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        msg = f"{folder} is not a bundle: {error}"
        raise BundleError(msg) from None
    if manifest.get("format") != FORMAT or manifest.get("kind") != "recommender":
        msg = f"{folder} has format {manifest.get('format')}; this version of Segue reads {FORMAT}: train again"
        raise BundleError(msg)
    return manifest


def read(folder: Path) -> tuple[Recommender, dict[str, Any]]:
    """A recommender and its manifest. Arrays are memory-mapped, so several processes share them.

    Raises:
        BundleError: the folder is no bundle that this version can read.
    """
    manifest = read_manifest(folder)
    reader = _Reader(folder)
    try:
        config = RecommenderConfig.of(manifest["config"])
        content = orjson.loads((folder / "content.json").read_bytes())
        return Recommender(config=config, **{name: reader.decode(value) for name, value in content.items()}), manifest
    except (OSError, KeyError, TypeError, ValueError, ConfigError) as error:
        msg = f"{folder} is damaged or of another version: {error}"
        raise BundleError(msg) from error


class _Writer:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = 0
        self._shared: dict[int, Any] = {}

    def encode(self, value: Any) -> Any:
        """JSON for a value; arrays and vocabularies go to files, each once however often it is referred to."""
        if isinstance(value, GrownVocabulary):
            msg = "a recommender that was grown is not written: its codes are not in the order of ids"
            raise TypeError(msg)
        if isinstance(value, np.ndarray | Vocabulary):
            if id(value) not in self._shared:
                self._shared[id(value)] = self._store(value)
            return self._shared[id(value)]
        if isinstance(value, csr_array):
            parts = [self.encode(part) for part in (value.data, value.indices, value.indptr)]
            return {"csr": parts, "shape": [int(side) for side in value.shape]}
        if isinstance(value, Config):
            return {"config": type(value).__name__, "fields": value.model_dump(mode="json")}
        if is_dataclass(value):
            encoded = {f.name: self.encode(getattr(value, f.name)) for f in fields(value)}
            return {"record": type(value).__name__, "fields": encoded}
        if isinstance(value, tuple):
            return {"tuple": [self.encode(item) for item in value]}
        if isinstance(value, dict):
            return {"table": {key: self.encode(item) for key, item in value.items()}}
        if isinstance(value, float) and math.isinf(value):
            return {"float": str(float(value))}  # JSON has no infinity
        return value

    def _store(self, value: Any) -> dict[str, str]:
        self._files += 1
        kind, name = (
            ("array", f"arrays/{self._files}.npy")
            if isinstance(value, np.ndarray)
            else ("strings", f"strings/{self._files}.json")
        )
        path = self._folder / name
        path.parent.mkdir(exist_ok=True)
        if isinstance(value, np.ndarray):
            np.save(path, value, allow_pickle=False)
        else:
            path.write_bytes(orjson.dumps(list(value)))
        return {kind: name}


class _Reader:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shared: dict[str, Any] = {}

    def decode(self, value: Any) -> Any:
        """The value that `_Writer.encode` made this JSON from."""
        match value:
            case {"array": name} | {"strings": name}:
                if name not in self._shared:
                    self._shared[name] = self._load(name)
                return self._shared[name]
            case {"csr": [data, indices, indptr], "shape": shape}:
                parts = (self.decode(data), self.decode(indices), self.decode(indptr))
                return csr_array(parts, shape=tuple(shape), copy=False)
            case {"config": name, "fields": found}:
                return _CONFIGS[name].model_validate(found)
            case {"record": name, "fields": found}:
                return _RECORDS[name](**{key: self.decode(item) for key, item in found.items()})
            case {"float": text}:
                return float(text)
            case {"tuple": found}:
                return tuple(self.decode(item) for item in found)
            case {"table": found}:
                return {key: self.decode(item) for key, item in found.items()}
            case _:
                return value

    def _load(self, name: str) -> Any:
        path = (self._folder / name).resolve()
        if not path.is_relative_to(self._folder.resolve()):
            msg = f"{name} lies outside the bundle"
            raise ValueError(msg)
        if name.startswith("strings/"):
            return Vocabulary(orjson.loads(path.read_bytes()))
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))  # a plain array is quicker to index
