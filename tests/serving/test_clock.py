"""The clock of a shop that is served with old data."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from serving.settings import Settings
from tests.serving.shelves import serving

pytestmark = pytest.mark.anyio

LONG_AGO = datetime(2018, 1, 1, tzinfo=UTC)


async def clock_of(settings: Settings) -> datetime:
    """When a service says that it loaded its model."""
    async with serving(settings) as client:
        [model] = (await client.get("/health/ready")).json()["models"]
        return datetime.fromisoformat(model["loaded_at"])


async def test_a_home_keeps_the_clock_it_was_first_served_with(settings: Settings) -> None:
    first = await clock_of(settings.model_copy(update={"now": LONG_AGO}))
    again = await clock_of(settings.model_copy(update={"now": LONG_AGO}))
    not_told = await clock_of(settings)
    assert LONG_AGO <= first < again < not_told
    assert not_told.year == 2018


async def test_a_home_of_today_stays_one(settings: Settings) -> None:
    today = datetime.now(UTC)
    assert await clock_of(settings) >= today
    assert (await clock_of(settings.model_copy(update={"now": LONG_AGO}))).year == 2018
    assert await clock_of(settings) >= today
