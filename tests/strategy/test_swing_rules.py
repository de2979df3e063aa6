"""Swing detection equals the literal rule on anything, and knows nothing of the future."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle.swings import literal_swings

from engine.errors import DataError
from engine.strategy.swing import HIGH, NO_EVENT, UPDATE, SwingRule, detect, new_votes, next_event, start

VARIANTS = [(v, r) for v in ("ge2", "eq2") for r in ("first_vote", "alternation_first")]


@st.composite
def bars(draw, longest=120):
    """Bars on a coarse grid (many ties), walks and pure noise; lists of high, low, close."""
    span = draw(st.sampled_from([2, 4, 9, 40]))
    wander = draw(st.sampled_from([0, 1, 3]))
    size = draw(st.integers(0, longest))
    rows = draw(
        st.lists(
            st.tuples(st.integers(-wander, wander), st.integers(0, span), st.integers(0, span), st.integers(0, span)),
            min_size=size,
            max_size=size,
        )
    )  # fmt: skip
    level, high, low, close = 500, [], [], []
    for move, *prices in rows:
        level += move
        prices.sort()
        low.append(level + prices[0])
        high.append(level + prices[2])
        close.append(level + draw(st.sampled_from(prices)))
    return high, low, close


def events_of(high, low, close, variant, rule):
    found = detect(np.array(high, np.int32), np.array(low, np.int32), np.array(close, np.int32), variant=variant, same_bar_rule=rule)  # fmt: skip
    return [
        (int(e["conf"]), "H" if e["kind"] == HIGH else "L", int(e["index"]), int(e["price"]), bool(e["update"]))
        for e in found
    ]  # fmt: skip


def literal(high, low, close, variant, rule):
    events = literal_swings(high, low, close, variant=variant, same_bar_rule=rule)
    return [(e.conf, e.kind, e.index, e.price, e.update) for e in events]


@settings(deadline=None, max_examples=150)
@given(bars())
def test_any_bars_give_the_events_of_the_literal_rule(day):
    for variant, rule in VARIANTS:
        assert events_of(*day, variant, rule) == literal(*day, variant, rule)


@pytest.mark.parametrize("seed", range(40))
def test_long_rough_days_give_the_events_of_the_literal_rule(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(100, 390))
    middle = 1000 + np.cumsum(rng.integers(-3, 4, n)) * int(rng.integers(0, 4))
    spread = rng.integers(0, rng.integers(2, 30), (n, 3))
    low, high = middle - spread[:, 0], middle + spread[:, 1]
    close = np.clip(middle + spread[:, 2] - spread[:, 0], low, high)
    for variant, rule in VARIANTS:
        day = (high.tolist(), low.tolist(), close.tolist())
        assert events_of(*day, variant, rule) == literal(*day, variant, rule)


@settings(deadline=None, max_examples=60)
@given(bars(), bars(), st.integers(0, 120), st.sampled_from(VARIANTS))
def test_the_future_never_changes_an_event(day, other, cut, which):
    cut = min(cut, len(day[0]))
    changed = [mine[:cut] + theirs for mine, theirs in zip(day, other, strict=True)]
    past = [e for e in events_of(*day, *which) if e[0] < cut]
    assert [e for e in events_of(*changed, *which) if e[0] < cut] == past
    assert events_of(*(values[:cut] for values in day), *which) == past


@settings(deadline=None, max_examples=60)
@given(bars(), st.lists(st.integers(1, 40), max_size=20), st.sampled_from(VARIANTS))
def test_bars_may_be_given_in_any_strides(day, strides, which):
    high, low, close = (np.array(values, np.int32) for values in day)
    n = len(high)
    rule = SwingRule(which[0] == "eq2", which[1] == "alternation_first")
    cuts = np.minimum(np.cumsum([*strides, *[1] * n]), n).tolist()
    got, votes, state, i = [], new_votes(n), start(), 0
    for stop in cuts:
        while i < stop:
            i, event, state = next_event(high, low, close, i, stop, state, votes, rule)
            if event != NO_EVENT:
                kind = "H" if state.last == HIGH else "L"
                got.append((i - 1, kind, state.base, state.price, event == UPDATE))
    assert got == literal(*day, *which)


@settings(deadline=None, max_examples=60)
@given(bars(), st.sampled_from(VARIANTS))
def test_bars_behind_the_stop_may_hold_anything(day, which):
    """A live session grows its arrays; what lies beyond the last closed bar must not be read."""
    high, low, close = (np.array(values, np.int32) for values in day)
    n = len(high)
    rule = SwingRule(which[0] == "eq2", which[1] == "alternation_first")
    rng = np.random.default_rng(n)
    seen = [rng.integers(0, 2000, n + 20).astype(np.int32) for _ in range(3)]
    got, votes, state, i = [], new_votes(n + 20), start(), 0
    for stop in range(1, n + 1):
        for array, truth in zip(seen, (high, low, close), strict=True):
            array[stop - 1] = truth[stop - 1]
        i, event, state = next_event(*seen, i, stop, state, votes, rule)
        if event != NO_EVENT:
            kind = "H" if state.last == HIGH else "L"
            got.append((i - 1, kind, state.base, state.price, event == UPDATE))
    assert got == literal(*day, *which)


@settings(deadline=None, max_examples=80)
@given(bars(), st.integers(1, 7))
def test_only_the_order_of_prices_matters(day, factor):
    scaled = [[value * factor + 100 for value in values] for values in day]
    mine = [e[:3] + e[4:] for e in events_of(*day, "ge2", "first_vote")]
    assert [e[:3] + e[4:] for e in events_of(*scaled, "ge2", "first_vote")] == mine


@settings(deadline=None, max_examples=80)
@given(bars())
def test_highs_and_lows_are_mirror_images(day):
    high, low, close = day
    turned = ([2000 - v for v in low], [2000 - v for v in high], [2000 - v for v in close])
    for variant, rule in VARIANTS:
        mirrored = [
            (conf, "L" if kind == "H" else "H", index, 2000 - price, update)
            for conf, kind, index, price, update in events_of(*turned, variant, rule)
        ]
        assert mirrored == events_of(*day, variant, rule)


@settings(deadline=None, max_examples=150)
@given(bars(longest=40), st.sampled_from(VARIANTS))
def test_swing_lows_fit_the_room_that_is_kept_for_them(day, which):
    lows = [e for e in events_of(*day, *which) if e[1] == "L"]
    assert len(lows) <= len(day[0]) // 2 + 1


@settings(deadline=None, max_examples=60)
@given(bars(), st.sampled_from(VARIANTS))
def test_swings_alternate_and_updates_go_beyond(day, which):
    before = None
    for event in events_of(*day, *which):
        conf, kind, index, price, update = event
        assert index <= conf
        if before is None:
            assert not update
        elif update:
            assert kind == before[1]
            assert index > before[2]
            assert price > before[3] if kind == "H" else price < before[3]
        else:
            assert kind != before[1]
            assert index > before[2]
        before = event


def test_flat_data_never_makes_a_swing():
    assert len(detect([5] * 50, [5] * 50, [5] * 50)) == 0


def test_no_bars_make_no_swing():
    assert len(detect([], [], [])) == 0


@pytest.mark.parametrize(
    ("arguments", "options", "complaint"),
    [
        (([1, 2], [1], [1, 2]), {}, "have 2, 1, 2 bars; they must agree"),
        (([1.5, 2], [1, 1], [1, 2]), {}, "high must be a one-dimensional array of integer ticks"),
        (([[1]], [[1]], [[1]]), {}, "one-dimensional"),
        (([1, 2], [1, 3], [1, 2]), {}, "bar 1 has its low above its high"),
        (([1], [1], [1]), {"variant": "ge3"}, "use 'ge2' or 'eq2'"),
        (([1], [1], [1]), {"same_bar_rule": "last"}, "use 'first_vote' or 'alternation_first'"),
    ],
)
def test_wrong_input_is_told_plainly(arguments, options, complaint):
    with pytest.raises(DataError, match=complaint):
        detect(*arguments, **options)
