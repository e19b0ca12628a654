"""What a study runs: its cells, each known by all that its result depends on, and the
records that come back, each stored with the name of its cell.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, is_dataclass
from typing import NamedTuple

import optuna
from optuna.trial import FrozenTrial

from course.checks import check_seed, check_text
from course.identity import identify
from course.storage import DATA

NAMES = DATA / "names.txt"


# ---- Cells: what there is to run ---------------------------------------------------
class Cell(NamedTuple):
    """One run of a study."""

    variant: str
    config: object  # a dataclass, or a function that makes one of an Optuna trial
    seed: int


def make_cells(
    variants: dict | Iterable[str],
    seeds: Iterable[int],
    run: Callable,
    version: str | None = None,
) -> dict[str, Cell]:
    """{all that a run depends on, as text: the cell}.

    So a changed config, an edited function, or another list of names is another cell.
    The trials of a search are told apart by their number alone.
    """
    if version is not None:
        version = check_text("version", version)
    function = identify(run, version)
    variants = check_variants(variants)
    seeds = check_seeds(seeds)
    names = zlib.crc32(NAMES.read_bytes())
    cells = {}
    for variant, config in variants.items():
        what = describe_config(variant, config, version)
        for seed in seeds:
            key = json.dumps([function, what, seed, names])
            other = cells.setdefault(key, Cell(variant, config, seed)).variant
            if other != variant:
                raise ValueError(
                    f"{other!r} and {variant!r} have the same config, by which a run "
                    "is known: leave one of them out"
                )
    return cells


def check_variants(variants: dict | Iterable[str]) -> dict:
    """{name: config} with one or more of them; names of the lecture's models count."""
    allowed = "give {name: config}, or a list of names of the lecture's models"
    if isinstance(variants, str) or not isinstance(variants, Iterable):
        raise TypeError(f"variants is {variants!r}: {allowed}")
    if not isinstance(variants, dict):
        variants = lecture_models(variants)
    if not variants:
        raise ValueError(f"0 variants: {allowed}, one or more")
    for name in variants:
        check_text("the name of a variant", name)
    return variants


def lecture_models(names: Iterable[str]) -> dict:
    """{name: config} for some of the lecture's models."""
    from course.runs import LECTURE_MODELS  # here, since it loads torch

    names = list(names)
    unknown = [name for name in names if name not in list(LECTURE_MODELS)]
    if unknown:
        allowed = f"choose from {list(LECTURE_MODELS)}, or give {{name: config}}"
        raise ValueError(f"unknown variants {unknown}: {allowed}")
    return {name: LECTURE_MODELS[name] for name in names}


def check_seeds(seeds: Iterable[int]) -> list[int]:
    """One or more different seeds as Python's integers, in their order."""
    allowed = "give one or more whole numbers from 0 up, as range(4) or [42]"
    if isinstance(seeds, str) or not isinstance(seeds, Iterable):
        raise TypeError(f"seeds is {seeds!r}: {allowed}")
    seeds = [check_seed("a seed", seed) for seed in seeds]
    if not seeds:
        raise ValueError(f"seeds is empty: {allowed}")
    return list(dict.fromkeys(seeds))


def describe_config(variant: str, config: object, version: str | None) -> list:
    """What a config is, for JSON: its class with all fields, or the function's name."""
    if is_dataclass(config) and not isinstance(config, type):
        kind = f"{type(config).__module__}.{type(config).__qualname__}"
        try:
            return [kind, json.loads(json.dumps(asdict(config), default=to_plain))]
        except TypeError as error:
            raise TypeError(
                f"the config of {variant!r} has a field that cannot be stored "
                f"({error}): use numbers, text, lists and dicts"
            ) from None
    if isinstance(config, type) or not callable(config):
        raise TypeError(
            f"the config of {variant!r} is {config!r}: give a dataclass such as "
            "RunConfig(), or a function that makes one of an Optuna trial"
        )
    return identify(config, version)


def to_plain(value: object) -> object:
    """A number of numpy or torch as Python's; TypeError for anything else."""
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return value.item()
    raise TypeError(f"a {type(value).__name__}")


# ---- Records -----------------------------------------------------------------------
def check_record(record: object, run: str) -> dict:
    """The record as it will be read; ValueError or TypeError if it cannot be stored."""
    what = f"{run} gave a record"
    if not isinstance(record, dict):
        kind = type(record).__name__
        raise TypeError(f"{run} gave a {kind}: give a dict with the loss as 'val'")
    try:
        record = json.loads(json.dumps(record, default=to_plain))
    except (TypeError, ValueError) as error:
        cure = "use numbers, text, lists and dicts"
        raise TypeError(f"{what} that cannot be stored ({error}): {cure}") from None
    if "val" not in record:
        raise ValueError(f"{what} without 'val', the loss: it has {list(record)}")
    if isinstance(record["val"], bool) or not isinstance(record["val"], (int, float)):
        raise ValueError(f"{what} whose 'val' is {record['val']!r}: give a number")
    return record


def loss_of(record: dict) -> float:
    """The loss to minimise; Optuna takes no nan."""
    return math.inf if math.isnan(record["val"]) else float(record["val"])


def make_result(key: str, record: dict, **more) -> dict:
    """What is stored of a finished run: the record with the cell that it is of."""
    return {"cell": key, "record": record, "params": {}} | more


def read_result(study: optuna.Study, trial: FrozenTrial) -> dict:
    """What was stored of a finished trial; ValueError if it is another run's."""
    result = trial.user_attrs.get("result")
    with suppress(TypeError, KeyError):
        is_its_own = result["cell"] == trial.user_attrs["cell"]
        same_params = result["params"] == trial.params
        if is_its_own and same_params and loss_of(result["record"]) == trial.value:
            return result
    raise ValueError(
        f"trial {trial.number} of the study {study.study_name!r} is finished, but no "
        "record of its own is stored: the storage is damaged. Put a copy in its "
        "place, or give another path or name; it was not changed"
    )
