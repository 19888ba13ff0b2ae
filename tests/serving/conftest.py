"""A service with a shelf of four products, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from serving.settings import Settings
from tests.serving.shelves import put_shelf, serving

PRODUCTS = ["comb", "brush", 'ra/zor "1"', "mirror 💄"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", bundles=(put_shelf(tmp_path / "first", PRODUCTS),), poll_seconds=0.01)


@pytest.fixture
async def client(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with serving(settings) as client:
        yield client
