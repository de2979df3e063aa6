"""Every kind of event is written down once, canonically, and read strictly."""

import json

import numpy as np
import pytest
import store_facts as facts

from engine.live.log.events import KINDS, FillBooked, decode, encode
from engine.live.log.store_errors import EventRefusedError


def test_the_examples_cover_every_kind():
    assert {type(fact).__name__ for fact in facts.ONE_OF_EACH} == set(KINDS)


@pytest.mark.parametrize("fact", facts.ONE_OF_EACH, ids=lambda fact: type(fact).__name__)
def test_a_fact_comes_back_equal_and_its_text_is_canonical(fact):
    kind, payload = encode(fact)
    assert decode(kind, payload) == fact
    assert payload == json.dumps(
        json.loads(payload), sort_keys=True, separators=(",", ":"), ensure_ascii=False
    )
    assert encode(decode(kind, payload)) == (kind, payload)


@pytest.mark.parametrize("fact", facts.ONE_OF_EACH, ids=lambda fact: type(fact).__name__)
def test_a_surplus_field_is_refused(fact):
    kind, payload = encode(fact)
    with pytest.raises(EventRefusedError, match="surplus"):
        decode(kind, json.dumps({**json.loads(payload), "surplus": 1}))


@pytest.mark.parametrize(
    ("field", "value"),
    [("quantity", 0), ("quantity", -65), ("quantity", True), ("quantity", 65.0), ("quantity", "65"),
     ("side", "sell"), ("tag", "with-dash"), ("tag", "x" * 21), ("tag", ""), ("trade_id", ""), ("price", -1),
     ("price", 2**31), ("time_ns", None)],
)  # fmt: skip
def test_a_value_out_of_range_or_type_is_refused_by_field(field, value):
    kind, payload = encode(facts.fill("T1", "o", "t", "SELL"))
    with pytest.raises(EventRefusedError, match=f"FillBooked.{field}"):
        decode(kind, json.dumps({**json.loads(payload), field: value}))


def test_a_missing_field_and_an_unknown_kind_are_refused():
    kind, payload = encode(facts.fill("T1", "o", "t", "SELL"))
    told = json.loads(payload)
    del told["price"]
    with pytest.raises(EventRefusedError, match=r"FillBooked\.price"):
        decode(kind, json.dumps(told))
    with pytest.raises(EventRefusedError, match="'Nonsense' is unknown"):
        decode("Nonsense", "{}")
    with pytest.raises(EventRefusedError):
        decode(kind, "{not json")


def test_a_modification_of_an_older_log_has_no_reason():
    old = '{"limit":4,"order_type":"SL","quantity":65,"tag":"E1","trigger":5}'
    assert decode("ModifyPrepared", old).reason == ""


def test_numpy_numbers_do_not_slip_into_the_log():
    with pytest.raises(EventRefusedError, match="int32"):
        encode(facts.fill("T1", "o", "t", "SELL", np.int32(65)))


def test_facts_cannot_be_changed():
    fact = facts.fill("T1", "o", "t", "SELL")
    assert isinstance(fact, FillBooked)
    with pytest.raises(AttributeError):
        fact.quantity = 1
