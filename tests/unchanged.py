"""What a call must leave as it was, for several files of tests."""

import random
from contextlib import contextmanager

import torch


@contextmanager
def unchanged(own):
    """Fails if the block changes a global state, or what `own()` returns by name."""

    def state():
        return own() | {
            "torch's random numbers": torch.get_rng_state().tolist(),
            "Python's random numbers": random.getstate(),
            "threads": torch.get_num_threads(),
            "grad mode": torch.is_grad_enabled(),
            "data type": torch.get_default_dtype(),
        }

    before = state()
    try:
        yield
    finally:
        after = state()
        changed = [name for name in before if after[name] != before[name]]
        assert not changed, changed
