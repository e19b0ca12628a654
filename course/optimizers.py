"""The optimizers AdamW, Muon and SGD, each with its schedule of learning rates.

`helpers.fit` asks for the optimizer that a TrainConfig names. Notebook 02 explains the
cycle of AdamW, and notebook 05 builds Muon. helpers.py imports this module, so it
cannot import the layers: their classes are passed as arguments.
"""

import torch
from torch import Tensor
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler, MultiStepLR, OneCycleLR

from course.checks import (
    check_bool,
    check_layers,
    checked,
    choice,
    number,
    rate,
    tensor,
    whole,
)

TRAINING = {  # what the fields of a TrainConfig must be
    "steps": whole(1),
    "batch_size": whole(2),
    "lr": rate,
    "weight_decay": number(least=0, most=1_000),
    "embedding_boost": number(least=0, most=1_000),
    "optimizer": choice(("AdamW", "Muon", "SGD")),
    "matrix_lr": rate,
    "matrix_decay": number(least=0, most=1_000),
    "shuffle": check_bool,
}
SHORTEST_CYCLE = 10  # steps: a shorter one would divide by zero
LATE = 0.75  # of the steps; after them SGD's learning rate falls to a tenth


# ---- Muon ----------------------------------------------------------------------------
@checked(matrix=tensor(dims=2), repeats=whole(1, 100))
def orthogonalise(matrix: Tensor, *, repeats: int = 5) -> Tensor:
    """Roughly U V^T, where U S V^T is the singular value decomposition of `matrix`.

    Five Newton-Schulz steps bring each singular value between 0.7 and 1.2 (K. Jordan
    2024, kellerjordan.github.io/posts/muon).
    """
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.mT if is_tall else matrix  # the products are smaller this way
    x = x / (x.norm() + 1e-7)  # now no singular value is above 1
    for _ in range(repeats):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return x.mT if is_tall else x


class Muon(Optimizer):
    """Momentum, with the update of each matrix made orthogonal (K. Jordan 2024).

    The weights have shape (in_features, out_features). It computes in their own
    precision, whereas torch.optim.Muon computes in bfloat16.
    """

    @checked(lr=number(least=0), weight_decay=number(least=0))
    def __init__(self, matrices, *, lr=0.02, weight_decay=0.0, momentum=0.95):
        settings = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum}
        super().__init__(matrices, settings)

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            lr = group["lr"]
            momentum = group["momentum"]
            for weight in group["params"]:
                if weight.grad is None:
                    continue  # the loss does not depend on it
                if "velocity" not in self.state[weight]:
                    self.state[weight]["velocity"] = torch.zeros_like(weight)
                velocity = self.state[weight]["velocity"]
                velocity.lerp_(weight.grad, 1 - momentum)  # a running mean
                update = weight.grad.lerp(velocity, momentum)  # Nesterov's look-ahead
                rows, columns = weight.shape
                scale = max(1, columns / rows) ** 0.5
                weight.mul_(1 - lr * group["weight_decay"])
                weight.sub_(lr * scale * orthogonalise(update))


# ---- From a config to an optimizer ---------------------------------------------------
class Scheduled:
    """Several optimizers, each with its learning-rate schedule, used as if one."""

    def __init__(self, schedules: list[LRScheduler]):
        self.schedules = schedules

    def zero_grad(self) -> None:
        for schedule in self.schedules:
            schedule.optimizer.zero_grad()

    def step(self) -> None:
        for schedule in self.schedules:
            schedule.optimizer.step()
            schedule.step()


@checked(model=check_layers)
def parameter_groups(model, *, table: type, matrix: type) -> dict[str, list[Tensor]]:
    """The parameters by kind: {"tables", "matrices", "others": tensors}.

    Tables are the weights of the embeddings, which have the class `table`. Matrices are
    the weights of the hidden layers of class `matrix`. The last layer, which gives the
    logits, belongs to the others, as do biases and norms.
    """
    groups = {"tables": [], "matrices": [], "others": []}
    hidden = list(model.layers[:-1])
    while hidden:
        layer = hidden.pop(0)
        hidden = [*layer.layers, *hidden]
        if isinstance(layer, table):
            groups["tables"].append(layer.weight)
        elif isinstance(layer, matrix):
            groups["matrices"].append(layer.weight)
    # A set compares tensors by identity, a list compares their numbers.
    known = set(groups["tables"] + groups["matrices"])
    groups["others"] = [p for p in model.parameters() if p not in known]
    return groups


def one_cycle(optimizer: Optimizer, steps: int) -> OneCycleLR:
    """Up to the learning rate of each group, then down to zero (arXiv 1708.07120)."""
    highest = [group["lr"] for group in optimizer.param_groups]
    cycle = max(steps, SHORTEST_CYCLE)
    return OneCycleLR(optimizer, highest, cycle, cycle_momentum=False)


def build_optimizer(model, config, *, table: type, matrix: type) -> Scheduled:
    """The optimizer of a TrainConfig for `model`; `table` and `matrix` are classes.

    Embeddings learn `embedding_boost` times as fast, without weight decay. Muon updates
    only the matrices of hidden layers; AdamW updates everything else.
    """
    groups = parameter_groups(model, table=table, matrix=matrix)
    matrices = groups["matrices"]
    others = {"params": groups["others"], "weight_decay": config.weight_decay}
    tables = {"params": groups["tables"], "weight_decay": 0.0}
    others["lr"] = config.lr
    tables["lr"] = config.lr * config.embedding_boost
    if config.optimizer != "Muon":
        others["params"] = others["params"] + matrices
    if config.optimizer == "SGD":
        falls = [int(LATE * config.steps)]
        return Scheduled(
            [MultiStepLR(SGD([others, tables], fused=True), falls, gamma=0.1)]
        )
    optimizers = [AdamW([others, tables], fused=True)]
    if config.optimizer == "Muon" and matrices:
        rates = {"lr": config.matrix_lr, "weight_decay": config.matrix_decay}
        optimizers.append(Muon(matrices, **rates))
    return Scheduled([one_cycle(optimizer, config.steps) for optimizer in optimizers])
