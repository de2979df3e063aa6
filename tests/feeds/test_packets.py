"""Kite's frames as the official client reads them, in one pass."""

import base64
import json
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kiteconnect import KiteTicker

from engine.history.bars import TICK
from engine.live.feeds.packets import NO_TOTAL, parse, runs
from engine.live.feeds.wire import FeedError
from engine.practice.kite_packets import FULL, INDEX_FULL, INDEX_QUOTE, LTP, QUOTE, frame

NOW = 1_788_234_300_000_000_000
INDEX = 256265
KINDS = {"ltp": LTP, "quote": QUOTE, "full": FULL, "index_quote": INDEX_QUOTE, "index_full": INDEX_FULL}


def official(payload):
    return KiteTicker("k", "t")._parse_binary(payload)


def read(payload, tokens, index=INDEX):
    wanted = np.array(sorted(tokens), np.int64)
    return parse(payload, wanted, np.arange(len(wanted), dtype=np.int32), index, NOW)


def packet(kind, token, draw):
    dtype = KINDS[kind]
    made = np.frombuffer(draw.bytes(dtype.itemsize), dtype).copy()
    made["length"] = dtype.itemsize - 2
    made["token"] = token
    made["last"] = draw.integers(0, 2_000_000)
    return made


def assert_same(payload, tokens):
    """Every tick and index value as the official client has it."""
    ticks, values = read(payload, tokens)
    told = official(payload)
    options = [
        tick for tick in told if tick["instrument_token"] in tokens and "change" not in tick_keys(tick)
    ]
    places = {token: place for place, token in enumerate(sorted(tokens))}
    assert len(ticks) == len(options)
    for mine, theirs in zip(ticks, options, strict=True):
        paise = round(theirs["last_price"] * 100)
        assert mine["instrument"] == places[theirs["instrument_token"]]
        assert mine["price"] == (paise // 5 if paise % 5 == 0 else 0)
        assert mine["volume"] == theirs.get("volume_traded", NO_TOTAL)
        stamp = theirs.get("exchange_timestamp")
        assert mine["exchange_ns"] == (NOW if stamp is None else int(stamp.timestamp()) * 10**9)
        assert mine["receive_ns"] == NOW
    indices = [tick for tick in told if tick["instrument_token"] == INDEX]
    assert [value.last for value in values] == [round(tick["last_price"] * 100) for tick in indices]
    assert [value.open for value in values] == [
        round(tick["ohlc"]["open"] * 100) if "ohlc" in tick else 0 for tick in indices
    ]


def tick_keys(tick):
    """An index tick is known by its length, which the official client forgets: it has no volume."""
    return {"change"} if tick["mode"] != "ltp" and "volume_traded" not in tick else set()


@pytest.mark.parametrize("mode", ["full", "quote"])
def test_the_published_samples_are_read_as_the_official_client_reads_them(shared, mode):
    folder = shared / "fixtures" / "kite"
    raw = base64.b64decode((folder / f"ticker_{mode}.packet").read_text())
    payload = struct.pack(">HH", 1, len(raw)) + raw
    told = json.loads((folder / f"ticker_{mode}.json").read_text())
    (theirs,) = official(payload)
    ticks, values = read(payload, [theirs["instrument_token"]])
    assert values == []
    assert len(ticks) == 1
    assert ticks[0]["price"] * 5 == round(theirs["last_price"] * 100)
    assert ticks[0]["volume"] == theirs["volume_traded"]
    assert theirs["instrument_token"] == (told[0] if isinstance(told, list) else told)["instrument_token"]
    if mode == "full":
        assert ticks[0]["exchange_ns"] == int(theirs["exchange_timestamp"].timestamp()) * 10**9


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["ltp", "quote", "full"]), st.integers(0, 30)), max_size=60),
    st.lists(st.sampled_from(["ltp", "index_quote", "index_full"]), max_size=3),
    st.integers(0, 2**32 - 1),
)
def test_random_frames_are_read_as_the_official_client_reads_them(options, indices, seed):
    draw = np.random.default_rng(seed)
    tokens = [(1000 + place) << 8 | 2 for place in range(20)]  # 20 to 30 are not wanted
    parts = [packet(kind, (1000 + place) << 8 | 2, draw) for kind, place in options]
    parts += [packet(kind, INDEX, draw) for kind in indices]
    order = draw.permutation(len(parts))
    payload = frame([parts[place] for place in order])
    if payload:
        assert_same(payload, tokens)


def test_a_thousand_packets_of_one_kind_are_one_run():
    draw = np.random.default_rng(2)
    parts = [packet("full", (1000 + place) << 8 | 2, draw) for place in range(1000)]
    parts.append(packet("index_full", INDEX, draw))
    payload = frame(parts)
    assert [len(run) for run in runs(payload)] == [1000, 1]
    assert_same(payload, [(1000 + place) << 8 | 2 for place in range(1000)])


def test_a_price_off_the_tick_is_zero():
    parts = [packet("quote", 514, np.random.default_rng(1)) for _ in range(3)]
    for part, paise in zip(parts, (10_165, 10_166, 10_170), strict=True):
        part["last"] = paise
    ticks, _ = read(frame(parts), [514])
    assert ticks["price"].tolist() == [2033, 0, 2034]
    assert ticks.dtype == TICK


def test_a_missing_exchange_time_is_the_time_of_receipt():
    made = packet("full", 514, np.random.default_rng(1))
    made["exchange_time"] = 0
    ticks, _ = read(frame([made]), [514])
    assert ticks["exchange_ns"].tolist() == [NOW]


def test_heartbeats_and_packets_of_unknown_length_hold_no_tick():
    assert runs(b"\x00") == []
    assert runs(b"\x00\x00") == []
    known = packet("ltp", 514, np.random.default_rng(1)).tobytes()
    payload = struct.pack(">HH", 2, 12) + b"x" * 12 + known
    assert [len(run) for run in runs(payload)] == [1]
    assert len(official(payload)) == 1


def test_a_frame_that_ends_early_is_refused():
    payload = frame([packet("full", 514, np.random.default_rng(1))])
    for cut in (3, 10, len(payload) - 1):
        with pytest.raises(FeedError):
            runs(payload[:cut])


def test_nothing_wanted_nothing_read():
    ticks, values = read(frame([packet("full", 514, np.random.default_rng(1))]), [])
    assert len(ticks) == len(values) == 0
