"""The study of notebook 09: four kinds of model at equal time, and how each is tuned.

Each kind comes in two shapes with about as many parameters as the lecture's largest
model. Each shape is trained with the same RECIPES, for BUDGET seconds of one core. The
best run decides the shape and the recipe of its kind, which is then run with other
seeds. `python -m tools.peers` measures MILLISECONDS again.
"""

from dataclasses import replace

import pandas as pd
import torch

from course.peers import CoreClock, PeerConfig, build_peer
from course.runs import RunConfig, load_data, load_splits
from course.wavenet import WaveNet, WaveNetConfig, train_on_names
from helpers import History, TrainConfig, train

BUDGET = 60  # seconds of one core for each training
# Learning rate, weight decay, dropout. Each value occurs once, in an order in which no
# two of the three rise or fall together.
RECIPES = [
    (0.0022, 0.073, 0.10),
    (0.0032, 0.013, 0.20),
    (0.0047, 0.13, 0.0),
    (0.007, 0.23, 0.25),
    (0.01, 0.023, 0.05),
    (0.015, 0.041, 0.15),
]
SEARCH_SEED = 0
FINAL_SEEDS = 6  # of the runs after the search, from SEARCH_SEED + 1 on
ROUND = 100  # steps: a curve has one point for each 100

TREE_8 = RunConfig(embedding_dim=24, hidden=128)
TREE_16 = RunConfig(block_size=16, embedding_dim=24, hidden=106)
ONE_STACK = WaveNetConfig(channels=55, skip_channels=55, stacks=1)
TWO_STACKS = WaveNetConfig(channels=39, skip_channels=39)
GRU_1 = PeerConfig(hidden=142)
GRU_2 = PeerConfig(hidden=86, depth=2)
TRANSFORMER = PeerConfig(architecture="transformer")
TRANSFORMER_2 = replace(TRANSFORMER, embedding_dim=56, hidden=208, depth=2)
TRANSFORMER_4 = replace(TRANSFORMER, embedding_dim=40, hidden=144, depth=4)
SHAPES = {
    "tree": {"context 8": TREE_8, "context 16": TREE_16},
    "WaveNet": {"one stack": ONE_STACK, "two stacks": TWO_STACKS},
    "GRU": {"one layer": GRU_1, "two layers": GRU_2},
    "transformer": {"two layers": TRANSFORMER_2, "four layers": TRANSFORMER_4},
}
# Time of one core for a step, while another training uses the other core. The search
# uses these numbers; the final runs use the times that the search has measured.
MILLISECONDS = {
    ("tree", "context 8"): 16.0,
    ("tree", "context 16"): 32.0,
    ("WaveNet", "one stack"): 14.0,
    ("WaveNet", "two stacks"): 17.5,
    ("GRU", "one layer"): 12.0,
    ("GRU", "two layers"): 13.0,
    ("transformer", "two layers"): 23.0,
    ("transformer", "four layers"): 32.0,
}


# ---- The search ----------------------------------------------------------------------
def steps_within(seconds: float, seconds_a_step: float) -> int:
    """How many steps take about `seconds`, rounded to a multiple of ROUND."""
    return max(ROUND, round(seconds / seconds_a_step / ROUND) * ROUND)


def make_search() -> dict[str, TrainConfig]:
    """{"tree, context 8, recipe 0": config, ...}: each shape with each recipe."""
    variants = {}
    for kind, shapes in SHAPES.items():
        for shape, config in shapes.items():
            steps = steps_within(BUDGET, MILLISECONDS[kind, shape] / 1000)
            for i, (lr, weight_decay, dropout) in enumerate(RECIPES):
                changes = {"steps": steps, "lr": lr, "weight_decay": weight_decay}
                if hasattr(config, "dropout"):  # a tree has BatchNorm instead
                    changes["dropout"] = dropout
                variants[f"{kind}, {shape}, recipe {i}"] = replace(config, **changes)
    return variants


# ---- After the search ----------------------------------------------------------------
def best_peers(search: pd.DataFrame) -> dict[str, TrainConfig]:
    """{kind: config} with the lowest val, with steps by the time that a step took."""
    names = search["variant"].str.split(", ", expand=True)  # kind, shape, recipe
    best = {}
    for kind, shapes in SHAPES.items():
        winner = search["val"][names[0] == kind].idxmin()
        shape = names[1][winner]
        config_class = type(shapes[shape])
        config = config_class(**search["config"][winner])
        alike = search[(names[0] == kind) & (names[1] == shape)]
        steps = sum(run["steps"] for run in alike["config"])
        seconds_a_step = alike["core_seconds"].sum() / steps
        best[kind] = replace(config, steps=steps_within(BUDGET, seconds_a_step))
    return best


def some_peers() -> list[TrainConfig]:
    """Configs that take about as long as those that the search will find."""
    search = make_search()
    found = []
    for kind, shapes in SHAPES.items():
        first = list(shapes)[0]
        found.append(search[f"{kind}, {first}, recipe 0"])
    return found


# ---- How long a step takes -----------------------------------------------------------
def train_some(config: TrainConfig, *, on_step=None) -> History:
    """Trains a new model of any of these configs."""
    options = {"progress": False, "on_step": on_step}
    if isinstance(config, RunConfig):
        vocab, data = load_data(config.block_size)
        return train(config.build(len(vocab)), *data["train"], config, **options)
    vocab, splits = load_splits()
    if isinstance(config, WaveNetConfig):
        model = WaveNet(config, len(vocab))
    else:
        model = build_peer(config, len(vocab))
    return train_on_names(model, splits["train"], vocab, config, **options)


def main(steps: int = 200, rounds: int = 3) -> None:
    """Prints MILLISECONDS in the form used here: medians over interleaved rounds."""
    torch.set_num_threads(1)
    found = {}
    for _ in range(rounds):
        for kind, shapes in SHAPES.items():
            for shape, config in shapes.items():
                clock = CoreClock()
                train_some(replace(config, steps=steps), on_step=clock)
                found.setdefault((kind, shape), []).append(clock.seconds_a_step())
    for key, seconds in found.items():
        print(f"    {key}: {1000 * pd.Series(seconds).median():.1f},")


if __name__ == "__main__":
    main()
