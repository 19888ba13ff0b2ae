"""The catalogue, live: products put, changed and taken out, seen by the next request for a list."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import anyio
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from features.contract import PRODUCTS, Column, Form
from features.store.base import EventStore, Json, ProductChange, StoreError
from serving.access import Access
from serving.addresses import parameters
from serving.bodies import json_answer, read_json
from serving.clocks import moment, rfc3339
from serving.fields import Rejected, amount, identifier
from serving.problems import INVALID_REQUEST, NOT_FOUND, STORE_UNAVAILABLE, ProblemError

log = logging.getLogger(__name__)

_COLUMNS = {column.name: column for column in PRODUCTS.columns}

#: Attributes of a product that are no columns of the contract.
MOST_ATTRIBUTES = 100

#: Characters of an attribute's name, and of a text.
LONGEST_NAME, LONGEST_TEXT = 100, 5_000

#: Texts in a list.
MOST_ENTRIES = 200


def product_of(said: object, product_id: str | None = None) -> tuple[str, Json]:
    """A product by the contract: its id, and what is known of it, JSON-ready.

    Columns of the contract are checked; others are attributes: a string, a number, a boolean or a list of strings.
    Nulls and empty strings are left out. ``available_from`` becomes RFC 3339 in UTC. There may be `MOST_ATTRIBUTES`,
    names of `LONGEST_NAME` characters, texts of `LONGEST_TEXT`, and lists of `MOST_ENTRIES`.

    Args:
        said: the product as sent.
        product_id: its id, where the address says it.

    Raises:
        Rejected: it cannot be taken; the reason names the field.
    """
    if not isinstance(said, dict):
        raise Rejected("not an object")
    named = identifier(said, "product_id")
    if product_id is None:
        product_id = named
    if product_id is None:
        raise Rejected("product_id: missing")
    if named is not None and named != product_id:
        raise Rejected(f"product_id: not that of the address, {product_id!r}")
    found: Json = {}
    attributes = 0
    for name, value in said.items():
        if name == "product_id" or value is None or value == "":
            continue
        if name in _COLUMNS:
            found[name] = _checked(said, _COLUMNS[name])
            continue
        attributes += 1
        if attributes > MOST_ATTRIBUTES:
            raise Rejected(f"{name[:LONGEST_NAME]}: one of more than {MOST_ATTRIBUTES} attributes")
        found[name] = _attribute(name, value)
    return product_id, found


def _checked(said: Json, column: Column) -> object:
    name, value = column.name, said[column.name]
    match column.form:
        case Form.ID:
            return identifier(said, name)
        case Form.TIME:
            try:
                return rfc3339(moment(value, name))
            except OverflowError:  # the last hours of the year 9999, west of Greenwich
                raise Rejected(f"{name}: not an RFC 3339 time") from None
        case Form.NUMBER if isinstance(value, int | float) and not isinstance(value, bool):
            return amount(said, name) if column.low is not None else float(value)
        case Form.NUMBER:
            raise Rejected(f"{name}: not a number")
        case _ if not isinstance(value, str):
            raise Rejected(f"{name}: not a text")
        case _ if column.values and value not in column.values:
            raise Rejected(f"{name}: none of {', '.join(column.values)}")
    return _text(name, value)


def _attribute(name: str, value: object) -> object:
    if not name:
        raise Rejected("a field without a name")
    if len(name) > LONGEST_NAME:
        raise Rejected(f"{name[:LONGEST_NAME]}…: a name longer than {LONGEST_NAME} characters")
    if isinstance(value, str):
        return _text(name, value)
    if isinstance(value, int | float):
        return value
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise Rejected(f"{name}: neither a string, a number, a boolean nor a list of strings")
    if len(value) > MOST_ENTRIES:
        raise Rejected(f"{name}: more than {MOST_ENTRIES} entries")
    return [_text(name, one) for one in value]


def _text(name: str, value: str) -> str:
    if len(value) > LONGEST_TEXT:
        raise Rejected(f"{name}: longer than {LONGEST_TEXT} characters")
    return value


def product_routes(
    store: EventStore,
    access: Access,
    *,
    body_limit: int,
    clock: Callable[[], int],
    trained: Callable[[str], Json | None],
) -> list[Route]:
    """The routes of the live catalogue. All of them need a secret key.

    Args:
        store: keeps the changes.
        access: who may.
        body_limit: largest body, bytes, also unpacked.
        clock: now, in microseconds since 1970 UTC.
        trained: what the catalogue of the model that answers knows of a product, None if it does not know it: the
            products nobody changed since.
    """
    products = _Products(store, access, body_limit, clock, trained)
    return [
        Route("/v1/products:batch", products.batch, methods=["POST"]),
        Route("/v1/products/{id:path}", products.put, methods=["PUT"]),
        Route("/v1/products/{id:path}", products.get, methods=["GET"]),
        Route("/v1/products/{id:path}", products.delete, methods=["DELETE"]),
    ]


class _Products:
    def __init__(
        self,
        store: EventStore,
        access: Access,
        body_limit: int,
        clock: Callable[[], int],
        trained: Callable[[str], Json | None],
    ) -> None:
        self._store = store
        self._access = access
        self._body_limit = body_limit
        self._clock = clock
        self._trained = trained

    async def put(self, request: Request) -> Response:
        """``PUT /v1/products/{id}``: the whole of a product."""
        self._access.admit(request, "secret")
        parameters(request)
        said = await read_json(request, self._body_limit)
        try:
            product = product_of(said, identifier(request.path_params, "id") or "")
            if not product[0]:
                raise Rejected("product_id: missing")
        except Rejected as rejected:
            raise ProblemError(INVALID_REQUEST, str(rejected)) from None
        await self._stored(self._store.put_products, [product], self._clock())
        return json_answer({"product_id": product[0], **product[1]})

    async def batch(self, request: Request) -> Response:
        """``POST /v1/products:batch``: many; each the whole of a product."""
        self._access.admit(request, "secret")
        parameters(request)
        body = await read_json(request, self._body_limit)
        members = body.get("products") if isinstance(body, dict) else body
        if not isinstance(members, list):
            raise ProblemError(INVALID_REQUEST, "products: not a list")
        accepted, rejected = [], []
        for index, member in enumerate(members):
            try:
                accepted.append(product_of(member))
            except Rejected as reason:
                rejected.append({"index": index, "reason": str(reason)})
        if accepted:
            await self._stored(self._store.put_products, accepted, self._clock())
        return json_answer({"accepted": len(accepted), "rejected": rejected})

    async def get(self, request: Request) -> Response:
        """``GET /v1/products/{id}``: what is known of a product."""
        self._access.admit(request, "secret")
        parameters(request)
        product_id = request.path_params["id"]
        known = await self._known(product_id)
        if known is None:
            raise _unknown(product_id)
        return json_answer({"product_id": product_id, **known})

    async def delete(self, request: Request) -> Response:
        """``DELETE /v1/products/{id}``: a product leaves the catalogue."""
        self._access.admit(request, "secret")
        parameters(request)
        product_id = request.path_params["id"]
        if await self._known(product_id) is None:
            raise _unknown(product_id)
        await self._stored(self._store.put_products, [(product_id, None)], self._clock())
        return Response(status_code=204)

    async def _known(self, product_id: str) -> Json | None:
        change: ProductChange | None = await self._stored(self._store.product, product_id)
        return self._trained(product_id) if change is None else change.attributes

    async def _stored(self, call: Callable[..., Any], *arguments: object) -> Any:
        """A call of the store, in a thread: it may wait for the disk."""
        try:
            return await anyio.to_thread.run_sync(call, *arguments)
        except StoreError:
            log.exception("the catalogue cannot be read or written")
            detail = "The catalogue was not changed; ask again."
            raise ProblemError(STORE_UNAVAILABLE, detail, headers={"Retry-After": "1"}) from None


def _unknown(product_id: str) -> ProblemError:
    return ProblemError(NOT_FOUND, f"There is no product {product_id!r}.")
