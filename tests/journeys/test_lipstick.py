"""The lipstick journey, event by event, over HTTP. The shop that the model was trained on is SIMULATED.

Lena follows a friend's link, looks at lipsticks and leaves a cart. What she is told, where, when, and when nothing, is
decided by both models. Exploration and the holdout are switched off, so that there is one story to tell.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest

from features.encode import encode_catalogue, encode_events
from nba.config import NbaConfig
from recommender import bundle
from recommender.config import RecommenderConfig
from recommender.engine import fit
from serving.app import create_app
from serving.decision_schemas import NextActionAnswer, ReleaseAnswer
from serving.settings import Settings
from tests import shops

pytestmark = pytest.mark.anyio

BERLIN = ZoneInfo("Europe/Berlin")
SHELVES = ("Lips > Lipstick", "Eyes > Mascara", "Nails > Polish")
RED, NUDE, CORAL = "p003", "p000", "p006"

#: A lipstick lasts her so many days.
LASTS = 60

CONTACT = """
[policy]
exploration = 0.0
holdout = 0.0

[journeys.left_cart]
actions = ["cart_reminder"]
"""

#: Where the shop may reach her: she has no app.
CHANNELS = ["web_push", "email", "ads", "on_site"]

Answer = dict[str, Any]


def local(text: str) -> datetime:
    """A time of Lena's own clock."""
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN)


def of(answer: Answer) -> tuple[str, str | None]:
    return answer["choice"]["action"], answer["choice"]["channel"]


def send_at(answer: Answer) -> datetime:
    """On Lena's own clock."""
    return datetime.fromisoformat(answer["choice"]["send_at"]).astimezone(BERLIN)


def reasons(answer: Answer, action: str) -> dict[str | None, str]:
    """Why an action was excluded, by channel; None: on all channels."""
    return {one.get("channel"): one["code"] for one in answer["excluded"] if one.get("action", action) == action}


def planned(answer: Answer, action: str) -> set[datetime]:
    """When an action would be sent at best, chosen or not, on her own clock."""
    weighed = [answer["choice"], *answer["alternatives"]]
    return {datetime.fromisoformat(one["send_at"]).astimezone(BERLIN) for one in weighed if one["action"] == action}


def unexplained(answer: Answer, weighed: set[str]) -> set[str]:
    """Actions of which it is neither said what they are worth nor what speaks against them."""
    named = {one.get("action") for one in answer["excluded"]}
    closed = {one["channel"] for one in answer["excluded"] if "action" not in one}  # for all actions
    actions = NbaConfig.default().actions
    return {name for name in actions if name not in weighed | named and not closed.issuperset(actions[name].channels)}


class Shopper:
    """Lena, the shop that tells what she does, and the journey engine that asks what to do next."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.now = local("2026-03-26 17:00")
        self.who: dict[str, str] = {"anonymous_id": "v-17"}
        self.answers: list[Answer] = []
        self.sent: list[tuple[datetime, str, str]] = []

    def at(self, text: str) -> None:
        """Time goes on, to a moment of her own clock."""
        assert local(text) >= self.now
        self.now = local(text)

    # What happens

    async def does(self, event: str, **columns: Any) -> None:
        row = {"event": event, "timestamp": self.now.isoformat(), **self.who, **columns}
        told = await self.client.post("/v1/events", json=row)
        assert told.json() == {"accepted": 1, "duplicates": 0, "rejected": []}, told.text

    async def signs_in(self) -> None:
        visitor = self.who
        self.who = {"customer_id": "lena"}
        traits = {"timezone": "Europe/Berlin", "consents": CHANNELS, "reachable": CHANNELS, "source": "friend"}
        more = {"age_band": "18-24", "skin_type": "dry", "device": "ios", "member": "no"}
        await self.does("identify", **visitor, traits=traits | more)

    async def buys(self, *products: str, order: str) -> None:
        for product in products:
            await self.does("purchase", product_id=product, order_id=order, price=13.0, quantity=1)

    async def stage(self) -> str:
        known = (await self.client.get("/v1/customers/lena")).json()
        stage: str = known["stage"]
        return stage

    # What is asked

    async def ask(self, **wishes: Any) -> Answer:
        """The next action, with all that an answer promises."""
        answer = await self.peek(**wishes)
        kept = (await self.client.get(f"/v1/decisions/{answer['decision_id']}")).json()
        assert (kept["kind"], kept["choice"]) == ("action", answer["choice"])
        assert await self.replays(answer)
        if answer["choice"]["product_ids"]:
            listed = (await self.client.get(f"/v1/decisions/{kept['products_decision_id']}")).json()
            [block] = listed["blocks"]
            assert [item["id"] for item in block["items"]] == answer["choice"]["product_ids"]
        self.answers.append(answer)
        return answer

    async def peek(self, **wishes: Any) -> Answer:
        """The next action, explained."""
        asked = await self.client.post("/v1/decisions", json={**self.who, **wishes})
        assert asked.status_code == 200, asked.text
        answer: Answer = asked.json()
        NextActionAnswer.model_validate(answer)
        assert answer["propensity"] == answer["send_at_propensity"] == 1.0
        others = [one["action"] for one in answer["alternatives"]]
        if len(others) < 5:
            assert not unexplained(answer, {answer["choice"]["action"], *others})
        if answer["choice"]["action"] == "hold":
            assert answer["choice"]["channel"] is answer["choice"]["send_at"] is None
            assert datetime.fromisoformat(answer["ask_again_at"]) > self.now
            assert all(one["incremental_value"] <= 0 for one in answer["alternatives"])
        else:
            assert answer["incremental_value"] > 0
            assert "hold" in others, "doing nothing is always weighed"
            assert send_at(answer) >= self.now
            assert answer["choice"]["channel"] == "ads" or 8 <= send_at(answer).hour < 21, "quiet hours are hers"
        return answer

    async def replays(self, answer: Answer) -> bool:
        again = await self.client.get(f"/v1/decisions/{answer['decision_id']}/replay")
        found: bool = again.json() == {"match": True}
        return found

    async def release(self, answer: Answer) -> Answer:
        """What is asked just before sending."""
        released = await self.client.post(f"/v1/decisions/{answer['decision_id']}/release")
        found: Answer = released.json()
        ReleaseAnswer.model_validate(found)
        return found

    async def is_sent(self, answer: Answer) -> None:
        """Its time comes, it may still go, and it goes."""
        self.now = send_at(answer)
        assert await self.release(answer) == {"verdict": "send", "reason": "unchanged", "choice": answer["choice"]}
        action, channel = of(answer)
        assert channel is not None
        await self.does("send", channel=channel, decision_id=answer["decision_id"], action=action)
        self.sent.append((self.now, action, channel))


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recommender of a shop with three shelves."""
    events, products = shops.planted_tastes()
    products["category"] = [SHELVES[number % len(SHELVES)] for number in range(len(products))]
    log = encode_events(events, products)
    made = fit(log, encode_catalogue(products, log), RecommenderConfig.default(), at=int(log.known.max()) + 1)
    folder = tmp_path_factory.mktemp("lists") / "bundle"
    bundle.write(made, folder, {})
    return folder


@pytest.fixture
async def lena(lists: Path, small_nba: Path, tmp_path: Path) -> AsyncIterator[Shopper]:
    contact = tmp_path / "contact.toml"
    contact.write_text(CONTACT)
    settings = Settings(home=tmp_path / "home", bundles=(lists, small_nba), contact_file=contact, decision_days=400)
    app = create_app(settings, clock=lambda: round(shopper.now.timestamp() * 1e6))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        shopper = Shopper(client)
        async with app.router.lifespan_context(app):
            yield shopper


async def test_the_lipstick_journey(lena: Shopper) -> None:
    await she_comes_by_a_friends_link(lena)
    await she_leaves_a_cart_and_an_hour_later_gets_a_push(lena)
    await she_ignores_it_and_gets_an_email_on_her_way_to_work(lena)
    await an_ad_in_the_evening_brings_her_back(lena)
    await she_buys_and_is_left_alone(lena)
    await the_night_when_clocks_go_forward_stays_quiet(lena)
    await some_days_after_the_delivery_she_is_asked_for_a_friend(lena)
    await she_comes_to_love_it(lena)
    await she_is_reminded_before_she_runs_out(lena)

    for answer in lena.answers:
        assert await lena.replays(answer), "also after all that came later"
    assert [(action, channel) for _, action, channel in lena.sent] == [
        ("cart_reminder", "web_push"),
        ("cart_reminder", "email"),
        ("cart_reminder", "ads"),
        ("referral_ask", "email"),
        ("replenishment_reminder", lena.sent[-1][2]),
    ]
    caps_hold(lena)


async def she_comes_by_a_friends_link(lena: Shopper) -> None:
    await lena.does("page", name="a friend's link", source="friend")
    for product in (RED, NUDE, CORAL):
        lena.now += timedelta(minutes=2)
        await lena.does("view", product_id=product)
    block = {"placement": "similar_products", "context": {"product_ids": [RED]}, "count": 4}
    asked = await lena.client.post("/v1/recommendations", json={**lena.who, "blocks": [block]})
    items = asked.json()["blocks"][0]["items"]
    assert {item["product"]["category"] for item in items} == {SHELVES[0]}
    assert all(item["reasons"] for item in items)


async def she_leaves_a_cart_and_an_hour_later_gets_a_push(lena: Shopper) -> None:
    lena.at("2026-03-26 17:20")
    await lena.signs_in()
    await lena.does("cart", product_id=RED)
    assert await lena.stage() == "consideration"

    # Asked at once, nothing is planned before the hour is over, and within the hour nothing at all.
    early = await lena.peek(journey="left_cart", dry_run=True)
    assert of(early) == ("cart_reminder", "web_push")
    assert send_at(early) >= local("2026-03-26 18:20")
    too_early = await lena.ask(journey="left_cart", constraints={"not_after": "2026-03-26T17:00:00Z"})
    assert of(too_early) == ("hold", None)
    assert reasons(too_early, "cart_reminder")["web_push"] == "outside_window"

    lena.at("2026-03-26 18:20")
    push = await lena.ask(journey="left_cart", horizon_hours=1)
    assert of(push) == ("cart_reminder", "web_push")
    assert local("2026-03-26 18:20") <= send_at(push) <= local("2026-03-26 19:20")
    assert RED not in push["choice"]["product_ids"], "what goes with the cart, not what is in it"
    assert reasons(push, "cart_reminder")["app_push"] == "no_consent"
    assert reasons(push, "cart_reminder")["email"] == reasons(push, "cart_reminder")["ads"] == "not_its_turn"
    again = await lena.peek(journey="left_cart", horizon_hours=1)
    assert again == push, "asked again, the same decision"
    await lena.is_sent(push)
    assert (await lena.release(push))["reason"] == "already_sent"


async def she_ignores_it_and_gets_an_email_on_her_way_to_work(lena: Shopper) -> None:
    # Six hours after the push it is night: the next step waits until the morning.
    lena.at("2026-03-26 20:50")
    email = await lena.ask(journey="left_cart")
    assert of(email) == ("cart_reminder", "email")
    assert local("2026-03-27 08:00") <= send_at(email) <= local("2026-03-27 12:00")
    assert reasons(email, "cart_reminder")["web_push"] == "not_its_turn", "a push was ignored: not again"
    lena.at("2026-03-27 07:30")
    waiting = await lena.peek(journey="left_cart", horizon_hours=1, dry_run=True)
    assert reasons(waiting, "cart_reminder")["email"] == "not_its_turn", "the e-mail is planned already"
    await lena.is_sent(email)

    # She had her e-mail of the day.
    lena.now += timedelta(hours=1)
    capped = await lena.ask(channels=["email"], constraints={"not_after": "2026-03-27T19:00:00Z"})
    assert of(capped) == ("hold", None)
    assert "channel_cap" in {one["code"] for one in capped["excluded"]}


async def an_ad_in_the_evening_brings_her_back(lena: Shopper) -> None:
    lena.at("2026-03-27 17:00")
    ad = await lena.ask(journey="left_cart", horizon_hours=4)
    assert of(ad) == ("cart_reminder", "ads")
    assert local("2026-03-27 17:00") <= send_at(ad) <= local("2026-03-27 21:00")
    await lena.is_sent(ad)
    lena.now += timedelta(minutes=20)
    await lena.does("click", channel="ads", decision_id=ad["decision_id"])
    await lena.does("view", product_id=RED, decision_id=ad["decision_id"])
    done = await lena.ask(journey="left_cart")
    assert of(done) == ("hold", None)
    assert set(reasons(done, "cart_reminder").values()) >= {"answered"}, "she is back: the ladder ends"


async def she_buys_and_is_left_alone(lena: Shopper) -> None:
    lena.now += timedelta(minutes=2)
    await lena.does("cart", product_id=NUDE)
    anew = await lena.ask(journey="left_cart")
    assert of(anew) == ("cart_reminder", "web_push"), "another cart, the ladder starts anew"
    assert send_at(anew) >= lena.sent[-1][0] + timedelta(hours=72), "but not before the cooldown is over"

    lena.now += timedelta(minutes=5)
    await lena.buys(RED, NUDE, order="o-1")
    assert await lena.release(anew) == {"verdict": "cancel", "reason": "not_eligible"}
    after = await lena.ask(journey="left_cart")
    assert of(after) == ("hold", None)
    assert reasons(after, "cart_reminder")[None] == "not_eligible"
    assert await lena.stage() == "first_purchase"

    # Nothing else is worth a contact either: what is open is worth less than it costs.
    rest = await lena.ask(constraints={"min_incremental_value": 0.05})
    assert of(rest) == ("hold", None)
    assert datetime.fromisoformat(rest["ask_again_at"]) <= lena.now + timedelta(days=1)


async def the_night_when_clocks_go_forward_stays_quiet(lena: Shopper) -> None:
    lena.at("2026-03-28 14:00")
    await lena.does("view", product_id=CORAL)
    wishes = {"actions": ["browse_reminder"], "channels": ["email", "web_push"], "dry_run": True}

    # 8:00 is 6:00 UTC from tomorrow on; today it was 7:00.
    lena.at("2026-03-28 20:55")
    morning = {"not_before": "2026-03-28T20:00:00Z", "not_after": "2026-03-29T06:00:00Z"}
    first = await lena.peek(**wishes, constraints=morning)
    assert planned(first, "browse_reminder") == {local("2026-03-29 08:00")}
    night = await lena.peek(**wishes, constraints={**morning, "not_after": "2026-03-29T05:59:00Z"})
    assert not planned(night, "browse_reminder")
    assert reasons(night, "browse_reminder")["email"] == "quiet_hours"

    while lena.now < local("2026-03-29 09:00"):
        times = planned(await lena.peek(**wishes, horizon_hours=15), "browse_reminder")
        assert times
        assert all(8 <= time.hour < 21 for time in times)
        lena.now = (lena.now.astimezone(UTC) + timedelta(minutes=20)).astimezone(BERLIN)


async def some_days_after_the_delivery_she_is_asked_for_a_friend(lena: Shopper) -> None:
    lena.at("2026-03-31 11:00")
    await lena.does("deliver", order_id="o-1")
    lena.at("2026-04-01 11:00")
    early = await lena.ask(actions=["referral_ask"], horizon_hours=24)
    assert of(early) == ("hold", None)
    assert reasons(early, "referral_ask")["email"] == "outside_window"

    lena.at("2026-04-03 12:00")
    asked = await lena.ask(actions=["referral_ask"])
    assert of(asked) == ("referral_ask", "email")
    assert timedelta(days=3) <= send_at(asked) - local("2026-03-31 11:00") <= timedelta(days=7)
    await lena.is_sent(asked)
    lena.now += timedelta(days=2)
    again = await lena.ask(actions=["referral_ask"])
    assert reasons(again, "referral_ask")[None] == "cooldown", "once is enough"


async def she_comes_to_love_it(lena: Shopper) -> None:
    """Three more orders, one whenever a lipstick is used up."""
    for number in range(1, 4):
        lena.now = local("2026-03-27 19:40") + timedelta(days=LASTS * number)
        await lena.does("view", product_id=RED)
        await lena.buys(RED, order=f"o-{number + 1}")
        lena.now += timedelta(days=3)
        await lena.does("deliver", order_id=f"o-{number + 1}")
    assert await lena.stage() == "loyal"


async def she_is_reminded_before_she_runs_out(lena: Shopper) -> None:
    empty = local("2026-03-27 19:40") + timedelta(days=4 * LASTS)
    lena.now = (empty - timedelta(days=LASTS // 2)).replace(hour=9, minute=0)
    while of(reminder := await lena.ask(actions=["replenishment_reminder"])) == ("hold", None):
        assert reasons(reminder, "replenishment_reminder")[None] in ("not_eligible", "outside_window"), "she has plenty"
        assert datetime.fromisoformat(reminder["ask_again_at"]) <= lena.now + timedelta(days=1)
        lena.now += timedelta(days=1)
    lena.now = send_at(reminder)
    while (await lena.release(reminder))["verdict"] == "cancel":  # the date that is expected moves with each day
        reminder = await lena.ask(actions=["replenishment_reminder"], constraints={"not_before": lena.now.isoformat()})
        lena.now = send_at(reminder)
    assert of(reminder)[0] == "replenishment_reminder"
    assert timedelta(days=1) < empty - send_at(reminder) < timedelta(days=20)
    assert RED in reminder["choice"]["product_ids"]
    await lena.is_sent(reminder)


def caps_hold(lena: Shopper) -> None:
    """What was sent keeps to the policy that ships, whatever was asked."""
    config = NbaConfig.default()
    for name, channel in config.channels.items():
        times = [time for time, _, used in lena.sent if used == name]
        assert all(after - before >= timedelta(days=1) for before, after in pairwise(times)), f"{name}, one a day"
        assert most_within(times, timedelta(days=7)) <= (channel.per_week or 99)
    counted = [time for time, _, used in lena.sent if config.channels[used].counts]
    assert most_within(counted, timedelta(days=1)) <= (config.contact.per_day or 99)
    assert most_within(counted, timedelta(days=7)) <= (config.contact.per_week or 99)


def most_within(times: list[datetime], length: timedelta) -> int:
    """How many of some ascending times lie within such a stretch, at most."""
    return max((sum(first <= time < first + length for time in times) for first in times), default=0)
