"""Swing detection against answers that other programs gave, and against our own small answer file."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from oracle.swings import breaks, literal_swings

from engine.market.prices import to_ticks
from engine.params import load_params
from engine.strategy.candidates import LOW_EVENT, day_lows, level_names
from engine.strategy.rules import rules_for
from engine.strategy.swing import HIGH, detect

OURS = Path(__file__).with_name("swings_of_random_walks.json")
SEEDS = (14, 17, 21)
VARIANTS = (("ron", "ge2"), ("rail", "eq2"))


@pytest.fixture(scope="module")
def golden(shared):
    bars = pl.read_parquet(shared / "golden" / "swing_bars.parquet").with_columns(
        pl.col("family").cast(pl.String)
    )
    events = pl.read_parquet(shared / "golden" / "swing_events.parquet").with_columns(
        pl.col("variant", "event", "kind").cast(pl.String)
    )
    return bars.sort("seq", "feed_idx"), events.sort("variant", "seq", "ord")


def days_of(bars):
    """(sequence, family, accepted bars of one day) in feeding order."""
    accepted = bars.filter(pl.col("acc_idx") >= 0)
    for (seq, family, _), day in accepted.group_by("seq", "family", "day", maintain_order=True):
        yield seq, family, day


def engine_events(day, variant, same_bar_rule="first_vote"):
    """Events as (bar, new or upd, L or H, extreme, price)."""
    found = detect(
        day["h"].to_numpy(),
        day["l"].to_numpy(),
        day["c"].to_numpy(),
        variant=variant,
        same_bar_rule=same_bar_rule,
    )
    return [
        (
            int(e["conf"]),
            "upd" if e["update"] else "new",
            "H" if e["kind"] == HIGH else "L",
            int(e["index"]),
            int(e["price"]),
        )
        for e in found
    ]


@pytest.mark.parametrize(("reference", "variant"), VARIANTS)
def test_every_recorded_swing_is_found_and_no_other(golden, reference, variant):
    bars, events = golden
    got = {}
    for seq, _, day in days_of(bars):
        fed = day["feed_idx"].to_list()
        rows = [(fed[conf], conf, *rest) for conf, *rest in engine_events(day, variant)]
        got.setdefault(seq, []).extend(rows)
    wanted = {seq: [] for seq in got}
    recorded = events.filter((pl.col("variant") == reference) & (pl.col("event") != "brk"))
    columns = ("seq", "conf_feed_idx", "conf_acc_idx", "event", "kind", "idx", "price_t")
    for seq, *row in recorded.select(columns).iter_rows():
        wanted[seq].append(tuple(row))
    assert len(got) == 157
    assert recorded.height == {"ron": 9157, "rail": 9164}[reference]
    assert got == wanted


@pytest.mark.parametrize(("reference", "variant"), VARIANTS)
def test_updates_name_the_swing_they_replace(golden, reference, variant):
    bars, events = golden
    replaced = []
    for seq, _, day in days_of(bars):
        before = None
        for event in engine_events(day, variant):
            if event[1] == "upd":
                replaced.append((seq, *before[3:5]))
            before = event
    recorded = events.filter((pl.col("variant") == reference) & (pl.col("event") == "upd"))
    assert replaced == list(recorded.select("seq", "prev_idx", "prev_price_t").iter_rows())


@pytest.mark.parametrize(("reference", "variant"), VARIANTS)
def test_breaks_follow_from_the_swings(golden, reference, variant):
    bars, events = golden
    got = []
    for seq, _, day in days_of(bars):
        highs, lows, fed = day["h"].to_list(), day["l"].to_list(), day["feed_idx"].to_list()
        found = detect(np.array(highs), np.array(lows), day["c"].to_numpy(), variant=variant)
        told = [_Told(e) for e in found]
        for bar, index, price, highest in breaks(highs, lows, told, including_swing_bar=reference == "rail"):
            got.append((seq, fed[bar], index, price, highest))
    recorded = events.filter((pl.col("variant") == reference) & (pl.col("event") == "brk"))
    columns = ("seq", "conf_feed_idx", "idx", "price_t", "hh_since_t")
    assert got == list(recorded.select(columns).iter_rows())


class _Told:
    def __init__(self, event):
        self.conf, self.index, self.price = int(event["conf"]), int(event["index"]), int(event["price"])
        self.kind, self.update = "H" if event["kind"] == HIGH else "L", bool(event["update"])


@pytest.mark.parametrize(("reference", "variant"), VARIANTS)
def test_vwap_of_a_swing_low_is_that_of_its_first_extreme(golden, reference, variant):
    bars, events = golden
    params = load_params(
        swing_variant=variant,
        min_entry_price_rupees=0.05,
        max_entry_price_rupees=20_000,
        min_vwap_premium_percent=-100,
    )
    rules = rules_for(params, 65)
    refused = set(bars.filter(pl.col("family") == "badts")["seq"])  # refused bars count in their vwap column
    worst = compared = 0
    got = {}
    for seq, _, day in days_of(bars):
        grid = [day[name].to_numpy().astype(np.int32)[None, :] for name in "hlcv"]
        out = np.zeros(day.height // 2 + 2, LOW_EVENT)
        valid = np.ones(grid[0].shape, np.bool_)
        found, _, _ = day_lows(*grid, valid, rules, np.zeros(len(level_names(())), np.int64), out)
        for event in out[:found]:
            vwap = event["vwap_numerator"] / event["vwap_denominator"] / 20
            got.setdefault(seq, []).append((int(event["swing_index"]), int(event["swing_low"]), vwap))
    lows = events.filter(
        (pl.col("variant") == reference) & (pl.col("event") != "brk") & (pl.col("kind") == "L")
    )
    for (seq,), rows in lows.group_by("seq", maintain_order=True):
        ours = got[seq]
        assert [o[:2] for o in ours] == list(rows.select("idx", "price_t").iter_rows())
        if seq in refused:
            continue
        for (_, _, vwap), recorded in zip(ours, rows["vwap"], strict=True):
            worst = max(worst, abs(vwap - recorded))
            compared += 1
    assert compared > 4000
    assert worst < 1e-5


def _hand_cases(shared):
    return json.loads((shared / "golden" / "swing_hand.json").read_text())


@pytest.mark.parametrize(("reference", "variant"), VARIANTS)
def test_hand_cases(shared, reference, variant):
    cases = _hand_cases(shared)
    assert len(cases) == 20
    for name, case in cases.items():
        _, high, low, close = ([to_ticks(bar[k]) for bar in case["bars_ohlc"]] for k in range(4))
        found = detect(high, low, close, variant=variant)
        got = [
            (int(e["conf"]), "upd" if e["update"] else "new", "H" if e["kind"] == HIGH else "L", int(e["index"]), int(e["price"]))
            for e in found
        ]  # fmt: skip
        told = [_Told(e) for e in found]
        broken = [
            (bar, "brk", "L", index, price, highest)
            for bar, index, price, highest in breaks(high, low, told, including_swing_bar=reference == "rail")
        ]
        wanted = [
            (e["conf"], e["event"], e["kind"], e["idx"], to_ticks(e["price"]))
            + ((to_ticks(e["hh"]),) if e["event"] == "brk" else ())
            for e in case[reference]
        ]
        assert got == [w for w in wanted if w[1] != "brk"], name
        assert broken == [w for w in wanted if w[1] == "brk"], name


def _walk(seed):
    """A seeded random walk of 375 bars; integers only, so every machine makes the same."""
    state = seed
    price, bars = 3000, []
    for _ in range(375):
        trail = [price]
        for _ in range(3):
            state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
            trail.append(max(trail[-1] + ((state >> 33) % 9 - 4), 1))
        bars.append((max(trail), min(trail), trail[-1]))
        price = trail[-1]
    return bars


def our_answers():
    """What the literal rule says about three seeded walks; written to the answer file."""
    answers = {}
    for seed in SEEDS:
        high, low, close = zip(*_walk(seed), strict=True)
        for variant in ("ge2", "eq2"):
            for rule in ("first_vote", "alternation_first"):
                events = literal_swings(high, low, close, variant=variant, same_bar_rule=rule)
                answers[f"{seed} {variant} {rule}"] = [
                    [e.conf, "upd" if e.update else "new", e.kind, e.index, e.price] for e in events
                ]
    return answers


def test_our_own_answers_hold():
    answers = json.loads(OURS.read_text())
    assert answers == our_answers(), "the literal rule itself has changed"
    for name, wanted in answers.items():
        seed, variant, rule = name.split()
        high, low, close = zip(*_walk(int(seed)), strict=True)
        day = pl.DataFrame({"h": high, "l": low, "c": close})
        got = [list(e) for e in engine_events(day, variant, rule)]
        assert got == wanted, name
    # the walks are rough enough to tell the variants apart
    assert answers["17 ge2 first_vote"] != answers["17 eq2 first_vote"]
    assert answers["14 ge2 first_vote"] != answers["14 ge2 alternation_first"]
