"""Kernel -> Interrupt that waits until it does no harm. helpers.fit is inside of it."""

import signal
import threading
import time

GRACE = 5  # seconds after a first press from which on another one waits no longer


class Interrupts:
    """Inside of it, Kernel -> Interrupt (SIGINT) is noted, however often it is pressed.

    So it ends no step halfway, and a second press cuts off nothing that puts things
    back after the first one. `check()` raises the KeyboardInterrupt that waits. If the
    first press has waited for `GRACE` seconds, something hangs, and the next one raises
    it at once. Only the main thread is ever interrupted: in others nothing changes.
    """

    def __init__(self):
        self.pressed = False
        self.since = 0.0
        self.handler = None  # what is put back at the end

    def __enter__(self):
        handler = signal.getsignal(signal.SIGINT)
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and callable(handler):  # it is not where interrupts are ignored
            self.handler = handler
            outer = self.outer()
            if outer:  # a press that waits there counts here
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
        """The one around this one."""
        around = getattr(self.handler, "__self__", None)
        return around if isinstance(around, Interrupts) else None

    def note(self, number, frame) -> None:
        """What Python calls for a press."""
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
