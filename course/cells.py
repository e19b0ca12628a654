"""What a study runs, and the records that come back.

A cell is one run, that is, a variant's config and a seed. Its key is a text with
everything that its result depends on, and its record is stored with that key.
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
    config: object  # a dataclass, or a function that makes one from an Optuna trial
    seed: int


def make_cells(
    variants: dict | Iterable[str],
    seeds: Iterable[int],
    run: Callable,
    version: str | None = None,
) -> dict[str, Cell]:
    """{key: cell}, where the key contains everything that the run depends on.

    A changed config, an edited function or another list of names therefore makes
    another cell. The trials of a search differ only in their number. ValueError if two
    variants have the same config.
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
                    f"{other!r} and {variant!r} have the same config, which "
                    "identifies a run: leave one of them out"
                )
    return cells


def check_variants(variants: dict | Iterable[str]) -> dict:
    """{name: config} for one variant or more; names of the lecture's models will do."""
    allowed = "give {name: config}, or a list of names of the lecture's models"
    if isinstance(variants, str) or not isinstance(variants, Iterable):
        raise TypeError(f"variants is {variants!r}: {allowed}")
    if not isinstance(variants, dict):
        variants = lecture_models(variants)
    if not variants:
        raise ValueError(f"variants is empty: {allowed}, one or more")
    for name in variants:
        check_text("the name of a variant", name)
    return variants


def lecture_models(names: Iterable[str]) -> dict:
    """{name: config} for some of the lecture's models; ValueError for another name."""
    from course.runs import LECTURE_MODELS  # here, because it loads torch

    names = list(names)
    unknown = [name for name in names if name not in list(LECTURE_MODELS)]
    if unknown:
        allowed = f"choose from {list(LECTURE_MODELS)}, or give {{name: config}}"
        raise ValueError(f"unknown variants {unknown}: {allowed}")
    return {name: LECTURE_MODELS[name] for name in names}


def check_seeds(seeds: Iterable[int]) -> list[int]:
    """One seed or more as Python integers, in their order, without duplicates."""
    allowed = "give one or more whole numbers from 0 up, such as range(4) or [42]"
    if isinstance(seeds, str) or not isinstance(seeds, Iterable):
        raise TypeError(f"seeds is {seeds!r}: {allowed}")
    seeds = [check_seed("a seed", seed) for seed in seeds]
    if not seeds:
        raise ValueError(f"seeds is empty: {allowed}")
    return list(dict.fromkeys(seeds))


def describe_config(variant: str, config: object, version: str | None) -> list:
    """A config in a form for JSON: its class and fields, or a function's identity."""
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
            "RunConfig(), or a function that makes one from an Optuna trial"
        )
    return identify(config, version)


def to_plain(value: object) -> object:
    """A number of numpy or torch as a Python number; TypeError for anything else."""
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return value.item()
    raise TypeError(f"a {type(value).__name__}")


# ---- Records -----------------------------------------------------------------------
def check_record(record: object, run: str) -> dict:
    """The record as it will be read; ValueError or TypeError if it cannot be stored."""
    what = f"{run} returned a record"
    if not isinstance(record, dict):
        kind = type(record).__name__
        raise TypeError(f"{run} returned a {kind}: give a dict with the loss as 'val'")
    try:
        record = json.loads(json.dumps(record, default=to_plain))
    except (TypeError, ValueError) as error:
        cure = "use numbers, text, lists and dicts"
        raise TypeError(f"{what} that cannot be stored ({error}): {cure}") from None
    if "val" not in record:
        raise ValueError(f"{what} without the loss 'val': it has {list(record)}")
    if isinstance(record["val"], bool) or not isinstance(record["val"], (int, float)):
        raise ValueError(f"{what} whose 'val' is {record['val']!r}: give a number")
    return record


def loss_of(record: dict) -> float:
    """The loss to minimise, with inf for nan, which Optuna does not accept."""
    return math.inf if math.isnan(record["val"]) else float(record["val"])


def make_result(key: str, record: dict, **more) -> dict:
    """What is stored for a finished run: its record and the key of its cell."""
    return {"cell": key, "record": record, "params": {}} | more


def read_result(study: optuna.Study, trial: FrozenTrial) -> dict:
    """What was stored for a finished trial; ValueError if it belongs to another run."""
    result = trial.user_attrs.get("result")
    with suppress(TypeError, KeyError):
        is_its_own = result["cell"] == trial.user_attrs["cell"]
        same_params = result["params"] == trial.params
        if is_its_own and same_params and loss_of(result["record"]) == trial.value:
            return result
    raise ValueError(
        f"trial {trial.number} of the study {study.study_name!r} is finished, but no "
        "record of its own is stored, so the storage is damaged: replace it with a "
        "backup, or give another path or name; it was not changed"
    )
