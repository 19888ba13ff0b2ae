"""Which arms may be chosen for whom, whatever the hour."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from features.catalogue import Column
from features.events import DAY
from nba.asked import Asked
from nba.codes import Code
from nba.columns import holds
from nba.config import NbaConfig
from nba.crowd import Crowd
from nba.menu import Menu

Mask = NDArray[np.bool_]
Codes = NDArray[np.int8]
Floats = NDArray[np.float64]


def eligible(
    asked: Asked,
    crowd: Crowd,
    known: Mapping[str, Column],
    menu: Menu,
    config: NbaConfig,
    *,
    cost: Floats,
    allowed: Mask | None = None,
) -> Codes:
    """The first reason against each arm, int8[n, A] of `nba.codes.Code`; 0 where there is none. Hold is always open.

    Args:
        asked: actions, channels and constraints of the request.
        crowd: n customers.
        known: what expressions name (`nba.known`).
        menu: A arms.
        config: the expressions.
        cost: float64[A], of a contact.
        allowed: bool[n, A] or bool[A], what may be chosen beside all this; None: everything.
    """
    n = len(crowd)
    codes: Codes = np.zeros((n, len(menu.arms)), dtype=np.int8)
    exclude(codes, _not_asked(asked, menu, config))
    exclude(codes, menu.unlisted)
    if allowed is not None:
        exclude(codes, np.where(allowed, np.int8(0), np.int8(Code.NOT_OFFERED)))
    exclude(codes, _ineligible(known, menu, n, set(menu.action[(codes == 0).any(axis=0)].tolist()))[:, menu.action])
    exclude(codes, _unreached(crowd, known, menu)[:, menu.channel])
    limit = asked.constraints.max_cost
    if limit is not None:
        exclude(codes, np.where(cost > limit, np.int8(Code.TOO_COSTLY), np.int8(0)))
    coupons = config.policy.coupons
    if coupons is not None and menu.coupon.any():
        full = _coupons_given(crowd, menu, round(config.policy.coupon_days * DAY)) >= coupons
        exclude(codes, np.where(full[:, None] & menu.coupon, np.int8(Code.TOO_MANY_COUPONS), np.int8(0)))
    codes[:, 0] = Code.OPEN
    return codes


def exclude(codes: Codes, reasons: Codes) -> None:
    """Put reasons, int8[n, A] or int8[A], where there is none yet."""
    np.copyto(codes, reasons, where=codes == 0)


def _not_asked(asked: Asked, menu: Menu, config: NbaConfig) -> Codes:
    """int8[A]."""
    codes = np.zeros(len(menu.arms), dtype=np.int8)
    if asked.channels is not None:
        wanted = np.array([*(name in asked.channels for name in menu.arms.channels), True])
        codes[~wanted[menu.channel]] = Code.CHANNEL_NOT_ASKED
    if asked.actions is not None or asked.journey is not None:
        wanted = np.array([*(asked.wants(text, config) for text in menu.arms.actions), True])
        codes[~wanted[menu.arms.action]] = Code.NOT_ASKED
    return codes


def _ineligible(known: Mapping[str, Column], menu: Menu, n: int, wanted: set[int]) -> Codes:
    """int8[n, K + 1], what speaks against each action; those that are not wanted are not looked at."""
    rules = [(place, one.config.eligible) for place, one in enumerate(menu.actions) if place in wanted]
    told = [(place, holds(rule, known, n)) for place, rule in rules if rule is not None]
    codes = np.zeros((n, len(menu.actions) + 1), dtype=np.int8)
    if told:
        eligible_ = np.stack([mask for _, mask in told], axis=1)
        codes[:, [place for place, _ in told]] = np.where(eligible_, Code.OPEN, Code.NOT_ELIGIBLE)
    return codes


def _unreached(crowd: Crowd, known: Mapping[str, Column], menu: Menu) -> Codes:
    """int8[n, C + 1], what speaks against each channel."""
    n = len(crowd)
    codes = np.zeros((n, len(menu.channels) + 1), dtype=np.int8)
    here = {name: place for place, name in enumerate(crowd.channels)}
    columns = [here.get(name, -1) for name in menu.arms.channels]
    if columns and crowd.channels:
        refused = np.where(crowd.reachable, Code.OPEN, Code.NOT_REACHABLE)
        refused[~crowd.consented] = Code.NO_CONSENT
        codes[:, :-1] = refused[:, columns]
    codes[:, :-1][:, [column < 0 for column in columns]] = Code.NO_CONSENT
    codes[:, ~menu.consent] = Code.OPEN
    for place, channel in enumerate(menu.channels):
        if channel.requires is not None:
            applies = holds(channel.requires, known, n)
            codes[~applies & (codes[:, place] == 0), place] = Code.CHANNEL_NOT_APPLICABLE
    return codes


def _coupons_given(crowd: Crowd, menu: Menu, length: int) -> NDArray[np.int64]:
    """int64[n], coupons given in the ``length`` microseconds before now, or promised."""
    contacts = crowd.contacts
    coupon = np.array([*(text in menu.coupons for text in contacts.actions), False])[contacts.action]
    owner = contacts.owner[coupon]
    recent = contacts.time[coupon] > crowd.at[owner] - length
    return np.bincount(owner[recent], minlength=len(crowd))
