"""Kernel -> Interrupt that waits until it does no harm, as helpers.fit needs it."""

import signal
import threading
import time

GRACE = 5  # seconds after a first press during which another one waits, too


class Interrupts:
    """Inside this context, Kernel -> Interrupt (SIGINT) is only noted when pressed.

    So no step ends halfway, and a second press does not cut off the clean-up after the
    first one. `check()` raises the KeyboardInterrupt that is waiting. If the first
    press has waited for `GRACE` seconds, something hangs, so the next one raises it at
    once. Only the main thread is ever interrupted; in others nothing changes.
    """

    def __init__(self):
        self.pressed = False
        self.since = 0.0
        self.handler = None  # the old one, restored at the end

    def __enter__(self):
        handler = signal.getsignal(signal.SIGINT)
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and callable(handler):  # it is not if interrupts are ignored
            self.handler = handler
            outer = self.outer()
            if outer:  # a press that is waiting there counts here, too
                self.pressed = outer.pressed
                self.since = outer.since
            signal.signal(signal.SIGINT, self.note)
        return self

    def __exit__(self, *error):
        if self.handler:
            signal.signal(signal.SIGINT, self.handler)
            outer = self.outer()
            if outer and self.pressed:  # and the other way round
                outer.pressed = True
                outer.since = self.since

    def outer(self) -> "Interrupts | None":
        """The Interrupts around this one, or None."""
        around = getattr(self.handler, "__self__", None)
        return around if isinstance(around, Interrupts) else None

    def note(self, number, frame) -> None:
        """The handler that Python calls for a press."""
        now = time.monotonic()
        if self.pressed and now - self.since >= GRACE:
            raise KeyboardInterrupt
        if not self.pressed:
            self.since = now
        self.pressed = True

    def check(self) -> None:
        """KeyboardInterrupt if there was a press."""
        if self.pressed:
            raise KeyboardInterrupt
