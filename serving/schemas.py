"""Requests and answers of the HTTP API, as documented in OpenAPI.

The answer models only describe: answers are written straight from the domain's objects (`serving.recommendations`).
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, StrictBool

_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def _only_rfc_3339(value: object) -> object:
    # Left alone, pydantic also takes "1700000000" for a time.
    if not (isinstance(value, str) and _RFC_3339.fullmatch(value)):
        raise ValueError("Must be an RFC 3339 time with its offset, such as 2026-01-31T09:30:00Z")
    return value


def _empty_is_absent(value: object) -> object:
    # Page templates write customer_id="" for a visitor who is not logged in.
    return None if value == "" else value


Moment = Annotated[AwareDatetime, BeforeValidator(_only_rfc_3339)]
Id = Annotated[str, Field(coerce_numbers_to_str=True)]
Who = Annotated[Id | None, BeforeValidator(_empty_is_absent)]
Count = Annotated[int, Field(ge=1, le=100)]
ItemKind = Literal["product", "category", "brand", "collection"]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Context(_Body):
    """Where on the site the list will stand."""

    product_ids: list[Id] = Field(
        default=[], max_length=1000, description="The product of the page, or those in the cart."
    )
    category: str | None = Field(default=None, description="The category of the page, e.g. `Lips > Lipstick`.")


class BlockBody(_Body):
    """One placement asked for."""

    placement: str = Field(examples=["frequently_bought_together"])
    context: Context | None = None
    count: Annotated[Count, Field(strict=True)] = Field(default=10, description="How many items, 1 to 100.")
    filter: str | None = Field(
        default=None,
        description="SQL boolean expression over catalogue columns.",
        examples=["price < 30 and brand = 'OPI'"],
    )
    exclude: list[Id] = Field(default=[], max_length=10_000, description="Products that must not appear.")


class RecommendationsBody(_Body):
    """Who asks, and for which placements."""

    customer_id: Who = Field(default=None, description="The shop's id of a customer; unknown ones are ordinary.")
    anonymous_id: Who = Field(default=None, description="The id of a visitor who is not identified.")
    session_id: Who = Field(default=None, description="The id of a visit, where there is no anonymous_id.")
    at: Moment | None = Field(default=None, description="The moment to answer for; now by default.")
    blocks: list[BlockBody] = Field(min_length=1, max_length=20, description="No product is repeated across them.")
    explain: StrictBool = Field(default=False, description="Adds to each item what its score was made of.")
    dry_run: StrictBool = Field(default=False, description="The answer is not to be counted as shown to anybody.")


class ListQuery(BaseModel):
    """Query parameters of one block."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    customer_id: Who = Field(default=None, description="The shop's id of a customer; unknown ones are ordinary.")
    anonymous_id: Who = Field(default=None, description="The id of a visitor who is not identified.")
    session_id: Who = Field(default=None, description="The id of a visit, where there is no anonymous_id.")
    product_id: list[str] = Field(
        default=[], max_length=1000, description="The product of the page, or those in the cart; repeatable."
    )
    category: str | None = Field(default=None, description="The category of the page, e.g. `Lips > Lipstick`.")
    count: Count = Field(default=10, description="How many items, 1 to 100.")
    filter: str | None = Field(default=None, description="SQL boolean expression over catalogue columns.")
    exclude: list[str] = Field(default=[], max_length=10_000, description="A product that must not appear; repeatable.")


class Reason(BaseModel):
    """Why an item stands in a list; further members depend on the code."""

    model_config = ConfigDict(extra="allow")

    code: str


class ItemAnswer(BaseModel):
    """One entry of a list. Placements add members of their own."""

    model_config = ConfigDict(extra="allow")

    kind: ItemKind
    id: str
    rank: int = Field(description="From 1.")
    score: float
    propensity: float = Field(description="Probability that this item stands at this rank; 1 without exploration.")
    source: str = Field(description="What proposed it.")
    fallback_level: int = Field(description="0 is the placement's own source.")
    reasons: list[Reason]
    product: dict[str, Any] | None = Field(default=None, description="What the catalogue knows of a product.")
    due_at: datetime | None = Field(default=None, description="buy_it_again: when it is due.")
    due_probability: float | None = Field(default=None, description="buy_it_again: probability that it is due.")
    support: float | None = Field(default=None, description="frequently_bought_together: orders with both.")
    lift: float | None = Field(default=None, description="frequently_bought_together: how much oftener than by chance.")


class ModelAnswer(BaseModel):
    """The model that answered."""

    name: str
    version: str


class FunnelStep(BaseModel):
    """How many candidates came into a step and how many it left."""

    step: str
    in_: int = Field(alias="in")
    out: int


class BlockAnswer(BaseModel):
    """One answered placement."""

    model_config = ConfigDict(extra="allow")

    placement: str
    model: ModelAnswer
    items: list[ItemAnswer]
    funnel: list[FunnelStep]
    bundle_total: float | None = Field(default=None, description="frequently_bought_together: price of all together.")


class RecommendationsAnswer(BaseModel):
    """The lists, in the order asked for."""

    decision_id: str
    took_ms: float
    blocks: list[BlockAnswer]


class DecisionAnswer(BaseModel):
    """A decision that was kept: lists have `blocks`, an action what was answered, a release its verdict."""

    model_config = ConfigDict(extra="allow")

    decision_id: str
    made_at: datetime
    kind: str = Field(description="`recommendations`, `action` or `release`.")
    customer_id: str | None
    anonymous_id: str | None
    model: dict[str, Any] = Field(description="Name, version, bundle; and the event up to which rankings counted.")
    rules: str | None = Field(description="SHA-256 of the merchandiser's rules, or the contact file, in force.")
    log: dict[str, int] = Field(description="How far the shop was known: event, product change, number of products.")
    request: dict[str, Any]
    blocks: list[dict[str, Any]] | None = Field(default=None, description="Of lists.")
    choice: dict[str, Any] | None = Field(default=None, description="Of an action or a release.")
    degraded: bool | None = Field(default=None, description="The model failed, and something simpler answered.")
    sha256: str = Field(description="Of the answer as it was sent.")


class ReplayAnswer(BaseModel):
    """Whether a decision made again is the same, byte for byte."""

    match: bool
    diff: list[dict[str, Any]] | None = Field(default=None, description="Where not: place, then, now.")


class Fault(BaseModel):
    """One fault of a request."""

    detail: str
    pointer: str | None = Field(default=None, description="JSON pointer (RFC 6901) into the body.")
    parameter: str | None = Field(default=None, description="Name of a query parameter.")


class Problem(BaseModel):
    """RFC 9457 problem details."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:segue:problem:filter"])
    title: str
    status: int
    detail: str
    position: int | None = Field(default=None, description="Where in a filter the fault is, from 0.")
    errors: list[Fault] | None = None


class VersionAnswer(BaseModel):
    """One registered version."""

    version: str
    aliases: list[str]
    created_at: datetime | None = None
    run_id: str | None = None


class AliasBody(_Body):
    """The version that is to have an alias."""

    version: Annotated[int, Field(ge=1)] = Field(description="As /v1/models lists it.", examples=[3])


class AliasAnswer(BaseModel):
    """The alias was moved, or was there already."""

    name: str
    alias: str
    version: int
    previous: int | None = Field(description="The version that had it before.")
    returned: bool = Field(description="It had the alias before, so no evidence was asked for.")
    verdict: dict[str, Any] | None = Field(description="The evidence stored when the version was trained.")


class ServedModel(BaseModel):
    """A model this process answers from."""

    name: str
    version: str
    loaded_at: datetime


class RegisteredModelAnswer(BaseModel):
    """A model, its versions, newest first, and the one that answers here."""

    name: str
    serving: ServedModel | None
    versions: list[VersionAnswer]


class ModelsAnswer(BaseModel):
    """What is registered."""

    models: list[RegisteredModelAnswer]


class LiveAnswer(BaseModel):
    """The process runs."""

    status: Literal["live"] = "live"


class ReadyAnswer(BaseModel):
    """The process can answer."""

    status: Literal["ready"] = "ready"
    models: list[ServedModel]
    last_poll: datetime | None = Field(description="When the registry was last looked at.")
    last_error: str | None = Field(description="What went wrong then, if anything; the model above still answers.")
