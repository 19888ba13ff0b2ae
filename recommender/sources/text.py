"""Products whose title, brand, category and attributes read alike; works for what nobody has bought yet."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.sparse import csr_array

from features.catalogue import CATEGORY_SEPARATOR, Catalogue, Tags, Text
from features.tokens import tokens
from features.vocabulary import Vocabulary
from recommender.sources.base import Config
from recommender.sources.neighbours import NeighbourSource, neighbours_of


class TextConfig(Config):
    """Hyper-parameters of `fit`."""

    kind: Literal["text"] = "text"
    columns: tuple[str, ...] | None = None
    """Columns to read; None: every text and list column but links, ids and currency."""
    title_weight: float = Field(1.0, ge=0)
    """Weight of words of the title."""
    category_weight: float = Field(1.0, ge=0)
    """Weight of the category and of each of its parents."""
    brand_weight: float = Field(1.0, ge=0)
    """Weight of the brand."""
    attribute_weight: float = Field(0.5, ge=0)
    """Weight of the words of any other column."""
    common: float = Field(0.2, gt=0, le=1)
    """Terms of more than this share of the products, and at least 100 of them, tell nothing and are left out."""
    neighbours: int = Field(100, ge=1)
    """Most similar products kept for each."""
    profile_decay: float = Field(0.8, gt=0, le=1)
    """Weight of a step of the shopper's history relative to the next newer one."""
    profile_steps: int = Field(20, ge=1)
    """How many steps of the history count."""


#: Columns that name a product but do not describe it.
_NOT_DESCRIBING = {"product_id", "image_link", "link", "item_group_id", "currency", "availability", "available_from"}


def terms_of_value(column: str, value: str) -> list[str]:
    """Terms of one value: words; for a category its whole path and each parent; for a brand its name.

    >>> terms_of_value("category", "Lips > Lipstick")
    ['category=lips', 'category=lips > lipstick']
    >>> terms_of_value("title", "Matte Lipstick")
    ['matte', 'lipstick']
    """
    if column == "category":
        parts = value.casefold().split(CATEGORY_SEPARATOR)
        return [f"category={CATEGORY_SEPARATOR.join(parts[: depth + 1])}" for depth in range(len(parts))]
    if column == "brand":
        return [f"brand={value.casefold()}"]
    return tokens(value)


def term_matrix(catalogue: Catalogue, config: TextConfig) -> csr_array:
    """TF-IDF vectors of unit length, float32 of shape (products, terms).

    tf · (1 + ln((1 + N) / (1 + df))), the smoothed form of scikit-learn, times the weight of the column. N counts the
    products that have a description: those known from events only, perhaps later ones, say nothing of words.
    """
    weights = {"title": config.title_weight, "category": config.category_weight, "brand": config.brand_weight}
    parts = []
    names: list[list[str]] = []
    for name, column in catalogue.columns.items():
        chosen = name in config.columns if config.columns is not None else name not in _NOT_DESCRIBING
        weight = weights.get(name, config.attribute_weight)
        if chosen and weight > 0 and isinstance(column, Text | Tags):
            matrix, terms = column_terms(name, column, len(catalogue))
            parts.append(matrix * weight)
            names.append(terms)
    vocabulary = Vocabulary(term for terms in names for term in terms)
    shape = (len(catalogue), len(vocabulary))
    counts = csr_array(shape, dtype=np.float32)
    for part, terms in zip(parts, names, strict=True):
        counts = csr_array(
            counts + csr_array((part.data, vocabulary.codes(terms)[part.indices], part.indptr), shape=shape)
        )
    frequency = np.bincount(counts.indices, minlength=shape[1])
    described = np.count_nonzero(np.diff(counts.indptr))
    telling = (frequency > 1) & ((frequency <= config.common * described) | (frequency < 100))
    inverse = np.where(telling, 1 + np.log((1 + described) / (1 + frequency)), 0)
    vectors = csr_array(counts.multiply(inverse), dtype=np.float32)
    vectors.eliminate_zeros()
    length = np.sqrt(np.asarray(vectors.multiply(vectors).sum(axis=1)).ravel())
    return csr_array(vectors.multiply((1 / np.maximum(length, 1e-12))[:, None]), dtype=np.float32)


def column_terms(name: str, column: Text | Tags, n: int) -> tuple[csr_array, list[str]]:
    """Counts of the terms of one column, float32 (products, terms), and the terms. Each distinct value is read once."""
    values = [terms_of_value(name, value) for value in column.values]
    terms = sorted({term for value in values for term in value})
    place = {term: code for code, term in enumerate(terms)}
    flat = np.fromiter((place[term] for value in values for term in value), dtype=np.int64)
    of_value = np.repeat(np.arange(len(values)), [len(value) for value in values])
    by_value = csr_array((np.ones(len(flat), dtype=np.float32), (of_value, flat)), shape=(len(values), len(terms)))
    rows: NDArray[np.int64]
    if isinstance(column, Text):
        rows = np.flatnonzero(column.codes >= 0)
        codes = column.codes[rows]
    else:
        rows, codes = np.repeat(np.arange(n), np.diff(column.indptr)), column.codes
    by_product = csr_array((np.ones(len(rows), dtype=np.float32), (rows, codes)), shape=(n, len(values)))
    return csr_array(by_product @ by_value), terms


def fit(catalogue: Catalogue, config: TextConfig) -> NeighbourSource:
    """Cosine between TF-IDF vectors, kept for the most similar pairs."""
    vectors = term_matrix(catalogue, config)
    table = neighbours_of(vectors, csr_array(vectors.T), config.neighbours)
    return NeighbourSource(table, config.profile_decay, config.profile_steps, "similar")
