"""How many threads number crunching takes."""

from __future__ import annotations

from contextlib import AbstractContextManager


def single_threaded() -> AbstractContextManager[object]:
    """BLAS on one thread: where matrices are narrow, threads that wait for each other cost more than they bring."""
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[object] = threadpool_limits(1, user_api="blas")
    return limits
