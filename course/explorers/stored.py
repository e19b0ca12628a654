"""The trained models that the explorers show: which there are, making and loading them.

A model is one file of data/results/explorers, small numbers (int8) in the form of
course.explorers.packing. `make experiments ONLY=explorer_grid` makes them.
"""

from functools import cache
from string import ascii_lowercase

from torch import Generator

from course.checks import check_choice, check_integer, checked
from course.comparisons import RESULTS
from course.explorers.packing import arrays_of, pack_arrays
from course.runs import RunConfig, load_data, make_record
from helpers import (
    END,
    build_flat,
    build_tree,
    count_parameters,
    evaluate,
    sample,
    train,
)

FOLDER = RESULTS / "explorers"
BLOCK_SIZES = [2, 4, 8, 16]
WIDTHS = [32, 64, 128, 256]
# Trees of these widths are also compared with a flat model of as many parameters. Those
# beside wider trees would be hundreds of units wide, and long to train: not stored.
MATCHED = [32, 64]
CHARACTERS = END + ascii_lowercase  # of data/names.txt
VOCAB_SIZE = len(CHARACTERS)
Cell = tuple[str, int, int]  # architecture, block size, hidden width


def matching_width(block_size: int, hidden: int, vocab_size: int = VOCAB_SIZE) -> int:
    """The width of the flat model whose size is nearest to that of a tree."""
    tree = count_parameters(build_tree(vocab_size, block_size, hidden=hidden))
    one = count_parameters(build_flat(vocab_size, block_size, hidden=1))
    two = count_parameters(build_flat(vocab_size, block_size, hidden=2))
    return 1 + round((tree - one) / (two - one))  # each unit adds as many parameters


@cache
def cells() -> list[Cell]:
    """All stored models, the small ones first."""
    found = set()
    for block_size in BLOCK_SIZES:
        for hidden in WIDTHS:
            found.add(("flat", block_size, hidden))
            found.add(("tree", block_size, hidden))
        for hidden in MATCHED:
            found.add(("flat", block_size, matching_width(block_size, hidden)))
    return sorted(found, key=lambda cell: (cell[1] * cell[2], cell))


def make_explorer_grid() -> dict[str, RunConfig]:
    """The configs of all stored models, for tools/experiments.py."""
    configs = {}
    for architecture, block_size, hidden in cells():
        name = f"{architecture}, block size {block_size}, hidden {hidden}"
        configs[name] = RunConfig(
            architecture=architecture, block_size=block_size, hidden=hidden
        )
    return configs


@checked()
def run_and_pack(config: RunConfig, seed: int) -> dict:
    """As course.runs.run; the weights are stored, too, with the record's main parts."""
    vocab, data = load_data(config.block_size, config.leak_free)
    generator = Generator().manual_seed(seed)
    model = config.build(len(vocab), generator=generator)
    history = train(model, *data["train"], config, seed=seed, progress=False)
    if history.interrupted:
        raise KeyboardInterrupt  # an unfinished model has no record
    losses = {}
    for split in ("train", "val", "seen", "unseen"):
        losses[split] = evaluate(model, *data[split])
    samples = sample(model, vocab, config.block_size, generator=generator)
    record = make_record(config, model, history, losses=losses, samples=samples)
    about = about_model(config, record) | {"samples": samples, "trained": config.steps}
    FOLDER.mkdir(exist_ok=True)
    cell = (config.architecture, config.block_size, config.hidden)
    path = FOLDER / f"{file_name(*cell)}.bin"
    path.write_bytes(pack_arrays(arrays_of(model), about, kind="int8"))
    return record


def about_model(config: RunConfig, record: dict) -> dict:
    """What the scripts need to know of a model beside its weights."""
    return {
        "architecture": config.architecture,
        "block_size": config.block_size,
        "hidden": config.hidden,
        "parameters": record["parameters"],
        "val": round(record["val"], 4),
    }


def file_name(architecture: str, block_size: int, hidden: int) -> str:
    """The name of a stored model's file, without its ending."""
    check_choice("architecture", architecture, choices=("flat", "tree"))
    check_integer("block_size", block_size, least=1)
    check_integer("hidden", hidden, least=1)
    return f"{architecture}_{block_size}_{hidden}"


@cache
def stored_model(architecture: str, block_size: int, hidden: int) -> bytes | None:
    """The packed weights of a stored model, or None if it is not stored."""
    path = FOLDER / f"{file_name(architecture, block_size, hidden)}.bin"
    return path.read_bytes() if path.is_file() else None
