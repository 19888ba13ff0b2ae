"""Products whose title, brand, category and attributes read alike; works for what nobody has bought yet."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal, TypeGuard

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.sparse import csr_array

from features.catalogue import CATEGORY_SEPARATOR, Catalogue, Column, Tags, Text
from features.config import Config
from features.histories import gather, rows_of
from features.tokens import tokens
from features.vocabulary import Vocabulary
from recommender.sources.base import Growth
from recommender.sources.neighbours import (
    Neighbours,
    NeighbourSource,
    neighbours_of,
    padded,
    product_blocks,
    rows_of_table,
    stack,
    strongest,
)


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
    most_products: int = Field(5_000, ge=100)
    """Terms of more products than this are left out, too: what one costs grows with the square of their number."""
    neighbours: int = Field(100, ge=1)
    """Most similar products kept for each."""
    profile_decay: float = Field(0.8, gt=0, le=1)
    """Weight of a step of the shopper's history relative to the next newer one."""
    profile_steps: int = Field(20, ge=1)
    """How many steps of the history count."""


#: Columns that name a product but do not describe it, and are not read unless a configuration names them.
UNREAD = {"product_id", "image_link", "link", "item_group_id", "currency", "availability", "available_from"}


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


def counted_terms(catalogue: Catalogue, config: TextConfig) -> tuple[csr_array, Vocabulary]:
    """Weighted counts of terms, float32 of shape (products, terms), and the terms."""
    weights = {"title": config.title_weight, "category": config.category_weight, "brand": config.brand_weight}
    parts = []
    names: list[list[str]] = []
    for name, column in catalogue.columns.items():
        weight = weights.get(name, config.attribute_weight)
        if weight > 0 and describes(column, name, config):
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
    return counts, vocabulary


def inverse_frequency(counts: csr_array, config: TextConfig) -> NDArray[np.float64]:
    """1 + ln((1 + N) / (1 + df)) of each term, float64[terms], 0 for those that tell nothing.

    The smoothed form of scikit-learn. N counts the products that have a description: those known from events only,
    perhaps later ones, say nothing of words.
    """
    frequency = np.bincount(counts.indices, minlength=counts.shape[1])
    described = np.count_nonzero(np.diff(counts.indptr))
    most = min(max(config.common * described, 99), config.most_products)
    telling = (frequency > 1) & (frequency <= most)
    return np.where(telling, 1 + np.log((1 + described) / (1 + frequency)), 0)


def vectors_of(counts: csr_array, inverse: NDArray[np.float64]) -> csr_array:
    """TF-IDF vectors of unit length, float32 of the shape of ``counts``: count times inverse frequency."""
    vectors = csr_array(counts.multiply(inverse), dtype=np.float32)
    vectors.eliminate_zeros()
    length = np.sqrt(np.asarray(vectors.multiply(vectors).sum(axis=1)).ravel())
    return csr_array(vectors.multiply((1 / np.maximum(length, 1e-12))[:, None]), dtype=np.float32)


def describes(column: Column, name: str, config: TextConfig) -> TypeGuard[Text | Tags]:
    """Whether a column is read."""
    chosen = name in config.columns if config.columns is not None else name not in UNREAD
    return chosen and isinstance(column, Text | Tags)


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


@dataclass(frozen=True)
class TextSource(NeighbourSource):
    """Neighbours by description; knows enough of the words to find those of products that come later.

    Rows of ``table`` are as trained. Where a product came or was described anew since, its similarity with what was
    there at training is in ``fresh``, and with others of its kind too, both ways. That depends on the products as they
    are now alone, not on the order in which they changed. Words that training did not know say nothing.

    Attributes:
        terms: the words.
        inverse: float64[terms], see `inverse_frequency`.
        products_of: float32 of shape (terms, products at training), their vectors, transposed.
        config: the hyper-parameters.
        fresh: float32 of shape (products, products): pairs one of which was described since; None: there are none.
        anew: bool[products], those described since; empty where there are none.
    """

    terms: Vocabulary
    inverse: NDArray[np.float64]
    products_of: csr_array
    config: TextConfig
    fresh: csr_array | None = None
    anew: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))

    def neighbours(self, products: NDArray[np.int32]) -> Neighbours:
        """See `NeighbourSource`."""
        trained = super().neighbours(products)
        if self.fresh is None:
            return trained
        candidates, values = [], []
        for product, *found in zip(products.tolist(), *trained, *rows_of_table(self.fresh, products), strict=True):
            others, weights, since, alike = found
            valid = ~self.anew[others] & ~self.anew[product]
            candidate = np.concatenate([others[valid], since])
            order = np.argsort(candidate, kind="stable")
            candidates.append(candidate[order])
            values.append(np.concatenate([weights[valid], alike])[order])
        return candidates, values

    def padded(self, n: int) -> TextSource:
        """The source over n products, of which those that it does not know yet are not described."""
        fresh = None if self.fresh is None else padded(self.fresh, n)
        anew = np.zeros(n if len(self.anew) else 0, dtype=np.bool_)
        anew[: len(self.anew)] = self.anew
        return replace(self, table=padded(self.table, n), fresh=fresh, anew=anew)

    def grown(self, growth: Growth) -> TextSource:
        """See `Source`: products that came or were described anew have neighbours by what is said of them now.

        Base is the source as trained; what was fresh before is found again.
        """
        n = len(growth.catalogue)
        source = replace(self, table=padded(self.table, n), fresh=None, anew=np.zeros(0, dtype=np.bool_))
        columns = growth.catalogue.columns
        rewritten = [codes for name, codes in growth.rewritten.items() if describes(columns[name], name, self.config)]
        described = np.unique(np.concatenate(rewritten)) if rewritten else np.zeros(0, dtype=np.int32)
        if len(described) == 0:
            return source
        anew = np.zeros(n, dtype=np.bool_)
        anew[described] = True
        vectors = self._vectors(growth.catalogue, described)
        trained = self._closest(vectors, self.products_of)
        row, column, value = (described[rows_of(trained.indptr)], trained.indices, trained.data)
        valid = ~anew[column]
        row, column, value = row[valid], column[valid], value[valid]
        among = self._closest(vectors, csr_array(vectors.T), but_own=True)
        pair = (described[rows_of(among.indptr)], described[among.indices])
        table = csr_array(
            (
                np.concatenate([value, value, among.data]),
                (np.concatenate([row, column, pair[0]]), np.concatenate([column, row, pair[1]])),
            ),
            shape=(n, n),
            dtype=np.float32,
        )
        table.sort_indices()
        return replace(source, fresh=table, anew=anew)

    def _vectors(self, catalogue: Catalogue, products: NDArray[np.int32]) -> csr_array:
        """Vectors of some products, float32 of shape (products, terms)."""
        counts, terms = counted_terms(part_of(catalogue, products), self.config)
        known = self.terms.codes(terms)
        entries = known[counts.indices] >= 0
        row = rows_of(counts.indptr)[entries]
        shape = (len(products), len(self.terms))
        told = csr_array((counts.data[entries], (row, known[counts.indices[entries]])), shape=shape)
        return vectors_of(told, self.inverse)

    def _closest(self, vectors: csr_array, others: csr_array, *, but_own: bool = False) -> csr_array:
        """The most similar of others (terms, n) for each vector (m, terms), (m, n); ``but_own``: not its own number."""
        shape = (vectors.shape[0], others.shape[1])
        if vectors.nnz == 0 or others.nnz == 0:
            return csr_array(shape, dtype=np.float32)
        blocks = []
        for start, block in product_blocks(vectors, others):
            if but_own:
                block.data[block.indices == rows_of(block.indptr) + start] = 0
            blocks.append(strongest(block, self.config.neighbours))
        return stack(blocks, shape)


def part_of(catalogue: Catalogue, products: NDArray[np.int32]) -> Catalogue:
    """Text and lists of some products, with the values that these have alone; rows are named by their codes."""
    columns: dict[str, Column] = {}
    for name, column in catalogue.columns.items():
        match column:
            case Text(codes, values):
                chosen = codes[products]
                kept = np.unique(chosen[chosen >= 0])
                own = Vocabulary(values[code] for code in kept.tolist())
                places = np.where(chosen >= 0, kept.searchsorted(chosen), -1).astype(np.int32)
                columns[name] = Text(places, own)
            case Tags(indptr, codes, values):
                rows, entries = gather(indptr, products.astype(np.int64))
                tags, tag_places = np.unique(codes[entries], return_inverse=True)
                own = Vocabulary(values[code] for code in tags.tolist())
                columns[name] = Tags(rows, tag_places.astype(np.int32), own)
            case _:
                pass
    return Catalogue(Vocabulary(f"{code:010}" for code in products.tolist()), columns)


def fit(catalogue: Catalogue, config: TextConfig) -> TextSource:
    """Cosine between TF-IDF vectors, kept for the most similar pairs."""
    counts, terms = counted_terms(catalogue, config)
    inverse = inverse_frequency(counts, config)
    vectors = vectors_of(counts, inverse)
    products_of = csr_array(vectors.T)
    table = neighbours_of(vectors, products_of, config.neighbours)
    return TextSource(table, config.profile_decay, config.profile_steps, "similar", terms, inverse, products_of, config)
