"""The splits: what may be fitted on, what is asked, and what the right answers are, one constructor each.

Who is asked about, and in which order, follows from the log alone. Splits with one moment for everybody (temporal,
basket, session) fit on what was known before it; splits with a moment for each customer (leave-one-out, next-basket) go
by when things happened.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from features.catalogue import Catalogue, Time
from features.events import INTEREST, NEVER, EventLog, Kind
from features.histories import Histories, Ragged, gather
from features.past import (
    Mask,
    Orders,
    Rows,
    before_rows,
    customer_count,
    end_of,
    events_before,
    just_before,
    known_before,
    of_customers,
    products_by_person,
    target_events,
    target_kind,
)
from recommender.queries import Questions
from training.slices import slices_of
from training.split import EvaluationError, Part, Split

TEST_SHARE = 0.1

#: Shares of the events before the cuts of `rolling`.
ROLLING_CUTS = (0.5, 0.6, 0.7, 0.8)
BASKET_SIZES = (2, 20)


def leave_one_out(log: EventLog, *, part: Part = "test", refit: bool = True) -> Split:
    """Customers with at least three target events: the last is the test's target, the one before the validation's.

    History and exclusion hold everything before the target; a target the customer had before stays and is a miss.
    ``refit=False`` keeps the validation targets out of what the test part is fitted on (not out of the histories).

    Raises:
        EvaluationError: nobody has three.
    """
    targets = np.flatnonzero(target_events(log) & of_customers(log))
    targets = targets[np.argsort(log.person[targets], kind="stable")]
    counts = np.bincount(log.person[targets], minlength=len(log.people))
    people = np.flatnonzero(counts >= 3)
    if len(people) == 0:
        what = "purchases" if target_kind(log) == Kind.PURCHASE else "views"
        raise EvaluationError(
            f"no customer has three {what}; leave-one-out needs a history, a validation and a test event"
        )
    last = np.cumsum(counts)[people] - 1
    asked = targets[last] if part == "test" else targets[last - 1]
    fit_log = before_rows(log, people, asked if refit else targets[last - 1])
    truth, person = _single(log.product[asked]), people.astype(np.int32)
    return Split(
        name="leave-one-out",
        part=part,
        fit_log=fit_log,
        fit_at=end_of(fit_log),
        questions=_personal(log, people, asked, exclude_had=True),
        question=np.arange(len(people)),
        truth=truth,
        person=person,
        weight=np.ones(len(people)),
        skipped={"fewer than three target events": customer_count(log) - len(people)},
        slices=slices_of(log, fit_log, truth, person),
    )


def temporal(log: EventLog, catalogue: Catalogue, *, part: Part = "test", at: int | None = None) -> Split:
    """One cut for everybody; the target is a customer's first target product after it that they did not have before.

    Args:
        log: the whole log.
        catalogue: its ``available_from`` says which products without events are on sale at the cut.
        part: the test part is cut where 80% of the events have happened; the validation part asks about events between
            70% and 80%, i.e. from 7/8 of the events before the test's cut up to it.
        at: the test's cut, microseconds UTC, in place of the 80%.

    Raises:
        EvaluationError: nothing happened before the cut, or nobody got something new after it.
    """
    cut, end = (_quantile(log, 0.8) if at is None else at), NEVER
    if part == "validation":
        cut, end = _quantile(log.take(log.time < cut), 7 / 8), cut
    fit_log = known_before(log, cut)
    if len(fit_log) == 0:
        raise EvaluationError("no event was known before the cut; choose a later one")
    had = log.of_kind(target_kind(log)) & (log.time < cut) & (log.reversed_at >= cut)
    pair = log.person.astype(np.int64) * len(log.products) + log.product
    after = np.flatnonzero(target_events(log) & of_customers(log) & (log.time >= cut) & (log.time < end))
    new = after[~np.isin(pair[after], pair[had])]
    people, first = np.unique(log.person[new], return_index=True)
    if len(people) == 0:
        raise EvaluationError(
            "no customer got a product after the cut that they did not have before; choose an earlier cut"
        )
    truth, person = _single(log.product[new[first]]), people.astype(np.int32)
    before = fit_log.of_kind(target_kind(log))
    known = np.bincount(fit_log.product[fit_log.product >= 0], minlength=len(log.products)) > 0
    histories = Histories.of(fit_log)
    return Split(
        name="temporal",
        part=part,
        fit_log=fit_log,
        fit_at=cut,
        questions=Questions(
            at=np.full(len(people), cut, dtype=np.int64),
            histories=histories,
            shopper=people.astype(np.int64),
            seen=np.diff(histories.indptr)[people],
            anchors=Ragged.empty(len(people)),
            exclude=products_by_person(fit_log, before).take(people.astype(np.int64)),
            allowed=known | _on_sale(catalogue, cut),
        ),
        question=np.arange(len(people)),
        truth=truth,
        person=person,
        weight=np.ones(len(people)),
        skipped={
            "no target event after the cut": customer_count(log) - len(np.unique(log.person[after])),
            "nothing new after the cut": len(np.unique(log.person[after])) - len(people),
        },
        slices=slices_of(log, fit_log, truth, person),
    )


def next_basket(log: EventLog, *, part: Part = "test") -> Split:
    """The last order of each customer with at least two; repeats are wanted, so nothing is excluded.

    The validation part asks for the order before it, of customers with at least three; the orders of the test are in
    neither part's fit.

    Raises:
        EvaluationError: nobody has enough orders.
    """
    orders = Orders.of(log, customers_only=True)
    by_person = np.argsort(orders.person, kind="stable")
    counts = np.bincount(orders.person, minlength=len(log.people))
    last = np.cumsum(counts) - 1
    needed = 2 if part == "test" else 3
    several, people = np.flatnonzero(counts >= 2), np.flatnonzero(counts >= needed)
    if len(people) == 0:
        raise EvaluationError(f"no customer has {needed} orders; next-basket needs a history and an order after it")
    asked = by_person[last[people] - (needed - 2)]
    # Customers with two orders are not asked in the validation part, but their test order stays hidden there too.
    hidden = by_person[last[several] - np.minimum(counts[several] - 2, needed - 2)]
    rows = orders.first[asked]
    fit_log = before_rows(log, several, orders.first[hidden])
    truth, person = orders.products.take(asked), people.astype(np.int32)
    return Split(
        name="next-basket",
        part=part,
        fit_log=fit_log,
        fit_at=end_of(fit_log),
        questions=_personal(log, people, rows, exclude_had=False),
        question=np.arange(len(people)),
        truth=truth,
        person=person,
        weight=np.ones(len(people)),
        skipped={f"fewer than {'two' if needed == 2 else 'three'} orders": customer_count(log) - len(people)},
        slices=slices_of(log, fit_log, truth, person),
    )


def basket(log: EventLog, *, part: Part = "test") -> Split:
    """The last 10% of orders by time, those with 2 to 20 products: each product is the anchor once, the rest the truth.

    The shopper is nobody: what is judged is the list of a product page. One question is asked a product, and a row's
    weight is 1 ÷ products of its order, so that every order counts the same. The validation part is the 10% before.

    Raises:
        EvaluationError: no order of that size, or nothing before the first one.
    """
    orders = Orders.of(log, customers_only=False)
    chosen, cut = _last_share(orders.started, part)
    fit_log = known_before(log, cut)
    sizes = np.diff(orders.products.indptr)
    fits = (sizes[chosen] >= BASKET_SIZES[0]) & (sizes[chosen] <= BASKET_SIZES[1])
    asked = chosen[fits]
    if len(asked) == 0 or len(fit_log) == 0:
        raise EvaluationError(
            "basket needs orders of 2 to 20 products among the last tenth of all orders, and earlier ones"
        )
    lines = orders.products.take(asked)
    order = np.repeat(asked, sizes[asked])
    indptr, entries = gather(orders.products.indptr, order)
    row = np.repeat(np.arange(len(order)), np.diff(indptr))
    rest = orders.products.values[entries]
    other = rest != lines.values[row]
    anchors, question = np.unique(lines.values, return_inverse=True)
    nobody = np.zeros(len(anchors), dtype=np.int64)
    truth = Ragged(np.concatenate([[0], np.cumsum(np.diff(indptr) - 1)]).astype(np.int64), rest[other])
    person = orders.person[order]
    return Split(
        name="basket",
        part=part,
        fit_log=fit_log,
        fit_at=cut,
        questions=Questions(
            at=np.full(len(anchors), cut, dtype=np.int64),
            histories=Histories.empty(1),
            shopper=nobody,
            seen=nobody,
            anchors=_single(anchors),
            exclude=Ragged.empty(len(anchors)),
        ),
        question=question,
        truth=truth,
        person=person,
        weight=1 / sizes[order],
        skipped={"orders without 2 to 20 products": len(chosen) - len(asked)},
        slices=slices_of(log, fit_log, truth, person),
    )


def session(log: EventLog, *, part: Part = "test") -> Split:
    """The last 10% of sessions by start, of those in which one product follows another: at each step the next product.

    Repeats of a product in a row count once. The anchor is the current product, the only one excluded; the history is
    everything the person did before the step, in this session and earlier. The validation part is the 10% before.

    Raises:
        EvaluationError: no such session, or nothing before the first one.
    """
    rows = np.flatnonzero(log.of_kind(*INTEREST))
    rows = rows[np.argsort(log.session[rows], kind="stable")]
    number, product = log.session[rows], log.product[rows]
    follows = np.zeros(len(rows), dtype=bool)
    follows[1:] = (number[1:] == number[:-1]) & (product[1:] != product[:-1])
    everything, starts = np.unique(number, return_index=True)
    eligible, place = np.unique(number[follows], return_inverse=True)
    if len(eligible) == 0:
        raise EvaluationError(
            "in no session does one product follow another; session needs views, carts or purchases in a row"
        )
    started = log.time[rows[starts[np.searchsorted(everything, eligible)]]]
    by_start = np.lexsort((eligible, started))
    chosen, cut = _last_share(started[by_start], part)
    fit_log = known_before(log, cut)
    if len(fit_log) == 0:
        raise EvaluationError("nothing happened before the sessions to be evaluated; session needs a longer log")
    step = np.flatnonzero(follows)[np.isin(place, by_start[chosen])]
    step = step[np.argsort(rows[step])]
    asked, current = rows[step], product[step - 1]
    truth, person = _single(product[step]), log.person[asked]
    kept = log.take(log.reversed_at >= cut)
    # Row numbers in `kept` of what was asked: refunded purchases before it are gone.
    gone = np.concatenate([[0], np.cumsum(log.reversed_at < cut)])
    # The histories are asked at many moments, and a removal from the cart says nothing of those before it.
    without_removals = kept.take(kept.kind != Kind.REMOVE_FROM_CART)
    return Split(
        name="session",
        part=part,
        fit_log=fit_log,
        fit_at=cut,
        questions=Questions(
            at=just_before(log, asked),
            histories=Histories.of(without_removals),
            shopper=log.person[asked].astype(np.int64),
            seen=events_before(kept, log.person[asked], asked - gone[asked]),
            anchors=_single(current),
            exclude=_single(current),
        ),
        question=np.arange(len(step)),
        truth=truth,
        person=person,
        weight=np.ones(len(step)),
        skipped={"sessions of one product": len(everything) - len(eligible)},
        slices=slices_of(log, fit_log, truth, person),
    )


def rolling(log: EventLog, catalogue: Catalogue) -> list[Split]:
    """The temporal split at several cuts, each asking about what happens up to the next; the last is the plain one.

    One cut is one season: a rolling origin (Tashman 2000) tells more from the same log. Cuts that cannot be judged are
    left out.

    Raises:
        EvaluationError: none of them can be judged.
    """
    cuts = sorted({_quantile(log, share) for share in ROLLING_CUTS})
    found = []
    for cut, end in zip(cuts, [*cuts[1:], NEVER], strict=True):
        try:
            found.append(temporal(log.take(log.time < end), catalogue, at=cut))
        except EvaluationError as error:
            why = error
    if not found:
        raise why
    return found


def _quantile(log: EventLog, share: float) -> int:
    """The moment before which at most this share of the events happened."""
    if len(log) == 0:
        raise EvaluationError("there are no events to cut; the temporal split needs a log with a past and a future")
    return int(np.sort(log.time)[int(share * len(log))])


def _last_share(started: NDArray[np.int64], part: Part) -> tuple[Rows, int]:
    """Places of the last tenth (or the tenth before) of ascending start times, and the first start among them."""
    n = len(started)
    size = max(1, int(TEST_SHARE * n))
    stop = n if part == "test" else n - size
    chosen = np.arange(max(stop - size, 0), stop)
    return chosen, int(started[chosen[0]]) if len(chosen) else 0


def _personal(log: EventLog, people: Rows, rows: Rows, *, exclude_had: bool) -> Questions:
    """One question about each of these people, just before their row."""
    log_before = before_rows(log, people, rows)
    histories = Histories.of(log_before)
    had = products_by_person(log_before, log_before.of_kind(target_kind(log)))
    return Questions(
        at=just_before(log, rows),
        histories=histories,
        shopper=people,
        seen=np.diff(histories.indptr)[people],
        anchors=Ragged.empty(len(people)),
        exclude=had.take(people) if exclude_had else Ragged.empty(len(people)),
    )


def _single(products: NDArray[np.int32]) -> Ragged:
    """Rows of one product."""
    return Ragged(np.arange(len(products) + 1, dtype=np.int64), products.astype(np.int32))


def _on_sale(catalogue: Catalogue, at: int) -> Mask:
    """Products whose ``available_from`` says they were there at a moment."""
    column = catalogue.columns.get("available_from")
    if not isinstance(column, Time):
        return np.zeros(len(catalogue), dtype=bool)
    return np.asarray((column.values != np.iinfo(np.int64).min) & (column.values <= at), dtype=np.bool_)
