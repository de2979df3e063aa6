"""The watchdog's table of decisions, line by line: unknown is not dead."""

import pytest

from engine.live.control.watching import Patience, Seen, Verdict, conclude

PATIENCE = Patience(stale_s=15, start_s=60, gone_s=3, kill_s=10, kill_blind_s=120)
LIVES = {"runner": "lives", "up_s": 500.0, "beat_s": 0.5, "own_good_s": 400.0, "latch": "ACTIVE"}
GONE = {**LIVES, "runner": "gone", "gone_s": 5.0, "beat_s": 6.0}
ALONE = {"supervisor": "gone", "alone_s": 5.0}


@pytest.mark.parametrize(
    ("seen", "verdict"),
    [
        ({"runner": "never"}, "wait"),
        ({"runner": "never", "supervisor": "gone", "alone_s": 59.0}, "wait"),
        ({"runner": "never", "supervisor": "gone", "alone_s": 60.0}, "end"),
        ({**GONE, "phase": "done"}, "wait"),
        ({**GONE, "phase": "done", "supervisor": "given up"}, "wait"),
        ({**GONE, "phase": "done", **ALONE}, "end"),
        ({**GONE, "gone_s": 0.1, "supervisor": "given up"}, "close"),
        ({**GONE}, "wait"),
        ({**GONE, "gone_s": 60.0}, "unsure"),
        ({**GONE, **ALONE}, "close"),
        ({**GONE, **ALONE, "gone_s": 2.9}, "wait"),
        ({**GONE, **ALONE, "alone_s": 2.9}, "wait"),
        ({**GONE, "flag_s": 0.5}, "close"),
        ({**GONE, "flag_s": 0.5, "gone_s": 2.0}, "wait"),
        ({**LIVES, "flag_s": 9.9}, "well"),
        ({**LIVES, "flag_s": 10.0}, "take over"),
        ({**LIVES, "flag_s": 10.0, "latch": "HALTED"}, "take over"),
        ({**LIVES, "flag_s": 500.0, "latch": "FLATTENING"}, "well"),
        ({**LIVES, "flag_s": 119.0, "latch": None, "beat_read": False, "beat_s": None}, "unsure"),
        ({**LIVES, "flag_s": 120.0, "latch": None, "beat_read": False, "beat_s": None}, "take over"),
        ({**LIVES, "flag_s": 119.0, "own_good_s": 0.0}, "well"),
        ({**LIVES, "flag_s": 120.0, "own_good_s": 0.0}, "take over"),
        ({**LIVES}, "well"),
        ({**LIVES, "beat_s": 14.9}, "well"),
        ({**LIVES, "beat_s": 15.0}, "stuck"),
        ({**LIVES, "beat_s": 15.0, "supervisor": "gone", "alone_s": 99.0}, "stuck"),
        ({**LIVES, "beat_s": None, "up_s": 59.0}, "well"),
        ({**LIVES, "beat_s": None, "up_s": 60.0}, "stuck"),
        ({**LIVES, "beat_s": None, "up_s": 60.0, "own_good_s": 59.0}, "unsure"),
        ({**LIVES, "beat_s": 900.0, "own_good_s": 14.9}, "unsure"),
        ({**LIVES, "beat_s": 900.0, "own_good_s": 0.0}, "unsure"),
        ({**LIVES, "beat_s": None, "beat_read": False, "own_good_s": 400.0}, "unsure"),
        ({"runner": "unknown", "supervisor": "gone", "alone_s": 900.0, "flag_s": 900.0}, "unsure"),
    ],
)
def test_verdict(seen, verdict):
    assert conclude(Seen(**seen), PATIENCE) == Verdict(verdict)


def test_nothing_is_killed_or_closed_on_a_failed_read_alone():
    """Without a word from the disk only a person's kill flag or the kernel's word moves the watchdog."""
    for supervisor in ("lives", "given up", "gone"):
        for runner in ("lives", "unknown", "never"):
            seen = Seen(
                runner=runner, beat_read=False, up_s=9e9, own_good_s=9e9, supervisor=supervisor, alone_s=9.0
            )
            assert conclude(seen, PATIENCE) in {Verdict.UNSURE, Verdict.WAIT}
