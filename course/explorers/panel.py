"""One panel to train with: buttons, progress, a status; notebooks 02 and 05 show it."""

import threading
from collections.abc import Callable
from typing import Any

import ipywidgets as widgets

from course.explorers.controls import message
from helpers import History

OnStep = Callable[[History], bool]


class TrainPanel:
    """The buttons "train" and "stop", a progress bar and what came out.

    `chosen()` gives what is to be trained, asked when "train" is pressed.
    `work(choice, on_step)` trains it and returns what the status shows, as HTML. It
    passes `on_step` on to helpers.fit, which asks it after each step whether to stop.
    The work runs in a thread, so that the page stays alive and "stop" is heard.
    """

    def __init__(
        self,
        chosen: Callable[[], Any],
        work: Callable[[Any, OnStep], str],
        steps: int,
        *,
        every: int = 10,
    ):
        self.chosen = chosen
        self.work = work
        self.every = every  # steps from one move of the progress bar to the next
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
        self.thread = None
        self.train_button.on_click(self.start)
        self.stop_button.on_click(self.stop)

    @property
    def stopped(self) -> bool:
        """Whether "stop" was pressed in the last run."""
        return self.stopping.is_set()

    def start(self, button: widgets.Button | None = None) -> None:
        """Begins a run, unless one is going on."""
        if self.thread and self.thread.is_alive():
            return  # pressed twice before the button turned grey: one run is enough
        self.train_button.disabled = True
        self.stop_button.disabled = False
        self.stopping.clear()
        self.progress.value = 0
        choice = self.chosen()  # now: the sliders may move while the thread starts
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
