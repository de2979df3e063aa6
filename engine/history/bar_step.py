"""The compiled step from ticks to 1-minute bars: record layouts and kernels behind `engine.history.bars`.

Per instrument two bars can be open: the minute that runs and, within the grace, the one before. The clock closes
them; ticks only fill them.
"""

import numpy as np
import numpy.typing as npt

from engine.compiled import njit
from engine.history.vwap import add_bar
from engine.market.clock import NS_PER_MINUTE

Records = npt.NDArray[np.void]
Record = np.void
Counts = npt.NDArray[np.int64]

TICK = np.dtype(
    [
        ("exchange_ns", np.int64),  # UTC ns told by the exchange; 0 where the feed gives none
        ("receive_ns", np.int64),  # UTC ns at which we got it; 0 in recordings without it
        ("volume", np.int64),  # units: day's total so far, or this trade's quantity, by the builder's mode
        ("price", np.int32),  # ticks; 0 or less is refused
        ("instrument", np.int32),  # 0-based number of the contract
        ("feed", np.int32),  # which feed it came from; volumes of two feeds are never subtracted
    ]
)

BAR = np.dtype(
    [
        ("instrument", np.int32),
        ("minute", np.int32),  # minute of the session, 0 = first
        ("open", np.int32),  # ticks
        ("high", np.int32),
        ("low", np.int32),
        ("close", np.int32),
        ("volume", np.int64),  # units traded in the minute
        ("ticks", np.int32),  # ticks that made the bar
        ("thin", np.bool_),  # fewer than THIN_TICKS
        ("pv3", np.int64),  # session sum of (high + low + close) * volume, this bar included
        ("session_volume", np.int64),  # session sum of volume, this bar included
    ]
)

THIN_TICKS = 5
CUMULATIVE, PER_TRADE, NO_VOLUME = 0, 1, 2

# what became of a tick: index into the counts
_ACCEPTED, _DUPLICATE, _LATE, _BAD_PRICE, _BAD_VOLUME, _OUTSIDE, _QUOTE = range(7)

MEMORY = 256  # ticks of one instrument and minute remembered to tell duplicates

SLOT = np.dtype(
    [
        ("minute", np.int32),  # -1 = empty
        ("open", np.int32),
        ("high", np.int32),
        ("low", np.int32),
        ("close", np.int32),
        ("ticks", np.int32),
        ("first_ns", np.int64),
        ("last_ns", np.int64),
        ("total", np.int64),  # largest cumulative volume seen in the minute; -1 = none
        ("settled", np.int64),  # units already known, apart from `total`
    ]
)

STATE = np.dtype(
    [
        ("base", np.int64),  # cumulative volume at the end of the last closed bar; -1 = unknown
        ("last_total", np.int64),  # of the newest tick
        ("last_ns", np.int64),
        ("last_price", np.int32),
        ("feed", np.int32),  # -1 = none yet
        ("closed", np.int32),  # last closed minute
        ("quote_ns", np.int64),  # first packet without a trade of `quote_minute`, whose bar is not open yet
        ("quote_minute", np.int32),
        ("quote_price", np.int32),
        ("quotes", np.int32),
        ("remembered", np.int32),  # ticks ever put into the memory
        ("pv3", np.int64),
        ("session_volume", np.int64),
    ]
)

SEEN = np.dtype(
    [
        ("ns", np.int64),
        ("receive_ns", np.int64),
        ("volume", np.int64),
        ("price", np.int32),
        ("minute", np.int32),
        ("newest_ns", np.int64),  # of this and all remembered before it
    ]
)


@njit(cache=True)
def settle_totals(slots: Records, state: Record) -> None:
    """Turn the totals of an instrument's open bars into known units, so that counting can start anew."""
    for place in range(2):
        slot = slots[place]
        if slot["minute"] >= 0 and slot["total"] >= 0:
            if state["base"] >= 0 and slot["total"] > state["base"]:
                slot["settled"] += slot["total"] - state["base"]
            state["base"] = max(state["base"], slot["total"])
            slot["total"] = -1


@njit(cache=True)
def _emit(slot: Record, state: Record, instrument: int, room: Records, made: int) -> int:
    """Write a closing bar into `room` and empty its slot."""
    volume = slot["settled"]
    if slot["total"] >= 0:
        if state["base"] >= 0 and slot["total"] > state["base"]:
            volume += slot["total"] - state["base"]
        state["base"] = max(state["base"], slot["total"])
    weighted, traded, _, _ = add_bar(
        state["pv3"], state["session_volume"], slot["high"], slot["low"], slot["close"], volume
    )
    state["pv3"] = weighted
    state["session_volume"] = traded
    bar = room[made]
    bar["instrument"] = instrument
    bar["minute"] = slot["minute"]
    bar["open"] = slot["open"]
    bar["high"] = slot["high"]
    bar["low"] = slot["low"]
    bar["close"] = slot["close"]
    bar["volume"] = volume
    bar["ticks"] = slot["ticks"]
    bar["thin"] = slot["ticks"] < THIN_TICKS
    bar["pv3"] = state["pv3"]
    bar["session_volume"] = state["session_volume"]
    state["closed"] = slot["minute"]
    slot["minute"] = -1
    return made + 1


@njit(cache=True)
def close_bars(
    slots: Records,
    state: Records,
    clock: Counts,
    room: Records,
    made: int,
    now_ns: int,
    open_ns: int,
    grace_ns: int,
) -> int:
    """Emit the bars of all minutes that ended a grace before `now_ns`."""
    passed = (now_ns - open_ns - grace_ns) // NS_PER_MINUTE
    if passed <= clock[0]:
        return made
    clock[0] = passed
    for instrument in range(state.shape[0]):
        for place in range(2):  # slot 0 is the older minute
            slot = slots[instrument][place]
            if 0 <= slot["minute"] < passed:
                made = _emit(slot, state[instrument], instrument, room, made)
    return made


@njit(cache=True)
def _is_repeat(seen: Records, state: Record, ns: int, tick: Record, minute: int, mode: int) -> bool:
    """
    Whether the tick is one already had in this minute; if not, remember it.

    Two trades of the same price and quantity within the clock's resolution are two trades unless their receive
    times agree as well; with totals, an equal total means that nothing was traded between them. The newest is compared
    first, and what is before one that is older than the tick, as all before it, is not looked at.
    """
    count = state["remembered"]
    newest_ns = ns
    if count:
        newest_ns = max(ns, seen[(count - 1) % MEMORY]["newest_ns"])
    for back in range(min(count, MEMORY)):
        had = seen[(count - 1 - back) % MEMORY]
        if had["newest_ns"] < ns:
            break
        if (
            had["minute"] == minute
            and had["ns"] == ns
            and had["price"] == tick["price"]
            and (mode == NO_VOLUME or had["volume"] == tick["volume"])
            and (mode != PER_TRADE or had["receive_ns"] == tick["receive_ns"])
        ):
            return True
    entry = seen[count % MEMORY]
    entry["minute"] = minute
    entry["ns"] = ns
    entry["price"] = tick["price"]
    entry["volume"] = tick["volume"]
    entry["receive_ns"] = tick["receive_ns"]
    entry["newest_ns"] = newest_ns
    state["remembered"] += 1
    return False


@njit(cache=True)
def _slot_for(
    slots: Records, state: Record, instrument: int, minute: int, room: Records, made: int
) -> tuple[int, int]:
    """The slot of a minute, opened if need be; slot 0 holds the older one. -1 if two newer ones are open."""
    for place in range(2):
        if slots[place]["minute"] == minute:
            return place, made
    if slots[1]["minute"] >= 0 and minute < slots[1]["minute"]:
        if slots[0]["minute"] >= 0:
            if minute < slots[0]["minute"]:
                return -1, made
            made = _emit(slots[0], state, instrument, room, made)
        place = 0
    else:
        if slots[1]["minute"] >= 0:
            if slots[0]["minute"] >= 0:
                made = _emit(slots[0], state, instrument, room, made)
            slots[0] = slots[1]
        place = 1
    slot = slots[place]
    slot["minute"] = minute
    slot["ticks"] = 0
    slot["total"] = -1
    slot["settled"] = 0
    return place, made


@njit(cache=True)
def _is_quote(state: Record, ns: int, tick: Record, mode: int) -> bool:
    """Whether a packet tells of no new trade (cumulative mode only), judged before the state takes it in."""
    if mode != CUMULATIVE or ns < state["last_ns"]:
        return False
    if state["base"] < 0 or state["last_price"] == 0:
        return bool(state["base"] < 0 or tick["volume"] == 0)
    unchanged = tick["volume"] == 0 or tick["volume"] == state["last_total"]
    return bool(unchanged and tick["price"] == state["last_price"])


@njit(cache=True)
def _hold_quote(state: Record, ns: int, tick: Record, minute: int) -> None:
    """Keep a packet that repeats the last trade, in case its minute gets a bar."""
    if state["quote_minute"] != minute:
        state["quote_minute"] = minute
        state["quotes"] = 0
        state["quote_ns"] = ns
    state["quote_price"] = tick["price"]
    state["quotes"] += 1


@njit(cache=True)
def _take_quotes(slot: Record, state: Record) -> None:
    """Begin a bar with the packets that stood before its first trade: they are ticks of that minute."""
    slot["open"] = slot["high"] = slot["low"] = slot["close"] = state["quote_price"]
    slot["first_ns"] = slot["last_ns"] = state["quote_ns"]
    slot["ticks"] = state["quotes"]
    state["quotes"] = 0


@njit(cache=True)
def _count_from(slots: Records, state: Record, ns: int, tick: Record) -> None:
    """
    Start counting anew where the feed changed or its counter restarted.

    A total of 0 after trades is a packet without volume, not a restart.
    """
    if state["feed"] >= 0 and tick["feed"] != state["feed"]:
        settle_totals(slots, state)
        state["base"] = -1
    elif ns > state["last_ns"] and 0 < 2 * tick["volume"] < state["last_total"]:
        settle_totals(slots, state)
        state["base"] = tick["volume"]
    state["feed"] = tick["feed"]


@njit(cache=True)
def _take(slot: Record, ns: int, tick: Record, mode: int) -> None:
    """Put a tick into its bar; equal times keep the order they came in."""
    price = tick["price"]
    if slot["ticks"] == 0:
        slot["open"] = slot["high"] = slot["low"] = slot["close"] = price
        slot["first_ns"] = slot["last_ns"] = ns
    else:
        slot["high"] = max(slot["high"], price)
        slot["low"] = min(slot["low"], price)
        if ns < slot["first_ns"]:
            slot["open"] = price
            slot["first_ns"] = ns
        if ns >= slot["last_ns"]:
            slot["close"] = price
            slot["last_ns"] = ns
    slot["ticks"] += 1
    if mode == PER_TRADE:
        slot["settled"] += tick["volume"]
    elif mode == CUMULATIVE:
        slot["total"] = max(slot["total"], tick["volume"])


@njit(cache=True)
def push_ticks(
    ticks: Records,
    slots: Records,
    state: Records,
    seen: Records,
    counts: Counts,
    clock: Counts,
    room: Records,
    open_ns: int,
    minutes: int,
    grace_ns: int,
    mode: int,
) -> int:
    """
    Put ticks into their bars, in the order given; the clock they carry closes bars on the way.

    Parameters
    ----------
    ticks : TICK[n]
    slots : SLOT[instruments, 2]
        Open bars; place 0 holds the older minute.
    state : STATE[instruments]
    seen : SEEN[instruments, MEMORY]
    counts : int64[7]
        What became of the ticks, added to.
    clock : int64[1]
        First minute that the clock has not closed.
    room : BAR[2 * instruments + n] or longer
        Takes the bars that close.
    open_ns, minutes, grace_ns, mode : int
        Opening of the session (UTC ns), its minutes, grace, volume mode.

    Returns
    -------
    int
        Bars written to `room`; -1 - n, and nothing done, if the n-th tick is of an instrument that does not exist.
    """
    made = 0
    for number in range(ticks.shape[0]):
        if not 0 <= ticks[number]["instrument"] < state.shape[0]:
            return -1 - number
    for number in range(ticks.shape[0]):
        tick = ticks[number]
        ns = tick["exchange_ns"] if tick["exchange_ns"] > 0 else tick["receive_ns"]
        now = tick["receive_ns"] if tick["receive_ns"] > 0 else ns
        made = close_bars(slots, state, clock, room, made, now, open_ns, grace_ns)
        instrument = tick["instrument"]
        its_state = state[instrument]
        its_slots = slots[instrument]
        if tick["price"] <= 0:
            counts[_BAD_PRICE] += 1
            continue
        if tick["volume"] < 0:
            counts[_BAD_VOLUME] += 1
            continue
        minute = (ns - open_ns) // NS_PER_MINUTE
        if minute < 0 or minute >= minutes:
            counts[_OUTSIDE] += 1
            continue
        if minute < clock[0] or minute <= its_state["closed"]:
            counts[_LATE] += 1
            continue
        if _is_repeat(seen[instrument], its_state, ns, tick, minute, mode):
            counts[_DUPLICATE] += 1
            continue
        if mode == CUMULATIVE:
            _count_from(its_slots, its_state, ns, tick)
        quote = _is_quote(its_state, ns, tick, mode)
        traded = its_state["base"] >= 0 and its_state["last_total"] > 0
        if its_state["base"] < 0:
            its_state["base"] = tick["volume"]
        if ns >= its_state["last_ns"]:
            its_state["last_ns"] = ns
            its_state["last_price"] = tick["price"]
            if tick["volume"] > 0:
                its_state["last_total"] = tick["volume"]
        if quote and its_slots[0]["minute"] != minute and its_slots[1]["minute"] != minute:
            counts[_QUOTE] += 1
            if traded:
                _hold_quote(its_state, ns, tick, minute)
            continue
        place, made = _slot_for(its_slots, its_state, instrument, minute, room, made)
        if place < 0:
            counts[_LATE] += 1
            continue
        slot = its_slots[place]
        if slot["ticks"] == 0 and its_state["quotes"] > 0 and its_state["quote_minute"] == minute:
            counts[_QUOTE] -= its_state["quotes"]
            counts[_ACCEPTED] += its_state["quotes"]
            _take_quotes(slot, its_state)
        _take(slot, ns, tick, mode)
        counts[_ACCEPTED] += 1
    return made
