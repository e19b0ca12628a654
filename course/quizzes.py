"""The quizzes that end the notebooks ("Test yourself").

A notebook contains the questions, with None for each answer. The right answers are
computed here, by the code that the question is about.
"""

from collections.abc import Callable
from math import log
from numbers import Real

import torch
from torch import Generator, Tensor, nn

from course.checks import check_choice, check_layers, checked, size
from course.comparisons import sign_flip
from course.convolution import (
    CausalConv1d,
    as_convolution,
    convolutions,
    pack,
    receptive_field,
)
from course.fusions import fusions
from course.inspection import summary
from course.runs import BatchNormPerPosition, load_splits
from course.wavenet import Block, WaveNet, WaveNetConfig
from helpers import (
    BatchNorm1d,
    Linear,
    Vocab,
    build_dataset,
    build_flat,
    build_tree,
    count_parameters,
    eval_mode,
)

TOLERANCES = {"01": 0.01}  # answers of the other notebooks are exact


def check_quiz(notebook: str, answers: dict) -> str:
    """One line for each question: "not answered yet", "right" or "look again".

    `notebook` is its number, "01" to "09"; `answers` has the questions as keys. A
    question whose text was changed or left out is pointed out. ValueError for a
    notebook without a quiz, or for answers that are not a dict.
    """
    notebook = check_choice("notebook", notebook, choices=QUIZZES)
    if not isinstance(answers, dict):
        kind = type(answers).__name__
        raise ValueError(f"answers is a {kind}: give a dict {{question: answer}}")
    truths = QUIZZES[notebook]()
    tolerance = TOLERANCES.get(notebook, 0)
    lines = []
    for question, truth in truths.items():
        if question in answers:
            verdict = verdict_on(answers[question], truth, tolerance)
        else:
            verdict = "this question is missing; put it back"
        lines.append(f"{question}: {verdict}")
    for question in answers:
        if question not in truths:
            lines.append(f"{question}: not a question of this quiz; restore its text")
    return "\n".join(lines)


def verdict_on(answer, truth: float, tolerance: float) -> str:
    """The verdict on one answer, which may be of any type."""
    if answer is None or answer is ...:
        return "not answered yet"
    if isinstance(answer, Tensor) and answer.numel() == 1:
        answer = answer.item()
    if not isinstance(answer, Real):
        return "look again"
    is_right = truth - tolerance <= answer <= truth + tolerance
    return "right" if is_right else "look again"


# ---- What several quizzes ask of a model -------------------------------------------
def vocabulary() -> Vocab:
    vocab, _ = load_splits()  # cached, unlike load_names
    return vocab


def make_tree(block_size: int, embedding_dim: int = 10, hidden: int = 68, **options):
    """The tree of notebook 03, untrained; does not touch the global random state."""
    sizes = (len(vocabulary()), block_size, embedding_dim, hidden)
    return build_tree(*sizes, generator=Generator(), **options)


@checked(batch=size)
def fused_positions(block_size: int, batch: int = 1) -> list[int]:
    """How many fusions one window takes at each level of a tree."""
    x = torch.zeros(batch, block_size, dtype=torch.long)
    table = summary(make_tree(block_size), x)
    flattened = table["layer"].str.startswith("FlattenConsecutive")
    counts = []
    for shape in table["output shape"][flattened]:
        is_last = len(shape) == 2  # (B, n*C): a single position is left
        counts.append(1 if is_last else shape[1])
    return counts


def queue_lengths(network) -> list[int]:
    """How many positions each queue of a causal network stores."""
    if not list(convolutions(check_layers("network", network))):
        raise ValueError("network has no queues: give as_convolution(model)")
    queues = {}
    with eval_mode(network):
        network(torch.zeros(1, 1, dtype=torch.long), queues)
    return [len(queue) for queue in queues.values()]


# ---- The questions and their answers -----------------------------------------------
def quiz_01() -> dict[str, float]:
    linear = Linear(48, 128, bias=False, generator=Generator())
    norm = BatchNorm1d(128)
    return {
        "first loss of an untrained model over 65 characters": log(65),
        "parameters of Linear(48, 128, bias=False)": count_parameters(linear),
        "parameters of BatchNorm1d(128) (running statistics are not trained)":
            count_parameters(norm),
        "batch 32 -> 128: the loss band gets thinner by the factor": (128 / 32) ** 0.5,
    }  # fmt: skip


def quiz_02() -> dict[str, float]:
    vocab = vocabulary()
    flat = build_flat(len(vocab), 5, 10, 200, generator=Generator())
    large = build_flat(len(vocab), 16, 24, 200, generator=Generator())
    first_linear = large.layers[2]
    _, following = build_dataset(["ava"], vocab, 4)
    return {
        "parameters of the flat model at context 5, embedding 10, hidden 200":
            count_parameters(flat),
        "rows of the first matrix at context 16, embedding 24":
            len(first_linear.weight),
        "windows that 'ava' gives at any block size": len(following),
    }  # fmt: skip


def quiz_03() -> dict[str, float]:
    return {
        "levels of a tree over 32 characters": len(fused_positions(32)),
        "parameters of the tree at embedding 24, hidden 128, context 8":
            count_parameters(make_tree(8, 24, 128)),
        "how often the first layer's weights are used in a window of 16":
            fused_positions(16)[0],
    }  # fmt: skip


def quiz_04() -> dict[str, float]:
    x = torch.zeros(32, 8, dtype=torch.long)
    sizes = {}
    for norm in (BatchNorm1d, BatchNormPerPosition):
        tree = make_tree(8, norm=norm)
        tree(x)  # in training mode, so that the running means take their shape
        norms = [layer for layer in tree.layers if isinstance(layer, norm)]
        sizes[norm] = norms[1].running_mean.numel()
    return {
        "how many values stand behind each mean, batch 32, first level, with the fix":
            32 * fused_positions(8)[0],
        "numbers in running_mean of the second BatchNorm, with the bug (hidden 68)":
            sizes[BatchNormPerPosition],
        "numbers in running_mean of the second BatchNorm, with the fix (hidden 68)":
            sizes[BatchNorm1d],
    }  # fmt: skip


def quiz_05() -> dict[str, float]:
    def smallest_p(seeds: int) -> float:
        return sign_flip([1.0] * seeds)  # all seeds agree

    enough = 1
    while smallest_p(enough) >= 0.01:
        enough += 1
    return {
        "the smallest p that 7 paired seeds can give": smallest_p(7),
        "runs left in a study of 4 variants and 6 seeds when 10 are finished":
            4 * 6 - 10,
        "seeds at least, for p below 0.01": enough,
    }  # fmt: skip


def quiz_06() -> dict[str, float]:
    found = fusions("grace", 16)
    distinct = {(level, position) for last, level, position in found}
    return {
        "receptive field of five levels of pairs":
            receptive_field(as_convolution(make_tree(2**5))),
        "fusions for a name of 5 characters at block size 16, each example alone":
            len(found),
        "the same, distinct by level and position": len(distinct),
    }  # fmt: skip


def quiz_07() -> dict[str, float]:
    network = as_convolution(make_tree(64))
    fusions_a_position = len(list(convolutions(network)))
    packed, _ = pack(["ava", "bo"], vocabulary())
    return {
        "fusions of a tree for one window of 64 / its convolution's for a position":
            sum(fused_positions(64)) / fusions_a_position,
        "positions of the packed names 'ava' and 'bo'": len(packed),
        "length of the longest queue at block size 64": max(queue_lengths(network)),
    }  # fmt: skip


def quiz_08() -> dict[str, float]:
    def wavenet(**options) -> WaveNet:
        config = WaveNetConfig(**options)
        return WaveNet(config, len(vocabulary()), generator=Generator())

    sizes = {}
    for gate in ("tanh", "none"):
        config = WaveNetConfig(channels=32, gate=gate)
        block = Block(config, 1, has_next=True, generator=Generator())
        sizes[gate] = count_parameters(block.conv)
    return {
        "receptive field of three stacks of five levels":
            receptive_field(wavenet(levels=5, stacks=3)),
        "parameters of one block's convolution, 32 channels, with a gate":
            sizes["tanh"],
        "the same without a gate": sizes["none"],
        "positions that all queues of one name hold, two stacks of four levels":
            sum(queue_lengths(wavenet(levels=4, stacks=2))),
    }  # fmt: skip


def quiz_09() -> dict[str, float]:
    linear = nn.Linear(256, 128, device="meta")  # shapes alone, no numbers are drawn
    norm = nn.BatchNorm1d(68)
    causal = CausalConv1d(4, 4, 3, dilation=4, generator=Generator())
    return {
        "rows of the weight of nn.Linear(256, 128)": len(linear.weight),
        "positions to pad on the left, kernel size 3, dilation 4": causal.reach,
        "entries in the state_dict of nn.BatchNorm1d(68)": len(norm.state_dict()),
        "of these, how many an optimizer changes": len(list(norm.parameters())),
    }  # fmt: skip


QUIZZES: dict[str, Callable[[], dict[str, float]]] = {
    "01": quiz_01,
    "02": quiz_02,
    "03": quiz_03,
    "04": quiz_04,
    "05": quiz_05,
    "06": quiz_06,
    "07": quiz_07,
    "08": quiz_08,
    "09": quiz_09,
}
