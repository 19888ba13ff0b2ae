"""A model of decisions over the live stores of a shop: people looked up, decided about, and their messages filled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from features.catalogue import Number, Tags, Text
from features.events import HOUR
from features.states import States
from features.store.base import DecisionStore, EventStore, Json, Standing, StoreError
from nba.arms import split_label
from nba.choose import best_arms, choose
from nba.config import NbaConfig
from nba.crowd import Crowd
from nba.decide import Decided, weighed
from nba.draws import draws
from nba.known import SCORES, SEGMENTS, STAGE, Known
from nba.one_customer import REMEMBERED, Customers, Seen, Sent, crowd_of, reserved
from nba.own_products import anchors
from nba.purse import Purse
from nba.questions import Filled, Question, Shelf, Wanted
from nba.scores import ScoreModels
from nba.tastes import TASTES
from nba.values import ValueModel

#: A contact that nobody reported counts for so long after its time.
GRACE = HOUR

#: How often somebody else may be first before a decision is given up.
TRIES = 8

#: People whose states are kept in memory: those who are asked about again and again.
REMEMBERED_STATES = 4_096

#: Label and channel of an arm.
Pair = tuple[str, str | None]


class Crowded(StoreError):
    """Others decide about the same people all the time; ask again."""


class Desk:
    """A model of decisions over a live shop. Calls may be made from any thread.

    Args:
        model: what arms are worth.
        config: what may be done.
        scores: of customers, or None.
        events: the live log.
        decisions: where decisions and contacts are kept.
        shelf: where the products of messages come from.
        holding: everybody gets hold.
        rules_text: what was laid over the configuration of the bundle.
    """

    def __init__(
        self,
        model: ValueModel,
        config: NbaConfig,
        scores: ScoreModels | None,
        events: EventStore,
        decisions: DecisionStore,
        shelf: Shelf,
        *,
        holding: bool = False,
        rules_text: str = "",
    ) -> None:
        self.rules_text = rules_text
        self.model = model
        self.config = config
        self.scores = scores
        self.holding = holding
        self._events = events
        self._decisions = decisions
        self._shelf = shelf
        self.customers = Customers(events, States(events, remembered=REMEMBERED_STATES))
        # An expression that names a score has its name in it: what no part of the configuration names is not computed.
        text = config.model_dump_json()
        self._wanted = frozenset(name for name in SCORES if name in text)

    def keep_up(self) -> None:
        """Nothing is held that could fall behind: people are looked up when they are asked about."""

    def profile(self, question: Question) -> Json:
        """``stage``, ``segments`` and ``scores`` of somebody."""
        upto = self._events.watermark().seq
        seen = self.customers.look(question.who, question.at, past=question.past, upto=upto, tastes=True)
        crowd = self.crowd([seen], [self.contacts(seen, self.standing(seen))], whole=True)
        config = self.config
        known = Known(crowd, config.attributes, config.stages, config.segments, {})
        stage, segments = known[STAGE], known[SEGMENTS]
        assert isinstance(stage, Text)  # noqa: S101  # by their definitions
        assert isinstance(segments, Tags)  # noqa: S101
        scores = {name: crowd.attributes[name] for name in SCORES if name in crowd.attributes}
        return {
            "stage": stage.values[int(stage.codes[0])] if stage.codes[0] >= 0 else None,
            "segments": [segments.values[int(code)] for code in segments.codes],
            "scores": {name: float(one.values[0]) for name, one in scores.items() if isinstance(one, Number)},
        }

    # What both drafting and looking again need

    def look(self, question: Question) -> tuple[Seen, Standing]:
        """A person, and what was decided for them."""
        mark = self._events.watermark()
        seen = self.seen(question, upto=mark.seq)
        return seen, self.standing(seen)

    def seen(self, question: Question, *, upto: int) -> Seen:
        """A person, from the log up to a sequence number."""
        tastes = self.scores is not None and not self._wanted.isdisjoint(TASTES)
        return self.customers.look(question.who, question.at, past=question.past, upto=upto, tastes=tastes)

    def standing(self, seen: Seen) -> Standing:
        """What was decided for a person."""
        return self._decisions.standing(seen.digests, since=seen.at - REMEMBERED)

    def contacts(self, seen: Seen, standing: Standing, *, but: str | None = None) -> list[Sent]:
        """What was sent to a person, and what is reserved: of a decision that was reported, the sending counts."""
        return labelled(seen, self.labels(seen, standing)) + self.waiting(seen, standing, but=but)

    def labels(self, seen: Seen, standing: Standing) -> dict[str, str]:
        """Actions of what was sent, by the decision that asked for it, where the event does not tell."""
        chosen = {one.decision_id: one.contact.action for one in standing.choices if one.contact is not None}
        asked = {one.decision_id for one in seen.sent if one.action is None}
        return {name: action for name, action in chosen.items() if name in asked}

    def waiting(self, seen: Seen, standing: Standing, *, but: str | None = None) -> list[Sent]:
        """Contacts that are reserved and not reported."""
        reported = {one.decision_id for one in seen.sent}
        return [
            reserved(one.contact)
            for one in standing.choices
            if one.contact is not None
            and one.state == "reserved"
            and one.contact.until > seen.at
            and one.decision_id not in reported
            and one.decision_id != but
        ]

    def crowd(self, seen: Sequence[Seen], contacts: Sequence[Sequence[Sent]], *, whole: bool = False) -> Crowd:
        """People with their contacts, as decisions are made from them. ``whole``: with all scores there are."""
        config = self.config
        only = None if whole else self._wanted
        names, channels = self.customers.names, tuple(config.channels)
        return crowd_of(seen, contacts, names, channels, config.attributes, self.scores, only)

    def decided(
        self,
        question: Question,
        seen: Sequence[Seen],
        contacts: Sequence[Sequence[Sent]],
        purse: Purse,
        planned: Sequence[Pair | None],
    ) -> Decided:
        """The decision itself, for people who are asked the same about.

        Args:
            question: one of them.
            seen: n people.
            contacts: of each.
            purse: what is left of the budgets.
            planned: of each what was settled to be best, and is if it is still open; None: nothing.
        """
        config = self.config
        found = weighed(question.asked, self.crowd(seen, contacts), self.model, config)
        bound = bool(purse.names)
        best = best_arms(found, prices=purse.prices if bound else None)
        for row, pair in enumerate(planned):
            arm = -1 if pair is None else found.menu.arms.find(*pair)
            if arm >= 0 and found.open[row, arm] and purse.has_place(arm):
                best[row] = arm
        chosen = choose(
            question.asked,
            found,
            config.policy,
            draws(config.policy, found.crowd.ids, found.crowd.at),
            greedy=best,
            explorable=purse.explorable if bound else None,
            holding=self.holding,
        )
        return Decided(found, chosen)

    def fill(
        self, question: Question, seen: Seen, label: str, *, keep: bool, exclude: tuple[str, ...] = ()
    ) -> Filled | None:
        """The products of a message, None where its action has none."""
        action = self.config.actions[split_label(label)[0]]
        if action.placement is None:
            return None
        beside = anchors(self._events, seen.person, action.anchors, upto=seen.seq)
        wanted = Wanted(question.who, action.placement, action.count, beside, question.at, question.past, exclude)
        return self._shelf.fill(wanted, keep=keep)

    def discount(self, label: str) -> float:
        """The share of the order that an offer gives."""
        name, offer = split_label(label)
        return next((one.discount for one in self.config.actions[name].offers if one.name == offer), 0.0)

    @property
    def stores(self) -> tuple[EventStore, DecisionStore, Shelf]:
        """What it stands on."""
        return self._events, self._decisions, self._shelf


def labelled(seen: Seen, labels: Mapping[str, str]) -> list[Sent]:
    """What was sent to a person, its actions filled in by the decisions that asked for it."""
    return [
        one if one.action is not None else replace(one, action=labels.get(one.decision_id or "")) for one in seen.sent
    ]
