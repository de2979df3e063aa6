"""One runner per account, also after an unclean death."""

import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from store_facts import exit_code_of, session

from engine.live.log.lease import Holder, boot_id, start_of_process
from engine.live.log.store_errors import LeaseHeldError, StoreError
from engine.live.store import Store

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store.sqlite"


def write_holder(path, **given):
    """Leave a lease as an earlier holder would have."""
    told = {
        "pid": os.getppid(),
        "boot_id": boot_id(),
        "process_start": start_of_process(os.getppid()),
    } | given
    db = sqlite3.connect(path)
    db.execute(
        "UPDATE lease SET pid = :pid, boot_id = :boot_id, process_start = :process_start, token = 'x'", told
    )
    db.commit()
    db.close()


def second_runner(path):
    with pytest.raises(LeaseHeldError, match=f"process {os.getppid()}"):
        Store.open(path, "A")


def test_the_second_runner_refuses_and_names_the_first(path):
    with Store.open(path, "A"):
        assert exit_code_of(lambda: second_runner(path)) == 0
        with pytest.raises(LeaseHeldError, match=f"process {os.getpid()}"):
            Store.open(path, "A")
    Store.open(path, "A").close()


HOLDER = """
import sys, time
sys.path.insert(0, sys.argv[2])
from engine.live.store import Store
store = Store.open(sys.argv[1], "A")
print("held", flush=True)
time.sleep(60)
"""


def test_a_killed_runner_leaves_no_lease_behind(path):
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path), str(PROJECT)], stdout=subprocess.PIPE)
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(LeaseHeldError, match=f"process {holder.pid}"):
        Store.open(path, "A")
    holder.kill()
    holder.stdout.read()  # ends when the process has ended; it stays a zombie until waited for
    deadline = time.monotonic() + 5
    while start_of_process(holder.pid) is not None and time.monotonic() < deadline:
        time.sleep(0.01)
    Store.open(path, "A").close()
    holder.stdout.close()
    holder.wait()


THREADED = """
import ctypes, sys, threading
threading.Thread(target=lambda: (sys.stdin.readline(), print("last", flush=True))).start()
print("up", flush=True)
ctypes.CDLL(None).syscall(60, 0)  # exit of this thread alone
"""


def test_a_process_lives_until_its_last_thread_has_ended():
    """Its locks hold as long, so one that is taken for dead earlier cannot be taken over from."""
    process = subprocess.Popen(
        [sys.executable, "-c", THREADED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "up\n"
    start = start_of_process(process.pid)
    stat = Path(f"/proc/{process.pid}/stat")
    deadline = time.monotonic() + 5
    while stat.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline, "its first thread has not ended"
        time.sleep(0.01)
    assert start_of_process(process.pid) == start is not None
    process.stdin.write("\n")
    process.stdin.close()
    assert process.stdout.read() == "last\n"  # closed by the kernel at its end
    while start_of_process(process.pid) is not None:
        assert time.monotonic() < deadline, "its remains are taken for a process"
        time.sleep(0.01)
    process.stdout.close()
    process.wait()


@pytest.mark.parametrize(
    "changed",
    [{"process_start": 1}, {"boot_id": "another boot"}, {"pid": 2**22 + 5}],
    ids=["pid reused", "rebooted", "gone"],
)
def test_a_stale_lease_is_taken_over(path, changed):
    Store.open(path, "A").close()
    write_holder(path, **changed)
    with Store.open(path, "A") as store:
        store.append(session())


def test_a_deleted_lock_file_does_not_let_a_second_runner_in(path):
    with Store.open(path, "A") as first:
        path.with_name(path.name + ".lock").unlink()

        def second():
            with pytest.raises(LeaseHeldError, match="its lock file was deleted"):
                Store.open(path, "A")

        assert exit_code_of(second) == 0
        first.append(session())


def test_a_runner_that_lost_its_lease_writes_nothing_more(path):
    with Store.open(path, "A") as store:
        write_holder(path)
        for write in (store.append, store.append_exit):
            with pytest.raises(StoreError, match="lease") as caught:
                write(session())
            assert caught.value.failure == "lost_lease"
        assert store.journalled == 0
        assert store.latch().state == "HALTED"


def test_a_store_belongs_to_one_account(path):
    Store.open(path, "A").close()
    with pytest.raises(LeaseHeldError, match="belongs to account 'A'"):
        Store.open(path, "B")


def test_a_holder_lives_only_if_boot_pid_and_start_agree():
    me = Holder("A", os.getpid(), boot_id(), start_of_process(os.getpid()), "t", 0)
    assert me.alive()
    assert not Holder("A", me.pid, "other", me.process_start, "t", 0).alive()
    assert not Holder("A", me.pid, me.boot_id, me.process_start + 1, "t", 0).alive()
    assert not me.alive(start_of=lambda _pid: None)
