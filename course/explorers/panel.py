"""One panel to train with: buttons, progress, a status; notebooks 02 and 05 show it."""

import threading
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from course.checks import check_integer, check_kind
from course.explorers.controls import message
from helpers import History

OnStep = Callable[[History], bool]


class TrainPanel:
    """The buttons "train" and "stop", a progress bar and what came out.

    `chosen()` gives what is to be trained, asked when "train" is pressed.
    `work(choice, on_step)` trains it and returns what the status shows, as HTML. It
    passes `on_step` on to helpers.fit, which asks it after each step whether to stop.
    The work runs in a thread, so that the page stays alive and "stop" is heard. A run
    ends that of another panel: if the cell was run again, that one has left the page.
    """

    latest = None  # the panel that began the last run of all

    def __init__(
        self,
        chosen: Callable[[], Any],
        work: Callable[[Any, OnStep], str],
        steps: int,
        *,
        every: int = 10,
    ):
        cure = "give a function, without ()"
        self.chosen = check_kind("chosen", chosen, kind=Callable, cure=cure)
        self.work = check_kind("work", work, kind=Callable, cure=cure)
        steps = check_integer("steps", steps, least=1)
        # How many steps the progress bar takes at once.
        self.every = check_integer("every", every, least=1)
        self.train_button = widgets.Button(
            description="train", tooltip="trains the chosen model"
        )
        self.stop_button = widgets.Button(description="stop", disabled=True)
        self.progress = widgets.IntProgress(0, 0, steps, description="steps")
        self.status = widgets.HTML()
        self.controls = widgets.HBox(
            [self.train_button, self.stop_button, self.progress]
        )
        self.stopping = threading.Event()
        self.starting = threading.Lock()
        self.thread = None
        self.train_button.on_click(self.start)
        self.stop_button.on_click(self.stop)

    @property
    def stopped(self) -> bool:
        """Whether "stop" was pressed in the last run."""
        return self.stopping.is_set()

    def start(self, button: widgets.Button | None = None) -> None:
        """Begins a run, unless one is going on."""
        with self.starting:  # two presses may be answered by two threads of the kernel
            self.start_alone()

    def start_alone(self) -> None:
        """What `start` does, one press at a time."""
        if self.thread and self.thread.is_alive():
            return  # pressed twice before the button turned grey: one run is enough
        try:
            choice = self.chosen()  # now: the sliders may move while the thread starts
        except ValueError as error:
            self.status.value = message(error)
            return
        latest = TrainPanel.latest
        if latest is not None and latest.thread.is_alive():
            latest.stop()
        TrainPanel.latest = self
        self.train_button.disabled = True
        self.stop_button.disabled = False
        self.stopping.clear()
        self.progress.value = 0
        self.thread = threading.Thread(
            target=self.run_in_thread, args=[choice], name="training"
        )
        self.thread.start()

    def stop(self, button: widgets.Button | None = None) -> None:
        """Ends the run after its current step."""
        self.stopping.set()

    def wait(self) -> None:
        """Returns when no run is going on."""
        if self.thread:
            self.thread.join()

    def run_in_thread(self, choice: Any) -> None:
        """Works, and gives the buttons back in any case."""
        try:
            self.status.value = self.work(choice, self.on_step)
        except Exception as error:
            self.status.value = message(error)
            raise  # so that the traceback is shown too
        finally:
            self.train_button.disabled = False
            self.stop_button.disabled = True

    def on_step(self, history: History) -> bool:
        """Shows the progress; True ends the training."""
        step = len(history.losses)
        if step % self.every == 0:
            self.progress.value = step
        return self.stopped
