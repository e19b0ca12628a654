"""Three recipes for the same models: the lecture's, AdamW and Muon.

A recipe is a TrainConfig; `with_recipe` gives it to a model's config. Notebook 05
judges the lecture's claims by each of the three.
"""

from dataclasses import asdict, replace

from course.checks import checked, instance
from course.runs import LECTURE_MODELS, RunConfig, a_config
from helpers import RECIPE, TrainConfig

RECIPES = {
    # 200,000 steps of plain gradient descent, the rate at a tenth from 150,000 on
    "lecture": TrainConfig(
        steps=200_000,
        batch_size=32,
        lr=0.1,
        weight_decay=0.0,
        embedding_boost=1.0,
        optimizer="SGD",
        shuffle=False,
    ),
    "AdamW": RECIPE,
    # Found by `make experiments ONLY=muon_search`.
    "Muon": TrainConfig(
        steps=1_500,
        lr=0.016,
        embedding_boost=3.8,
        optimizer="Muon",
        matrix_lr=0.058,
        matrix_decay=0.06,
    ),
}
# The lecture's five, and a flat model with about as many parameters as tree_large
JUDGED_MODELS = LECTURE_MODELS | {
    "flat_large": RunConfig(architecture="flat", hidden=700)
}
# The quickest recipe known here that takes each model to the val loss of AdamW's.
# Large batches suit Muon: its own work is the same for each step.
QUICK = replace(RECIPES["Muon"], batch_size=2_048, lr=0.02, matrix_lr=0.06)
QUICKEST = {
    "flat3": RECIPE,
    "flat8": replace(QUICK, steps=900, lr=0.022, matrix_lr=0.08),
    "tree": replace(QUICK, steps=680),
    "tree_fixed": replace(QUICK, steps=850),
    "tree_large": replace(QUICK, steps=510, matrix_lr=0.07, matrix_decay=0.03),
}


@checked(config=a_config, recipe=instance(TrainConfig, "give one of RECIPES"))
def with_recipe(config: RunConfig, recipe: TrainConfig) -> RunConfig:
    """The same model and split, trained by `recipe`."""
    fields = asdict(recipe)
    return replace(config, **{name: fields[name] for name in asdict(RECIPE)})
