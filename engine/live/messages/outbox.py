"""A messenger's own queue and thread, so that a dead messenger holds up neither another one nor the log's reader.

What waits is bundled; what fails is tried again, with patience, until it is taken. A queue that grows too long loses
its oldest plain news first, and says so.
"""

import logging
import threading
import time
from collections import deque
from dataclasses import replace

from engine.live.messages.alert_texts import Message
from engine.live.messages.messengers import Messenger, MessengerError

LONGEST_QUEUE = 500
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0


class Outbox:
    """
    Messages on their way to one messenger.

    Parameters
    ----------
    messenger : Messenger
    log : Logger
        For what could not be delivered.

    Attributes
    ----------
    problem : str
        Why the last attempt failed; "" since one succeeded.
    left_out : int
        Messages given up: the queue was too long, or the messenger would never take them.
    """

    def __init__(self, messenger: Messenger, log: logging.Logger) -> None:
        self.messenger = messenger
        self.problem = ""
        self.left_out = 0
        self._log = log
        self._turn = threading.Condition()
        self._waiting: deque[Message] = deque()
        self._sending: list[Message] = []
        self._untold = 0
        self._alone = False
        self._ending = False
        self._thread = threading.Thread(target=self._work, name=f"to-{messenger.name}", daemon=True)
        self._thread.start()

    def put(self, message: Message) -> None:
        """Queue a message; never waits for the messenger."""
        with self._turn:
            if len(self._waiting) >= LONGEST_QUEUE:
                plain = next((each for each in self._waiting if each.level == "info"), self._waiting[0])
                self._waiting.remove(plain)
                self._gave_up(1)
            self._waiting.append(message)
            self._turn.notify_all()

    @property
    def waiting(self) -> int:
        """Messages not yet taken."""
        with self._turn:
            return len(self._waiting) + len(self._sending)

    def done_until(self, heard: int) -> int:
        """The last `seq` before which nothing waits; `heard` when nothing does."""
        with self._turn:
            first = min((each.seq for each in (*self._sending, *self._waiting)), default=heard + 1)
            return min(first - 1, heard)

    def drain(self, within_s: float) -> bool:
        """Wait until everything was taken; False when the time is over first."""
        with self._turn:
            return self._turn.wait_for(lambda: not self._waiting and not self._sending, within_s)

    def close(self) -> None:
        """End the thread after the attempt in hand, at most for a moment; what waits stays undelivered."""
        with self._turn:
            self._ending = True
            self._turn.notify_all()
        self._thread.join(1.0)

    # ---- the thread ----

    def _work(self) -> None:
        failures = 0
        while self._take():
            self.messenger.allowance.spend(time.monotonic())
            try:
                self.messenger.deliver(self._with_note())
            except MessengerError as error:
                failures += 1
                self._put_back(error)
                self._sleep(max(error.wait_s, min(FIRST_WAIT_S * 2 ** (failures - 1), LONGEST_WAIT_S)))
            else:
                failures = 0
                with self._turn:
                    self.problem, self._alone, self._untold = "", False, 0
                    self._sending = []
                    self._turn.notify_all()
        self.messenger.close()

    def _take(self) -> bool:
        """Wait for messages and for leave to send, then take as many as go together; False at the end."""
        with self._turn:
            while not self._ending:
                pause = self.messenger.allowance.wait_s(time.monotonic())
                if not self._waiting:
                    self._turn.wait()
                elif pause > 0:
                    self._turn.wait(pause)
                else:
                    self._sending = [self._waiting.popleft()]
                    size = len(self._sending[0].text)
                    while self._waiting and not self._alone:
                        size += len(self._waiting[0].text) + 1
                        if size > self.messenger.room:
                            break
                        self._sending.append(self._waiting.popleft())
                    return True
            return False

    def _with_note(self) -> list[Message]:
        first = self._sending[0]
        if not self._untold:
            return self._sending
        note = f"({self._untold} messages before this one were left out)\n"
        return [replace(first, text=note + first.text), *self._sending[1:]]

    def _put_back(self, error: MessengerError) -> None:
        with self._turn:
            if self.problem != str(error):
                self._log.warning("%s", error)
            self.problem = str(error)
            if error.message_at_fault and len(self._sending) == 1:
                self._log.error("given up: %s", self._sending[0].text)
                self._gave_up(1)
            else:
                self._waiting.extendleft(reversed(self._sending))
                self._alone = error.message_at_fault  # one of them is: find it
            self._sending = []
            self._turn.notify_all()

    def _gave_up(self, count: int) -> None:
        self.left_out += count
        self._untold += count

    def _sleep(self, pause_s: float) -> None:
        deadline = time.monotonic() + pause_s
        with self._turn:
            self._turn.wait_for(lambda: self._ending, max(deadline - time.monotonic(), 0))
