"""Three recipes for the same models: the lecture's, AdamW and Muon.

A recipe is a TrainConfig; `with_recipe` puts it into a model's config. Notebook 05
tests the lecture's claims with each of the three.
"""

from dataclasses import fields, replace

from course.checks import checked, instance
from course.runs import LECTURE_MODELS, RunConfig, a_config
from helpers import RECIPE, TrainConfig

# Plain gradient descent; the learning rate falls to a tenth after 150,000 steps.
LECTURE = TrainConfig(
    steps=200_000,
    batch_size=32,
    lr=0.1,
    weight_decay=0.0,
    embedding_boost=1.0,
    optimizer="SGD",
    shuffle=False,
)
# Found by `make experiments ONLY=muon_search`.
MUON = TrainConfig(
    steps=1_500,
    lr=0.016,
    embedding_boost=3.8,
    optimizer="Muon",
    matrix_lr=0.058,
    matrix_decay=0.06,
)
RECIPES = {"lecture": LECTURE, "AdamW": RECIPE, "Muon": MUON}

# The lecture's five, and a flat model with about as many parameters as tree_large
FLAT_LARGE = RunConfig(architecture="flat", hidden=700)
JUDGED_MODELS = LECTURE_MODELS | {"flat_large": FLAT_LARGE}

# For each model, the quickest recipe we know that reaches the val loss of AdamW's
# recipe. Large batches suit Muon, because its own work is the same in each step.
QUICK = replace(MUON, batch_size=2_048, lr=0.02, matrix_lr=0.06)
QUICKEST = dict.fromkeys(LECTURE_MODELS, QUICK)
QUICKEST["flat3"] = RECIPE
QUICKEST["flat8"] = replace(QUICK, steps=900, lr=0.022, matrix_lr=0.08)
QUICKEST["tree"] = replace(QUICK, steps=680)
QUICKEST["tree_fixed"] = replace(QUICK, steps=850)
QUICKEST["tree_large"] = replace(QUICK, steps=510, matrix_lr=0.07, matrix_decay=0.03)


@checked(config=a_config, recipe=instance(TrainConfig, "give one of RECIPES"))
def with_recipe(config: RunConfig, recipe: TrainConfig) -> RunConfig:
    """The config of the same model and split, trained with `recipe`."""
    changes = {}
    for field in fields(TrainConfig):
        changes[field.name] = getattr(recipe, field.name)
    return replace(config, **changes)
