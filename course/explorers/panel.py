"""Training at the press of a button: in a thread, one run at a time, with a stop."""

import threading
from collections.abc import Callable
from typing import Any

from course.checks import check_integer, check_kind
from helpers import History

OnStep = Callable[[History], bool]


class Training:
    """Runs that a person starts and stops, each in a thread, one at a time.

    `chosen()` gives what is to be trained, asked when a run is started.
    `work(choice, on_step)` trains it and returns what is said at the end. It passes
    `on_step` on to helpers.fit, which asks it after each step whether to stop. The work
    runs in a thread, so that the page stays alive and "stop" is heard. A run ends that
    of another Training: if the cell was run again, that one has left the page.

    What is seen of a run is left to those that inherit: `began`, `say`, `failed`,
    `ended` and `at_step` do nothing here.
    """

    latest = None  # the one that began the last run of all

    def __init__(
        self,
        chosen: Callable[[], Any],
        work: Callable[[Any, OnStep], str],
        *,
        every: int = 10,
    ):
        cure = "give a function, without ()"
        self.chosen = check_kind("chosen", chosen, kind=Callable, cure=cure)
        self.work = check_kind("work", work, kind=Callable, cure=cure)
        # From how many steps to how many a run is shown
        self.every = check_integer("every", every, least=1)
        self.stopping = threading.Event()
        self.starting = threading.Lock()
        self.thread = None

    # ---- What is seen of a run ----
    def began(self) -> None:
        """Called when a run begins."""

    def say(self, text: str) -> None:
        """Called with what the work has returned."""

    def failed(self, error: Exception) -> None:
        """Called with an error of `chosen` or of the work."""

    def ended(self) -> None:
        """Called when a run has ended in any way."""

    def at_step(self, history: History) -> None:
        """Called every few steps."""

    # ---- Runs ----
    @property
    def stopped(self) -> bool:
        """Whether the last run was stopped."""
        return self.stopping.is_set()

    @property
    def is_running(self) -> bool:
        """Whether a run is going on."""
        return self.thread is not None and self.thread.is_alive()

    def start(self) -> None:
        """Begins a run, unless one is going on."""
        with self.starting:  # two presses may be answered by two threads of the kernel
            self.start_alone()

    def start_alone(self) -> None:
        """What `start` does, one press at a time."""
        if self.is_running:
            return  # pressed twice before the button turned grey: one run is enough
        try:
            choice = self.chosen()  # now: the sliders may move while the thread starts
        except ValueError as error:
            self.failed(error)
            return
        latest = Training.latest
        if latest is not None and latest.is_running:
            latest.stop()
        Training.latest = self
        self.stopping.clear()
        self.began()
        self.thread = threading.Thread(
            target=self.run_in_thread, args=[choice], name="training"
        )
        self.thread.start()

    def stop(self) -> None:
        """Ends the run after its current step."""
        self.stopping.set()

    def wait(self) -> None:
        """Returns when no run is going on."""
        if self.thread:
            self.thread.join()

    def run_in_thread(self, choice: Any) -> None:
        """Works, and gives the buttons back in any case."""
        try:
            self.say(self.work(choice, self.on_step))
        except Exception as error:
            self.failed(error)
            raise  # so that the traceback is shown too
        finally:
            self.ended()

    def on_step(self, history: History) -> bool:
        """Shows the progress; True ends the training."""
        if len(history.losses) % self.every == 0:
            self.at_step(history)
        return self.stopped
