"""Events, products and customers as documented in OpenAPI.

These models only describe: messages are read by hand in `serving.messages`, since they come in thousands a second, and
answers are written straight from the domain's objects.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

_OPEN = ConfigDict(extra="allow")


class EventRow(BaseModel):
    """An event as a row of the dataset contract. Fields that are no column are kept with it."""

    model_config = _OPEN

    event: str = Field(examples=["view"])
    timestamp: datetime | None = Field(default=None, description="When it happened; at receipt without it.")
    customer_id: str | None = None
    anonymous_id: str | None = None
    session_id: str | None = None
    product_id: str | None = None
    order_id: str | None = None
    quantity: float | None = Field(default=None, ge=0, description="1 by default; of a refund: everything.")
    price: float | None = Field(default=None, ge=0, description="Of one piece, as paid.")
    currency: str | None = None
    channel: str | None = None
    event_id: str | None = Field(default=None, description="Two events of one event_id are one event.")
    placement: str | None = None
    decision_id: str | None = None
    traits: dict[str, Any] | None = Field(default=None, description="Of an identify event.")


class EventRows(BaseModel):
    """Several rows."""

    events: list[EventRow]


class SegmentMessage(BaseModel):
    """A message of one of Segment's libraries."""

    model_config = _OPEN

    type: Literal["track", "identify", "page", "screen", "group", "alias"] | None = Field(
        default=None, description="By default that of the address."
    )
    event: str | None = Field(default=None, examples=["Product Viewed"])
    messageId: str | None = None  # noqa: N815  # Segment's own spelling
    userId: str | None = None  # noqa: N815
    anonymousId: str | None = None  # noqa: N815
    properties: dict[str, Any] | None = None
    traits: dict[str, Any] | None = None
    context: dict[str, Any] | None = None
    timestamp: datetime | None = None
    sentAt: datetime | None = None  # noqa: N815


class SegmentBatch(BaseModel):
    """Several messages."""

    model_config = _OPEN

    batch: list[SegmentMessage]
    writeKey: str | None = Field(default=None, description="The key, where no header has it.")  # noqa: N815


class Ga4Event(BaseModel):
    """One event of GA4."""

    name: str = Field(examples=["view_item"])
    params: dict[str, Any] | None = None


class Ga4Body(BaseModel):
    """A body of GA4's Measurement Protocol."""

    model_config = _OPEN

    client_id: str | None = None
    user_id: str | None = None
    timestamp_micros: int | None = None
    events: list[Ga4Event]


class Rejection(BaseModel):
    """A member that was not taken."""

    index: int = Field(description="Its place in the batch, from 0.")
    reason: str = Field(examples=["properties.price: negative"])


class EventsAnswer(BaseModel):
    """What became of the messages. What was accepted is on disk."""

    accepted: int
    duplicates: int = Field(description="Known before by their message or event id.")
    rejected: list[Rejection]


class ProductBody(BaseModel):
    """The whole of a product. Other fields are attributes: a string, a number, a boolean or a list of strings.

    At most 100 of them; names up to 100 characters, texts up to 5,000, lists up to 200 entries.
    """

    model_config = _OPEN

    product_id: str | None = Field(default=None, description="By default that of the address.")
    title: str | None = None
    category: str | None = Field(default=None, examples=["Lips > Lipstick"])
    brand: str | None = None
    price: float | None = Field(default=None, ge=0)
    sale_price: float | None = Field(default=None, ge=0)
    margin: float | None = None
    currency: str | None = None
    availability: Literal["in_stock", "out_of_stock", "preorder"] | None = None
    image_link: str | None = None
    item_group_id: str | None = None
    available_from: datetime | None = None


class ProductsBody(BaseModel):
    """Several products, each with its product_id."""

    products: list[ProductBody]


class ProductsAnswer(BaseModel):
    """What became of the products. What was accepted is on disk."""

    accepted: int
    rejected: list[Rejection]


class CustomerAnswer(BaseModel):
    """What is known of a person."""

    customer_id: str | None
    anonymous_ids: list[str] = Field(description="The visitors who are this person.")
    timezone: str | None
    consents: list[str] | None = Field(description="Channels; null: nobody said.")
    reachable: list[str] | None = Field(description="Channels; null: nobody said.")
    traits: dict[str, Any]
    first_seen: datetime
    last_seen: datetime
    events: dict[str, int] = Field(description="How many events of each name.")
    state: dict[str, float | None] = Field(description="The features that models see, now.")
    stage: str | None = Field(default=None, description="Where in their life with the shop; with a model of decisions.")
    segments: list[str] | None = Field(default=None, description="What they do; with a model of decisions.")
    scores: dict[str, float | None] | None = Field(default=None, description="What they are likely to do.")
    recent: list[dict[str, Any]] = Field(description="The events that came in last, newest first.")


class ErasedAnswer(BaseModel):
    """A person was erased."""

    erased: Literal[True] = True
    known: bool = Field(description="Whether anything was kept of them; whoever is unknown is noted all the same.")
    visitors: int = Field(description="How many visitors they were.")
    decisions: int = Field(description="How many decisions for them were erased.")
