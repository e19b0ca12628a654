"""Kernel -> Interrupt, once, twice and at the worst moment; cells run a second time."""

import signal
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from jupyter_client.manager import start_new_kernel
from torch import Generator

import helpers
from course import interrupts as interrupts_module
from course import optimizers
from course.interrupts import Interrupts
from course.wavenet import WaveNet, WaveNetConfig, run_wavenet, train_wavenet
from helpers import BatchNorm1d, TrainConfig, Vocab, build_tree, train

ROOT = Path(__file__).parents[1]
PATIENCE = 60  # seconds that a kernel may take before a test gives up
STEPS = 20
TINY = WaveNetConfig(steps=STEPS, batch_size=8, channels=6, skip_channels=5, levels=2)
NAMES = ["ava", "emma", "noah", "liam"] * 5
X = torch.randint(27, (64, 8), generator=Generator().manual_seed(0))
Y = torch.randint(27, (64,), generator=Generator().manual_seed(1))


def press():
    """What Kernel -> Interrupt does to the main thread."""
    signal.raise_signal(signal.SIGINT)


def press_at(step, times=1):
    """An on_step that presses in the middle of a step."""

    def on_step(history):
        if len(history.losses) == step:
            for _ in range(times):
                press()

    return on_step


def modes(layer):
    return {layer.training}.union(*(modes(inner) for inner in layer.layers))


@pytest.fixture(autouse=True)
def handler():
    """The handler of interrupts is after each test what it was before."""
    before = signal.getsignal(signal.SIGINT)
    yield before
    assert signal.getsignal(signal.SIGINT) is before


@pytest.fixture
def model():
    return build_tree(27, hidden=4, generator=Generator().manual_seed(0)).eval()


@contextmanager
def no_press_comes_through():
    """A KeyboardInterrupt would end pytest and not only the test."""
    try:
        yield
    except KeyboardInterrupt:
        pytest.fail("a press has come through")


def train_some(model, **options):
    config = TrainConfig(steps=STEPS, batch_size=16)
    with no_press_comes_through():
        return train(model, X, Y, config, **{"progress": False, **options})


@pytest.mark.parametrize("times", [1, 2, 5])
def test_presses_in_a_step_end_the_training_after_it(model, times):
    history = train_some(model, on_step=press_at(3, times))
    assert history.interrupted and history.seconds > 0
    assert len(history.losses) == 3
    assert modes(model) == {False}
    again = train_some(model)
    assert len(again.losses) == STEPS and not again.interrupted


def pressing_after(function, when=lambda *args: True):
    """The function, with a press as soon as it has ended."""

    def pressed(*args, **options):
        result = function(*args, **options)
        if when(*args):
            press()
        return result

    return pressed


@pytest.mark.parametrize("presses", [1, 0], ids=["second", "only"])
def test_a_press_while_the_mode_is_put_back_loses_nothing(model, monkeypatch, presses):
    """In the middle of it: the first layers have their mode, the others not yet."""
    seen = []

    def on_step(history):
        seen.append(history)
        press_at(3, presses)(history)

    norm = next(layer for layer in model.layers if isinstance(layer, BatchNorm1d))
    to_eval = pressing_after(norm.train, when=lambda mode: seen and not mode)
    monkeypatch.setattr(norm, "train", to_eval, raising=False)
    history = train_some(model, on_step=on_step)
    assert len(history.losses) == (3 if presses else STEPS)
    assert history.interrupted == bool(presses)
    assert modes(model) == {False}


def test_a_press_while_the_bar_is_closed_loses_nothing(model, monkeypatch, capsys):
    bars = []

    class Bar(helpers.tqdm):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            bars.append(self)

        def close(self):
            if not self.disable:
                press()
            super().close()

    monkeypatch.setattr(helpers, "tqdm", Bar)
    history = train_some(model, on_step=press_at(3), progress=True)
    assert history.interrupted and len(history.losses) == 3
    assert bars[0].disable  # tqdm's sign of a closed bar
    assert "3/20 steps" in capsys.readouterr().out


def test_a_press_ends_no_step_halfway(model, monkeypatch):
    """The press comes in the optimizer; the schedule, which comes later, goes on."""
    rates = []

    class Schedule(optimizers.OneCycleLR):
        def step(self):
            rates.append(self.last_epoch)
            super().step()

    monkeypatch.setattr(optimizers, "OneCycleLR", Schedule)
    step = torch.optim.AdamW.step
    monkeypatch.setattr(torch.optim.AdamW, "step", pressing_after(step))
    history = train_some(model)
    assert history.interrupted and len(history.losses) == 1
    assert len(rates) == 2  # torch calls it once at the beginning


def test_when_a_step_hangs_another_press_ends_it(model, monkeypatch):
    monkeypatch.setattr(interrupts_module, "GRACE", 0)
    history = train_some(model, on_step=press_at(3, times=2))
    assert history.interrupted and len(history.losses) == 3
    assert modes(model) == {False}


def test_an_interrupt_that_the_reader_raises_counts_at_once(model):
    def stop(history):
        raise KeyboardInterrupt

    history = train_some(model, on_step=stop)
    assert history.interrupted and len(history.losses) == 1


def test_where_interrupts_are_ignored_they_stay_so(model, handler):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        history = train_some(model, on_step=press_at(3))
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, handler)
    assert len(history.losses) == STEPS and not history.interrupted


def test_another_thread_trains_too(model, handler):
    found = []
    thread = threading.Thread(target=lambda: found.append(train_some(model)))
    thread.start()
    thread.join(PATIENCE)
    assert len(found[0].losses) == STEPS


def test_a_press_that_waits_outside_counts_inside():
    with Interrupts() as outer:
        press()
        with Interrupts() as inner, pytest.raises(KeyboardInterrupt):
            inner.check()
        assert outer.pressed
    with Interrupts() as fresh:
        fresh.check()


def test_a_press_that_came_inside_counts_outside():
    with Interrupts() as outer:
        with Interrupts():
            press()
        with pytest.raises(KeyboardInterrupt):
            outer.check()


# ---- The WaveNet -------------------------------------------------------------------
def test_presses_leave_the_random_state_of_a_wavenet_training(monkeypatch):
    vocab = Vocab(NAMES)
    model = WaveNet(TINY, len(vocab), generator=Generator().manual_seed(0)).eval()
    state = torch.get_rng_state()
    seen = []

    def on_step(history):
        seen.append(history)
        press_at(3)(history)

    put_back = pressing_after(torch.set_rng_state, when=lambda state: seen)
    monkeypatch.setattr(torch.random, "set_rng_state", put_back)
    monkeypatch.setattr(torch, "set_rng_state", put_back)
    options = {"progress": False, "on_step": on_step}
    with no_press_comes_through():
        history = train_wavenet(model, NAMES, vocab, TINY, **options)
    assert torch.equal(torch.get_rng_state(), state)
    assert history.interrupted and len(history.losses) == 3
    assert modes(model) == {False}


def test_an_interrupted_run_evaluates_nothing(monkeypatch):
    vocab = Vocab(NAMES)
    splits = {"train": NAMES, "val": NAMES}
    monkeypatch.setattr("course.wavenet.load_splits", lambda leak_free: (vocab, splits))
    monkeypatch.setattr("course.wavenet.evaluate_names", None)
    with pytest.raises(KeyboardInterrupt):
        run_wavenet(TINY, 0, on_step=press_at(3))


# ---- A kernel ----------------------------------------------------------------------
CELLS = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import torch
torch.set_num_threads(1)
from helpers import *
X = torch.zeros(64, 8, dtype=torch.long)
model = build_tree(27, hidden=4)
def training(steps):
    config = TrainConfig(steps=steps, batch_size=16)
    say = lambda history: len(history.losses) == 5 and print("begun", flush=True)
    history = train(model, X, X[:, 0], config, progress=False, on_step=say)
    print(len(history.losses) >= min(steps, 5), history.interrupted, model.training)
"""


def test_a_kernel_interrupted_twice_keeps_the_history_and_goes_on():
    manager, client = start_new_kernel(startup_timeout=PATIENCE, kernel_name="python3")

    def printed(until=None):
        """What the kernel prints until it is idle, or until it has printed this."""
        texts = []
        while True:
            message = client.get_iopub_msg(timeout=PATIENCE)
            content = message["content"]
            if message["msg_type"] == "error":
                pytest.fail("\n".join(content["traceback"]))
            texts.append(content.get("text", ""))
            is_idle = content.get("execution_state") == "idle"
            if is_idle or (until and until in texts[-1]):
                return "".join(texts)

    try:
        for _ in range(2):  # the same cells a second time
            client.execute(CELLS)
            printed()
            client.execute("training(10**9)")
            printed(until="begun")
            manager.interrupt_kernel()
            time.sleep(0.1)
            manager.interrupt_kernel()
            assert printed().split() == ["True", "True", "True"]
            client.execute("training(3)")
            assert printed().split() == ["True", "False", "True"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
