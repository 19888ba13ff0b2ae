"""Requests and answers of the calls for decisions, as documented in OpenAPI.

The answer models only describe: answers are written by `nba.telling` and `nba.release`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictFloat, StrictInt, StrictStr

from serving.schemas import Id, Moment, Who

Said = StrictBool | StrictInt | StrictFloat | StrictStr | list[StrictStr] | None
Amount = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ConstraintsBody(_Body):
    """What the answer has to keep to."""

    max_cost: Amount | None = Field(default=None, ge=0, description="Of the contact.")
    min_incremental_value: Amount | None = Field(default=None, description="Less is not worth a contact.")
    not_before: Moment | None = Field(default=None, description="Of sending.")
    not_after: Moment | None = Field(default=None, description="Of sending.")


class QuestionBody(_Body):
    """What is asked, beside of whom."""

    at: Moment | None = Field(default=None, description="The moment to answer for; now by default.")
    horizon_hours: Annotated[int, Field(strict=True, ge=0, le=336)] | None = Field(
        default=None, description="How far ahead a contact may be planned; as configured by default."
    )
    actions: list[StrictStr] | None = Field(
        default=None, max_length=1000, description="Only these, by name or `action:offer`.", examples=[["survey"]]
    )
    channels: list[StrictStr] | None = Field(default=None, max_length=100, description="Only these.")
    constraints: ConstraintsBody | None = None
    journey: StrictStr | None = Field(default=None, description="Only the actions of this journey.")
    context: dict[str, Said] = Field(
        default={},
        max_length=50,
        description="The page that asks, by names that expressions know as `context_NAME`.",
        examples=[{"page": "cart", "device": "mobile"}],
    )
    dry_run: StrictBool = Field(default=False, description="Nothing is kept and nothing reserved.")


class DecisionBody(QuestionBody):
    """Whom to decide about, and what is asked."""

    customer_id: Who = Field(default=None, description="The shop's id of a customer; unknown ones are ordinary.")
    anonymous_id: Who = Field(default=None, description="The id of a visitor who is not identified.")


class DecisionsBatchBody(QuestionBody):
    """Many customers at once."""

    customer_ids: list[Id] | None = Field(max_length=1_000_000, description="null: every customer of the shop.")


class ReleaseBody(_Body):
    """Nothing needs to be said."""

    at: Moment | None = Field(default=None, description="The moment to look again; now by default.")


class ChoiceAnswer(BaseModel):
    """What to do. `hold`: nothing, which has no channel."""

    action: str
    offer: str | None = None
    channel: str | None
    send_at: datetime | None = Field(description="null: now, on the page that asks; and for hold.")
    product_ids: list[str]


class AlternativeAnswer(BaseModel):
    """Another thing that could have been done."""

    action: str
    offer: str | None = None
    channel: str | None
    send_at: datetime | None
    expected_value: float
    incremental_value: float


class ExcludedAnswer(BaseModel):
    """What could not be done, and why: an action, a channel, or one on the other."""

    action: str | None = None
    offer: str | None = None
    channel: str | None = None
    stage: Literal["eligibility", "applicability", "suitability", "contact_policy"]
    code: str


class PolicyAnswer(BaseModel):
    """What decided. `fallback`: the model failed."""

    name: str
    version: str


class NextActionAnswer(BaseModel):
    """The next best action for one customer."""

    decision_id: str
    choice: ChoiceAnswer
    propensity: float = Field(description="Probability of this action on this channel, among all that was possible.")
    send_at_propensity: float = Field(description="Probability of this hour, given both.")
    expected_value: float
    incremental_value: float = Field(description="Over holding, costs and the price of attention taken off.")
    interval: tuple[float, float] = Field(description="95%, of the incremental value.")
    alternatives: list[AlternativeAnswer]
    excluded: list[ExcludedAnswer]
    policy: PolicyAnswer
    ask_again_at: datetime | None = Field(default=None, description="Of a hold: when the answer may be another.")


class ReleaseAnswer(BaseModel):
    """Whether a decision may still be sent."""

    verdict: Literal["send", "replace", "cancel"]
    reason: str
    choice: ChoiceAnswer | None = Field(default=None, description="What to send.")


class BatchLine(BaseModel):
    """One line of a batch: an answer, or a problem."""

    model_config = ConfigDict(extra="allow")

    customer_id: str
    decision_id: str | None = None
    problem: dict[str, Any] | None = None
