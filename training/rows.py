"""Training rows as Parquet parts: one row a moment, one column a feature."""

from __future__ import annotations

import multiprocessing
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from features.dataset import DatasetError
from features.fold import Fold
from features.slots import CUSTOMER, PRODUCT, Declaration
from training.ledger import IDENTITIES, Ledger
from training.replay import Moments, Shard, moments_of, person_shards, product_shards, run

#: Rows of a part, about: what one process holds at a time.
PART = 50_000

#: Columns that say whose row it is.
ID_COLUMNS = (*(column for column in IDENTITIES if column != "order_id"), "product_id")


@dataclass(frozen=True)
class Job:
    """What one process needs to write one part. ``products``: features of the products of all moments, a file."""

    shard: Shard
    ids: pd.DataFrame
    declaration: Declaration
    product_names: tuple[str, ...]
    products: Path | None
    part: Path
    cache_folder: Path | None


def at_events(events: pd.DataFrame, name: str) -> pd.DataFrame:
    """Moments at which something happened: who and what product it was about, just before.

    Raises:
        DatasetError: no event is called so.
    """
    here = events[events["event"] == name]
    if here.empty:
        found = ", ".join(sorted(events["event"].unique())) or "none at all"
        raise DatasetError(f"no event is called {name}; there are: {found}")
    columns = [column for column in ID_COLUMNS if column in here]
    return here[columns].assign(at=here["timestamp"]).reset_index(drop=True)


def write_rows(
    ledger: Ledger,
    frame: pd.DataFrame,
    out: Path,
    *,
    zones: dict[str, str] | None = None,
    with_products: bool = False,
    customers: Declaration = CUSTOMER,
    products: Declaration = PRODUCT,
    processes: int = 1,
    part: int = PART,
    cache_folder: Path | None = None,
    progress: Callable[[str, int, int], None] = lambda step, done, total: None,
) -> int:
    """Write the rows of some moments into ``out`` as ``part-00000.parquet`` and so on.

    Columns: ``moment`` (row number in ``frame``), ``at``, the ids that ``frame`` has, ``customer_NAME`` for every
    feature of the person and, with ``with_products``, ``product_NAME`` for every feature of the product. Rows stand by
    person and moment, so parts are not in the order of time. A person or product that nobody has seen has the features
    of nobody.

    Args:
        ledger: what happened.
        frame: where rows are needed, see `training.replay.moments_of`.
        out: a folder that is not there yet, or empty.
        zones: IANA time zones by customer id.
        processes: how many write parts at once, with this one if it is one.
        part: rows a part, about.
        cache_folder: where compiled code is kept.
        progress: told the step, how many rows are done, and how many there are.

    Raises:
        FileExistsError: there is something in ``out``.

    Returns:
        How many parts were written.
    """
    if out.exists() and any(out.iterdir()):
        raise FileExistsError(f"{out} is not empty; name a folder that is not there yet")
    moments = moments_of(ledger, frame, zones)
    unfinished = out.with_name(f".{out.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    with TemporaryDirectory(prefix=".products-", dir=out.parent) as scratch:
        of_products = Path(scratch) / "products.npy" if with_products else None
        if of_products is not None:
            _fold_products(ledger, moments, Fold(products), of_products, part, cache_folder, progress)
        ids = frame[[column for column in ID_COLUMNS if column in frame]]
        jobs = (
            Job(
                shard,
                ids.iloc[shard.row],
                customers,
                products.features,
                of_products,
                unfinished / f"part-{number:05}.parquet",
                cache_folder,
            )
            for number, shard in enumerate(person_shards(ledger, moments, Fold(customers), rows=part))
        )
        parts = done = 0
        for rows in _written(jobs, processes):
            parts, done = parts + 1, done + rows
            progress("customers", done, len(moments))
    if out.exists():
        out.rmdir()
    unfinished.rename(out)
    return parts


def write_part(job: Job) -> int:
    """Fold a shard and write its rows; returns how many."""
    fold = Fold(job.declaration)
    values = np.empty((len(job.shard.row), len(fold.names)))
    run(job.shard, fold, values, cache_folder=job.cache_folder)
    columns = {f"customer_{name}": values[:, place] for place, name in enumerate(fold.names)}
    if job.products is not None:
        known = np.load(job.products, mmap_mode="r")[job.shard.row]
        columns |= {f"product_{name}": known[:, place] for place, name in enumerate(job.product_names)}
    moment = {"moment": job.shard.row, "at": pa.array(job.shard.at, type=pa.timestamp("us", tz="UTC"))}
    ids = {name: pa.array(job.ids[name], type=pa.string()) for name in job.ids}
    pq.write_table(pa.table(moment | ids | columns), job.part)
    return len(job.shard.row)


def _written(jobs: Iterator[Job], processes: int) -> Iterator[int]:
    """Rows of each part, once it is written. No more parts are prepared than are being worked on, and one."""
    if processes == 1:
        yield from map(write_part, jobs)
        return
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=spawn) as pool:
        waiting: deque[Future[int]] = deque()
        for job in jobs:
            waiting.append(pool.submit(write_part, job))
            if len(waiting) > processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _fold_products(
    ledger: Ledger,
    moments: Moments,
    fold: Fold,
    file: Path,
    part: int,
    cache_folder: Path | None,
    progress: Callable[[str, int, int], None],
) -> None:
    """What every moment knew of its product, in a file, since rows stand by person."""
    shape = (len(moments), len(fold.names))
    if not len(moments):
        np.save(file, np.empty(shape))
        return
    values = np.lib.format.open_memmap(file, mode="w+", dtype=np.float64, shape=shape)
    done = 0
    for shard in product_shards(ledger, moments, fold, rows=part):
        run(shard, fold, values, cache_folder=cache_folder, by_row=True)
        done += len(shard.row)
        progress("products", done, len(moments))
    values.flush()
