"""Keys, scopes, signatures, allowances; and pages on other origins."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

import httpx
import pytest

from serving.access import TokenBuckets
from serving.keys import Keys, KeysError, read_keys
from serving.settings import Settings
from tests.serving.shelves import serving
from tests.serving.test_recommendations import HOME, assert_problem

SECRET, PUBLIC, SIGNING = "sk-1", "pk-1", "a secret for signing"


@pytest.fixture
def guarded(settings: Settings, tmp_path: Path) -> Settings:
    """The service with a secret and a public key."""
    file = tmp_path / "keys.toml"
    lines = [f'signing_secret = "{SIGNING}"']
    for name, scope, key in (("server", "secret", SECRET), ("web", "public", PUBLIC)):
        digest = hashlib.sha256(key.encode()).hexdigest()
        lines.append(f'[[keys]]\nname = "{name}"\nscope = "{scope}"\nsha256 = "{digest}"')
    file.write_text("\n".join(lines), encoding="utf-8")
    return settings.model_copy(update={"keys_file": file})


def bearer(key: str) -> dict[bytes, bytes]:
    return {b"Authorization": f"Bearer {key}".encode()}


def signature(customer_id: str) -> str:
    return hmac.new(SIGNING.encode(), customer_id.encode(), hashlib.sha256).hexdigest()


@pytest.mark.anyio
@pytest.mark.parametrize(
    "headers", [{}, bearer("wrong"), {b"Authorization": f"Basic {SECRET}".encode()}, bearer(""), bearer("ü")]
)
async def test_without_a_valid_key_nothing_is_told(guarded: Settings, headers: dict[bytes, bytes]) -> None:
    async with serving(guarded) as client:
        for answer in (
            await client.post("/v1/recommendations", json=HOME, headers=headers),
            await client.get("/v1/recommendations/best_sellers", headers=headers),
            await client.get("/v1/models", headers=headers),
            await client.get("/metrics", headers=headers),
        ):
            assert_problem(answer, 401, "unauthenticated")
            assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/docs", "/openapi.json", "/v1/segue.js"])
async def test_what_holds_no_secret_is_open(guarded: Settings, path: str) -> None:
    async with serving(guarded) as client:
        assert (await client.get(path)).status_code == 200


@pytest.mark.anyio
async def test_a_secret_key_may_do_everything(guarded: Settings) -> None:
    async with serving(guarded) as client:
        client.headers.update(bearer(SECRET))
        answer = await client.post("/v1/recommendations", json={"customer_id": "known", **HOME})
        assert answer.status_code == 200
        assert (await client.get("/v1/models")).status_code == 200
        assert (await client.get("/metrics")).status_code == 200


@pytest.mark.anyio
async def test_a_public_key_sees_a_visitor_but_not_the_operations(guarded: Settings) -> None:
    async with serving(guarded) as client:
        client.headers.update(bearer(PUBLIC))
        answer = await client.post("/v1/recommendations", json={"anonymous_id": "a", **HOME})
        assert answer.status_code == 200
        assert_problem(await client.get("/v1/models"), 403, "forbidden")
        assert_problem(await client.get("/metrics"), 403, "forbidden")


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("customer_id", "sent", "status"),
    [
        ("known", signature("known"), 200),
        ("known", signature("known").upper(), 200),
        ("ünïcode/💄", signature("ünïcode/💄"), 200),
        ("known", signature("somebody else"), 403),
        ("known", "", 403),
        ("known", "ü", 403),
    ],
)
async def test_a_public_key_sees_a_customer_by_signature(
    guarded: Settings, customer_id: str, sent: str, status: int
) -> None:
    async with serving(guarded) as client:
        client.headers.update({**bearer(PUBLIC), b"Segue-Customer-Signature": sent.encode()})
        posted = await client.post("/v1/recommendations", json={"customer_id": customer_id, **HOME})
        got = await client.get("/v1/recommendations/best_sellers", params={"customer_id": customer_id})
    assert (posted.status_code, got.status_code) == (status, status)
    if status == 403:
        assert_problem(posted, 403, "forbidden")


def test_no_signature_is_valid_without_a_secret() -> None:
    keys = Keys.model_validate({"keys": [{"name": "web", "scope": "public", "sha256": "0" * 64}]})
    assert not keys.signed("c", hmac.new(b"", b"c", hashlib.sha256).hexdigest())


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "keys: Field required"),
        ("keys = []", "keys: Tuple should have at least 1 item"),
        ('[[keys]]\nname = "a"\nscope = "root"\nsha256 = "' + "0" * 64 + '"', "keys.0.scope"),
        ('[[keys]]\nname = "a"\nscope = "public"\nsha256 = "the key itself"', "keys.0.sha256"),
        ("keys = [", "keys.toml"),
    ],
)
def test_a_broken_file_of_keys_is_told_by_place(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "keys.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(KeysError, match=r"keys\.toml") as raised:
        read_keys(file)
    assert told in str(raised.value)
    assert "the key itself" not in str(raised.value)


@pytest.mark.anyio
async def test_a_caller_has_an_allowance(guarded: Settings) -> None:
    async with serving(guarded.model_copy(update={"rate_limit": 0.001})) as client:
        for key in (SECRET, PUBLIC):  # an allowance each
            assert (await client.post("/v1/recommendations", json=HOME, headers=bearer(key))).status_code == 200
            answer = await client.post("/v1/recommendations", json=HOME, headers=bearer(key))
            assert_problem(answer, 429, "rate-limited")
            assert 0 < int(answer.headers["retry-after"]) <= 1000


@pytest.mark.anyio
async def test_the_allowance_of_a_public_key_is_counted_by_address(guarded: Settings) -> None:
    async with serving(guarded.model_copy(update={"rate_limit": 0.001})) as client:
        for address in ("192.0.2.1", "192.0.2.2"):
            transport = client._transport
            assert isinstance(transport, httpx.ASGITransport)
            transport.client = (address, 1)
            assert (await client.post("/v1/recommendations", json=HOME, headers=bearer(PUBLIC))).status_code == 200
            assert (await client.post("/v1/recommendations", json=HOME, headers=bearer(PUBLIC))).status_code == 429


def test_an_allowance_fills_with_time() -> None:
    now = [0.0]
    buckets = TokenBuckets(rate=2.0, clock=lambda: now[0])
    assert [buckets.take("a") for _ in range(4)] == [0.0] * 4
    assert buckets.take("a") == pytest.approx(0.5)
    assert buckets.take("b") == 0.0
    now[0] = 0.5
    assert buckets.take("a") == 0.0
    assert buckets.take("a") == pytest.approx(0.5)
    now[0] = 1000.0
    assert [buckets.take("a") > 0 for _ in range(5)] == [False] * 4 + [True]


def test_callers_that_come_once_do_not_fill_the_memory() -> None:
    buckets = TokenBuckets(rate=1.0, clock=lambda: 0.0)
    for caller in range(30_000):
        buckets.take(str(caller))
    assert len(buckets._buckets) == 20_000


@pytest.mark.anyio
async def test_a_page_of_another_origin_may_ask(settings: Settings) -> None:
    shop = "https://shop.example"
    async with serving(settings.model_copy(update={"allowed_origins": (shop,)})) as client:
        asking = {
            "Origin": shop,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,content-type,segue-customer-signature",
        }
        preflight = await client.options("/v1/recommendations", headers=asking)
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == shop
        assert "POST" in preflight.headers["access-control-allow-methods"]
        answer = await client.post("/v1/recommendations", json=HOME, headers={"Origin": shop})
        assert answer.headers["access-control-allow-origin"] == shop
        refused = await client.post("/v1/recommendations", json={}, headers={"Origin": shop})
        assert refused.status_code == 422
        assert refused.headers["access-control-allow-origin"] == shop, "a page must be able to read what was wrong"
        other = await client.post("/v1/recommendations", json=HOME, headers={"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers


@pytest.mark.anyio
async def test_any_page_may_ask_by_default(client: httpx.AsyncClient) -> None:
    answer = await client.get("/v1/recommendations/best_sellers", headers={"Origin": "https://shop.example"})
    assert answer.headers["access-control-allow-origin"] == "*"
