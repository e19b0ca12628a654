"""Whatever a person types is answered by the project's own words, and changes nothing.

TABLE has a row for each hostile input: the call, and what its message says. Each is a
ValueError or a TypeError that one of our own lines raises.
"""

import ast
import json
import linecache
import random
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib import pyplot as plt
from torch import Generator, nn, zeros

from course.comparisons import *
from course.convolution import *
from course.costs import *
from course.diagrams.blocks import draw_block, draw_gradients
from course.diagrams.charts import draw_correlations, draw_costs
from course.diagrams.layouts import draw_layouts
from course.diagrams.likely import draw_characters, draw_kinds
from course.diagrams.memory import draw_memory
from course.diagrams.norms import draw_cubes, draw_ladder
from course.diagrams.pairs import draw_pairs
from course.diagrams.poster import draw_poster
from course.diagrams.stacks import draw_stack, draw_trees_into_stack
from course.diagrams.surprise import draw_name
from course.diagrams.trees import draw_flat_against_tree
from course.diagrams.windows import draw_windows
from course.drawings import *
from course.exercises import __all__ as answer_checks
from course.exercises import train_within_budget
from course.explorers.batchnorm import BatchNormExplorer
from course.explorers.grid import GridExplorer
from course.explorers.quiz import Quiz
from course.explorers.reuse import ReuseExplorer
from course.explorers.tree import TreeExplorer, draw_tree
from course.explorers.wavenet import WaveNetExplorer
from course.explorers.windows import WindowsExplorer
from course.fusions import *
from course.in_pytorch import operators, step_ms, step_multiply_adds, try_compile
from course.inspection import *
from course.optimizers import parameter_groups
from course.quizzes import *
from course.recipes import with_recipe
from course.runs import *
from course.studies import open_study, run_study
from course.wavenet import *
from course.weights import load_weights, save_weights
from helpers import *

ROOT = Path(__file__).parents[1]
OURS = [ROOT / "helpers.py", *sorted((ROOT / "course").rglob("*.py"))]

NAMES = ["emma", "ava", "zoe", "ida", "leo", "max", "mia", "eva", "tom", "ann"]
VOCAB = Vocab(NAMES)
LARGER = Vocab([*NAMES, "bcfghjkpqrsuwy"])
SIZES = {"embedding_dim": 2, "hidden": 3}
V = len(VOCAB)
X, Y = build_dataset(NAMES, VOCAB, 8)
X16, Y16 = build_dataset(NAMES, VOCAB, 16)
FAR_X, FAR_Y = build_dataset(["wry"], LARGER, 8)  # numbers outside the vocabulary
TREE = build_tree(V, **SIZES)
FLAT = build_flat(V, 8, **SIZES)
BUGGY = build_tree(V, **SIZES, norm=BatchNormPerPosition)
NET = as_convolution(TREE)
DIVERGED = build_tree(V, **SIZES)
DIVERGED.layers[0].weight.data.fill_(torch.nan)
KEEPING = build_tree(V, **SIZES)
KEEPING.layers[3].out = KEEPING(X)  # as in the lecture's own code
NORM = BatchNorm1d(3)
PER_POSITION = BatchNormPerPosition(3)
CONV = CausalConv1d(2, 3)
QUEUES_OF_ONE = {}
with_queue(CONV, zeros(1, 1, 2), QUEUES_OF_ONE)
UNPADDED = CausalConv1d(1, 1, padding="none")
LINEAR = Linear(3, 4)
TORCH_LAYER = nn.Linear(8, 3)
CONFIG = TrainConfig(steps=2, batch_size=4)
GENERATOR = Generator().manual_seed(1)
HISTORY = History([1.0, 2.0])
TINY = WaveNetConfig(steps=2, batch_size=2, channels=2, skip_channels=2, levels=2)
WAVENET = WaveNet(TINY, V)
RESULTS = pd.DataFrame(
    {"variant": ["a", "b"] * 3, "seed": [0, 0, 1, 1, 2, 2], "val": [2.0, 2.1] * 3}
)
FIGURE, AXES = plt.subplots()
plt.close(FIGURE)
MODELS = [TREE, FLAT, BUGGY, NET, DIVERGED, NORM, PER_POSITION, CONV, WAVENET]


@pytest.fixture(scope="module", autouse=True)
def files(tmp_path_factory):
    """Files as they really come; the rows call them FILES / name."""
    folder = tmp_path_factory.mktemp("files")
    contents = {
        "utf16.txt": "zoé\nava\n".encode("utf-16"),
        "utf16le.txt": "zoe\nava\n".encode("utf-16-le"),  # without a byte-order mark
        "latin1.txt": "ava\nzoé\n".encode("latin-1"),
        "empty.txt": b"",
        "blank.txt": b"\n \r\n\t\n",
        "picture.png": b"\x89PNG\r\n\x1a\n\0\0",
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    globals()["FILES"] = folder
    return folder


# ---- What is typed, and the answer ---------------------------------------------------
WHOLE = "give a whole number, 1 or more"
SEED = "give a whole number, 0 or more"
TREES = "a tree takes 2, 4, 8, 16"
LIST = "give a list of names"
TABLE = [
    # A names file
    ("load_names('nowhere.txt')", "no names file at nowhere.txt: give a UTF-8 file"),
    ("load_names(FILES)", "is a folder: give a UTF-8 file with one name per"),
    ("load_names('x' * 5000)", "cannot be read|no names file"),
    ("load_names('a\\0b')", "no names file"),
    ("load_names(FILES / 'utf16.txt')", "utf16.txt is in UTF-16.*encoding UTF-8"),
    ("load_names(FILES / 'utf16le.txt')", "utf16le.txt is in UTF-16.*encoding UTF-8"),
    (
        "load_names(FILES / 'latin1.txt')",
        r"latin1.txt is not in UTF-8 \(line 2\).*UTF-8",
    ),
    ("load_names(FILES / 'picture.png')", "picture.png is .*encoding UTF-8"),
    (
        "load_names(FILES / 'empty.txt')",
        "empty.txt contains no names: put one name on each",
    ),
    (
        "load_names(FILES / 'blank.txt')",
        "blank.txt contains no names: put one name on each",
    ),
    ("load_names(3)", "path is 3: give the path of a names file"),
    ("load_names(None)", "path is None: give the path of a names file"),
    ("load_names(NAMES)", "path is .*: give the path of a names file"),
    ("load_names(b'names.txt')", "path is b'names.txt': give the path"),
    # A list of names and its vocabulary
    ("Vocab('emma')", "names is the text 'emma': give a list of names"),
    ("Vocab([])", "names is empty: give one name or more"),
    ("Vocab([''])", "names has no characters: give one name or more"),
    ("Vocab(5)", "names is 5: give a list of names"),
    ("Vocab(None)", "names is None: give a list of names"),
    ("Vocab(b'emma')", "names is b'emma': give a list of names"),
    ("Vocab(['emma', 3])", r"names\[1\] is 3: a name is a text"),
    ("Vocab(['emma', None])", r"names\[1\] is None: a name is a text"),
    ("Vocab(['emma', float('nan')])", r"names\[1\] is nan: a name is a text"),
    ("Vocab([NAMES])", r"names\[0\] is .*: a name is a text"),
    ("Vocab(['st.john'])", "'st.john' holds the end mark '.': take it out"),
    ("Vocab(['emma\\n', 'ava\\n'])", r"names\[0\] is 'emma\\n': strip its line end"),
    ("Vocab({'train': NAMES})", r"names is a dict: give one of its parts.*'train'"),
    ("Vocab(pd.DataFrame({'name': NAMES}))", "names is a DataFrame: give one .*'name'"),
    ("VOCAB.encode('Emma')", r"'Emma' holds the unknown \['E'\]: use \."),
    ("VOCAB.encode('zoé')", r"'zoé' holds the unknown \['é'\]: use \."),
    ("VOCAB.encode('zoe\\u0301')", r"'zoé' holds the unknown \['é'\]: use \."),
    ("VOCAB.encode(5)", "text is 5: give a text"),
    ("VOCAB.encode(None)", "text is None: give a text"),
    ("VOCAB.encode(['e', 'm'])", r"text is \['e', 'm'\]: give a text"),
    ("VOCAB.encode(b'emma')", "text is b'emma': give a text"),
    (
        "VOCAB.decode([99])",
        "numbers is 99: give a whole number, 0 or more and 12 at most",
    ),
    ("VOCAB.decode([-1])", "numbers is -1: give a whole number, 0 or more"),
    ("VOCAB.decode([1.0])", "numbers is 1.0: give a whole number.*; write 1"),
    ("VOCAB.decode(5)", "numbers is 5: give a sequence of whole numbers"),
    ("VOCAB.decode('emma')", "numbers is 'emma': give a sequence of whole numbers"),
    ("VOCAB.decode(X)", r"numbers is a tensor \(\d+, 8\) of int64: give one row of it"),
    ("VOCAB.decode(X[0].float())", r"numbers is tensor\(0.\): give a whole number"),
    ("split_names('emma')", "names is the text 'emma': give a list of names"),
    ("split_names([])", "names is empty: give one name or more"),
    (
        "split_names(set(NAMES))",
        r"names is a set, which has no order: give sorted\(names",
    ),
    ("split_names({'train': NAMES})", "names is a dict: give one of its parts"),
    ("split_names(NAMES[:3])", "3 names leave val empty: give 10 names or more"),
    ("split_names(NAMES, 80, 10)", "train is 80: give a number above 0 and below 1"),
    ("split_names(NAMES, -0.5)", "train is -0.5: give a number above 0 and below 1"),
    ("split_names(NAMES, float('nan'))", "train is nan: give a number above 0"),
    ("split_names(NAMES, '0.8')", "train is '0.8': give a number.*without quotes"),
    ("split_names(NAMES, val=True)", "val is True: give a number above 0 and below 1"),
    ("split_names(NAMES, 0.9, 0.2)", "10 names leave test empty.*sum to less than 1"),
    ("split_names(NAMES, seed=-1)", f"seed is -1: {SEED}"),
    ("split_names(NAMES, seed=1.5)", f"seed is 1.5: {SEED}"),
    ("split_names(NAMES, seed=None)", f"seed is None: {SEED}"),
    ("split_names(NAMES, seed='42')", "seed is '42': .*; write it without quotes"),
    (
        "build_dataset('emma', VOCAB, 8)",
        "names is the text 'emma': give a list of names",
    ),
    ("build_dataset([], VOCAB, 8)", "names is empty: give one name or more"),
    ("build_dataset(iter([]), VOCAB, 8)", "names is empty: give one name or more"),
    ("build_dataset(split_names(NAMES), VOCAB, 8)", "a dict: .*'train', 'val', 'test'"),
    ("build_dataset(['e.a'], VOCAB, 8)", "'e.a' holds the end mark '.': take it out"),
    ("build_dataset(['Emma'], VOCAB, 8)", r"'Emma' holds the unknown \['E'\]"),
    ("build_dataset(VOCAB, NAMES, 8)", "names is a Vocab: give a list of names"),
    (
        "build_dataset(NAMES, NAMES, 8)",
        r"vocab is .*: give a Vocab, such as Vocab\(names",
    ),
    ("build_dataset(NAMES, Vocab, 8)", "vocab is the class Vocab: give a Vocab"),
    ("build_dataset(NAMES, VOCAB, 0)", "block_size is 0: choose one of 1, 2, 3"),
    ("build_dataset(NAMES, VOCAB, True)", "block_size is True: choose one of 1, 2, 3"),
    ("build_dataset(NAMES, VOCAB, 8.0)", "block_size is 8.0: choose one of 1, 2, 3"),
    (
        "build_dataset(NAMES, VOCAB, 10**9)",
        "block_size is 1000000000: choose one of 1, 2",
    ),
    # Layers
    ("Layer().train(X)", "mode is .*: give True or False"),
    ("TREE.train('yes')", "mode is 'yes': give True or False"),
    ("Embedding(0, 3)", f"num_embeddings is 0: {WHOLE}"),
    ("Embedding(VOCAB, 3)", f"num_embeddings is a Vocab: {WHOLE}"),
    ("Embedding(27, 2.5)", f"embedding_dim is 2.5: {WHOLE}"),
    ("Embedding(27, 3, generator=42)", "generator is 42: give torch.Generator"),
    ("Embedding(10**6, 10**6)", "weights: give fewer than"),
    (
        "TREE.layers[0](X.float())",
        r"Embedding\(.*\) cannot take a tensor .* of float32",
    ),
    (
        "TREE.layers[0](torch.tensor([99]))",
        r"Embedding\(.*\) cannot take a tensor \(1,\)",
    ),
    (
        "TREE.layers[0](torch.tensor([-1]))",
        r"Embedding\(.*\) cannot take .*give whole numbers",
    ),
    (
        "TREE.layers[0]([[1, 2]])",
        r"Embedding\(.*\) cannot take \[\[1, 2\]\]: give whole",
    ),
    ("FlattenConsecutive(0)", f"n is 0: {WHOLE}"),
    ("FlattenConsecutive(2.0)", f"n is 2.0: {WHOLE}.*; write 2"),
    (
        "FlattenConsecutive(3)(zeros(2, 8, 3))",
        "8 positions cannot be grouped by 3: take",
    ),
    (
        "FlattenConsecutive(2)(zeros(2, 8))",
        r"x is a tensor \(2, 8\) .* with 3 dimensions",
    ),
    (
        "FlattenConsecutive(2)(zeros(0, 8, 3))",
        r"x is a tensor \(0, 8, 3\).*give 1 or more",
    ),
    ("FlattenConsecutive(2)('emma')", "x is 'emma': give a torch tensor"),
    ("Linear(0, 3)", f"in_features is 0: {WHOLE}"),
    ("Linear(3, '4')", f"out_features is '4': {WHOLE}.*without quotes"),
    ("Linear(3, float('inf'))", f"out_features is inf: {WHOLE}"),
    ("Linear(10**6, 10**6)", "1,000,000 x 1,000,000 weights: give fewer than"),
    ("Linear(3, 4, bias='no')", "bias is 'no': give True or False"),
    ("LINEAR(zeros(2, 5))", r"Linear\(3, 4\) cannot take a tensor \(2, 5\)"),
    ("LINEAR(zeros(2, 3).long())", r"Linear\(3, 4\) cannot take .* of int64: give"),
    ("LINEAR([1.0, 2.0, 3.0])", r"Linear\(3, 4\) cannot take \[1.0, 2.0, 3.0\]"),
    ("BatchNorm1d(True)", f"num_features is True: {WHOLE}"),
    ("BatchNorm1d(3, eps=0)", "eps is 0: give a number above 0"),
    (
        "BatchNorm1d(3, momentum=1.5)",
        "momentum is 1.5: give a number 0 or more and 1 at",
    ),
    (
        "BatchNorm1d(3, momentum=float('nan'))",
        "momentum is nan: give a number 0 or more",
    ),
    ("NORM(zeros(1, 3))", r"in training mode got a tensor \(1, 3\).*two rows or more"),
    ("NORM(zeros(0, 3))", r"in training mode got a tensor \(0, 3\).*two rows or more"),
    (
        "NORM(zeros(4, 5))",
        r"BatchNorm1d\(3\) cannot take a tensor \(4, 5\).*\(..., C\)",
    ),
    ("NORM(zeros(4, 3).long())", r"BatchNorm1d\(3\) cannot take .* of int64: give num"),
    ("PER_POSITION(zeros(1, 3))", r"in training mode got a tensor \(1, .*two rows"),
    ("PER_POSITION(zeros(1, 8, 3))", r"in training mode got a tensor \(1, .*two rows"),
    ("PER_POSITION(zeros(0, 3))", r"in training mode got a tensor \(0, .*two rows"),
    ("Tanh()('emma')", r"Tanh\(\) cannot take 'emma': give a tensor"),
    ("Sequential([Tanh()])", r"one of layers is \[Tanh\(\)\]: give layers one after"),
    ("Sequential(Tanh)", "one of layers is the class Tanh: give layers one after"),
    ("Sequential(Tanh(), None)", "one of layers is None: give layers one after"),
    # Models
    ("build_flat(VOCAB, 8)", f"vocab_size is a Vocab: {WHOLE}"),
    ("build_flat(27, 0)", "block_size is 0: choose one of 1, 2, 3"),
    ("build_flat(27, 2.5)", "block_size is 2.5: choose one of 1, 2, 3"),
    ("build_flat(27, '8')", "block_size is '8': choose one of 1, 2, 3"),
    ("build_flat(27, 8, hidden=0)", f"hidden is 0: {WHOLE}"),
    ("build_flat(27, 8, hidden=-5)", f"hidden is -5: {WHOLE}"),
    ("build_flat(27, 8, hidden=float('nan'))", f"hidden is nan: {WHOLE}"),
    ("build_flat(27, 8, hidden=10**9)", "hidden is 1000000000: .*1,048,576 at most"),
    (
        "build_flat(27, 8, embedding_dim='10')",
        f"embedding_dim is '10': {WHOLE}.*quotes",
    ),
    ("build_flat(27, 8, generator=42)", r"generator is 42: give torch.Generator\(\)"),
    ("build_tree(27, 6)", f"block_size is 6: {TREES}"),
    ("build_tree(27, True)", f"block_size is True: {TREES}"),
    ("build_tree(27, 8.0)", f"block_size is 8.0: {TREES}"),
    ("build_tree(27, float('nan'))", f"block_size is nan: {TREES}"),
    ("build_tree(27, 2**21)", f"block_size is 2097152: {TREES}"),
    ("build_tree(27, np.arange(8))", f"block_size is array.*: {TREES}"),
    ("build_tree(0)", f"vocab_size is 0: {WHOLE}"),
    ("build_tree(-27)", f"vocab_size is -27: {WHOLE}"),
    ("build_tree(True)", f"vocab_size is True: {WHOLE}"),
    ("build_tree(27, hidden=68.5)", f"hidden is 68.5: {WHOLE}"),
    ("build_tree(27, hidden=[68])", r"hidden is \[68\]: give a whole number"),
    ("build_tree(27, norm='batch')", "norm is 'batch': give a function"),
    ("build_tree(27, generator='cpu')", "generator is 'cpu': give torch.Generator"),
    ("check_block_size(3, tree=True)", f"block_size is 3: {TREES}"),
    ("check_block_size(10**5000)", "block_size is a int: choose one of 1, 2, 3"),
    # The config of a training
    ("TrainConfig(steps=0)", "steps is 0: give a whole number, 1 or more"),
    ("TrainConfig(steps=2.5)", "steps is 2.5: give a whole number, 1 or more"),
    ("TrainConfig(steps=100.0)", "steps is 100.0: .*; write 100"),
    ("TrainConfig(steps='3')", "steps is '3': give a whole number.*without quotes"),
    ("TrainConfig(steps=True)", "steps is True: give a whole number, 1 or more"),
    ("TrainConfig(steps=None)", "steps is None: give a whole number, 1 or more"),
    ("TrainConfig(steps=float('inf'))", "steps is inf: give a whole number, 1 or more"),
    ("TrainConfig(batch_size=1)", "batch_size is 1: give a whole number, 2 or more"),
    ("TrainConfig(batch_size=1e3)", "batch_size is 1000.0: .*2 or more; write 1000"),
    ("TrainConfig(lr=0)", "lr is 0: give a number above 0"),
    ("TrainConfig(lr=-0.01)", "lr is -0.01: give a number above 0"),
    ("TrainConfig(lr=float('nan'))", "lr is nan: give a number above 0"),
    ("TrainConfig(lr=float('inf'))", "lr is inf: give a number above 0"),
    ("TrainConfig(lr='0.01')", "lr is '0.01': give a number above 0.*without quotes"),
    ("TrainConfig(lr=True)", "lr is True: give a number above 0"),
    ("TrainConfig(lr=1j)", "lr is 1j: give a number above 0"),
    ("TrainConfig(lr=10**400)", "lr is a int: give a number above 0"),
    ("TrainConfig(weight_decay=-1)", "weight_decay is -1: give a number 0 or more"),
    (
        "TrainConfig(weight_decay=float('nan'))",
        "weight_decay is nan: give a number 0 or",
    ),
    (
        "TrainConfig(embedding_boost=-1)",
        "embedding_boost is -1: give a number 0 or more",
    ),
    (
        "TrainConfig(embedding_boost='3')",
        "embedding_boost is '3': give a number 0 or more",
    ),
    # Training
    (
        "train(TREE, X[:0], Y[:0], CONFIG)",
        r"X is a tensor \(0, 8\).*give 2 or more rows",
    ),
    (
        "train(TREE, X[:1], Y[:1], CONFIG)",
        r"X is a tensor \(1, 8\).*give 2 or more rows",
    ),
    (
        "train(BUGGY, X[:1], Y[:1], CONFIG)",
        r"X is a tensor \(1, 8\).*give 2 or more rows",
    ),
    ("train(TREE, X, Y[:-1], CONFIG)", r"X has \d+ rows and Y has \d+: give a target"),
    ("train(TREE, X.float(), Y, CONFIG)", r"X is .* of float32: .*such as X.long\(\)"),
    ("train(TREE, X, Y.float(), CONFIG)", r"Y is .* of float32: .*such as Y.long\(\)"),
    ("train(TREE, X.tolist(), Y, CONFIG)", "X is a list: give a torch tensor"),
    ("train(TREE, NAMES, Y, CONFIG)", "X is .*: give a torch tensor"),
    (
        "train(TREE, X16, Y16, CONFIG)",
        r"for targets \(3,\)|cannot read a tensor \(3, 16\)",
    ),
    ("train(FLAT, X16, Y16, CONFIG)", r"logits \(3, 2, \d+\) for targets|cannot read"),
    ("train(TREE, X[:, :4], Y, CONFIG)", "cannot read a tensor.*with the block_size"),
    ("train(FLAT, X[:, :7], Y, CONFIG)", "cannot read a tensor.*with the block_size"),
    ("train(TREE, X[:, 0], Y, CONFIG)", "cannot read a tensor.*with the block_size"),
    ("train(TREE, FAR_X, FAR_Y, CONFIG)", "cannot read a tensor.*and the vocabulary"),
    ("train(TREE, X - 1, Y, CONFIG)", "cannot read a tensor.*and the vocabulary"),
    ("train(TREE, X, Y + V, CONFIG)", r"Y contains \d+, but the model knows 0 to \d+"),
    ("train(TREE, X, Y - 5, CONFIG)", r"Y contains -\d, but the model knows 0 to \d+"),
    ("train(TREE, X.to('meta'), Y, CONFIG)", r"it has no numbers; .*device\(\"cpu\"\)"),
    ("train(TREE, X, Y, 100)", r"config is 100: give a config, such as TrainConfig"),
    ("train(TREE, X, Y, {'steps': 100})", "config is {'steps': 100}: give a config"),
    (
        "train(TREE, X, Y, TrainConfig)",
        "config is the class TrainConfig: give a config",
    ),
    ("train(TREE, X, Y, CONFIG, seed=-1)", f"seed is -1: {SEED}"),
    (
        "train(TREE, X, Y, CONFIG, seed=2**64)",
        "seed is 18446744073709551616: .*at most",
    ),
    ("train(TREE, X, Y, CONFIG, seed=0.5)", f"seed is 0.5: {SEED}"),
    ("train(TREE, X, Y, CONFIG, on_step=5)", "on_step is 5: give a function, without"),
    (
        "train(TREE, X, Y, CONFIG, progress='no')",
        "progress is 'no': give True or False",
    ),
    (
        "train(build_tree, X, Y, CONFIG)",
        "model is .*: give a model, such as build_tree",
    ),
    ("train(None, X, Y, CONFIG)", "model is None: give a model, such as build_tree"),
    ("train(TORCH_LAYER, X, Y, CONFIG)", "cannot read|the layers of helpers.py"),
    ("fit(TREE, [], CONFIG)", "batches is empty: give one batch or more"),
    ("fit(TREE, None, CONFIG)", r"batches is None: give pairs \(x, y\)"),
    ("fit(TREE, 'abc', CONFIG)", r"batches is 'abc': give pairs \(x, y\)"),
    ("fit(TREE, X, CONFIG)", r"a batch is a tensor \(8,\).*give pairs \(x, y\)"),
    ("fit(TREE, [(X, Y, Y)], CONFIG)", r"a batch is .*: give pairs \(x, y\)"),
    ("fit(TREE, X, Y)", "config is .*: give a config, such as TrainConfig"),
    ("fit(TREE, [(X, Y[:3])], CONFIG)", r"X has \d+ rows and Y has 3: give a target"),
    ("fit(TREE, [(X[:1], Y[:1])], CONFIG)", "cannot read a tensor.*two rows or more"),
    ("fit(BUGGY, [(X[:1], Y[:1])], CONFIG)", "cannot read a tensor.*two rows or more"),
    ("fit(TREE, [(X.float(), Y)], CONFIG)", r"X is .* of float32: .*X.long\(\)"),
    ("fit(TREE, [(X[:0], Y[:0])], CONFIG)", r"X is a tensor \(0, 8\).*1 or more rows"),
    ("fit(TREE, [(FAR_X, FAR_Y)], CONFIG)", "cannot read a tensor.*and the vocabulary"),
    ("fit(NET, [(X, Y)], CONFIG)", r"logits \(3, 8, \d+\) for targets \(3,\)"),
    ("fit(TORCH_LAYER, [(X, Y)], CONFIG)", "is a Linear: .*the layers of helpers.py"),
    ("fit(Tanh(), [(X, Y)], CONFIG)", "model has no parameters: give a model that can"),
    (
        "fit(KEEPING, [(X, Y)], CONFIG)",
        "keeps a tensor that it computed: keep x.detach",
    ),
    ("fit(Linear, [(X, Y)], CONFIG)", "model is the class Linear: give a model"),
    # Evaluation, samples, curves
    ("eval_mode(None)", "model is None: give a model, such as build_tree"),
    ("eval_mode(Sequential)", "model is the class Sequential: give a model"),
    (
        "evaluate(TREE, X[:0], Y[:0])",
        r"Y is a tensor \(0,\) of int64: give 1 or more rows",
    ),
    ("evaluate(TREE, X, Y[:3])", r"X has \d+ rows and Y has 3: give a target"),
    ("evaluate(TREE, X.float(), Y)", r"X is .* of float32: .*X.long\(\)"),
    ("evaluate(TREE, X, Y.float())", r"Y is .* of float32: .*Y.long\(\)"),
    ("evaluate(TREE, X, X)", r"Y is a tensor \(\d+, 8\) of int64: give one with 1 dim"),
    ("evaluate(TREE, X16, Y16)", r"for targets \(3,\)|cannot read a tensor"),
    ("evaluate(FLAT, X[:, 1:], Y)", "cannot read a tensor.*with the block_size"),
    ("evaluate(TREE, FAR_X, FAR_Y)", "cannot read a tensor.*and the vocabulary"),
    (
        "evaluate(TREE, X, torch.where(Y == 0, -100, Y))",
        "Y contains -100: give a target of 0",
    ),
    ("evaluate(TREE, X, Y, batch_size=0)", f"batch_size is 0: {WHOLE}"),
    ("evaluate(TREE, X, Y, batch_size=2.5)", f"batch_size is 2.5: {WHOLE}"),
    ("evaluate('tree', X, Y)", "model is 'tree': give a model, such as build_tree"),
    ("sample(TREE, VOCAB, 8, 0)", f"n is 0: {WHOLE}"),
    ("sample(TREE, VOCAB, 8, 2.5)", f"n is 2.5: {WHOLE}"),
    ("sample(TREE, VOCAB, 8, '3')", f"n is '3': {WHOLE}.*without quotes"),
    ("sample(TREE, VOCAB, 8, True)", f"n is True: {WHOLE}"),
    (
        "sample(TREE, VOCAB, 8, temperature=0)",
        "temperature is 0: give a number 0.0001 or",
    ),
    (
        "sample(TREE, VOCAB, 8, temperature=float('nan'))",
        "temperature is nan: give a num",
    ),
    (
        "sample(TREE, VOCAB, 8, temperature=1e-300)",
        "temperature is 1e-300: give a number",
    ),
    (
        "sample(TREE, VOCAB, 8, temperature='hot')",
        "temperature is 'hot': give a number",
    ),
    ("sample(TREE, VOCAB, 8, prompt='e.')", "'e.' holds the end mark '.': take it out"),
    ("sample(TREE, VOCAB, 8, prompt='E')", r"'E' holds the unknown \['E'\]: use \."),
    ("sample(TREE, VOCAB, 8, prompt=None)", "prompt is None: give a text"),
    ("sample(TREE, VOCAB, 8, prompt=3)", "prompt is 3: give a text"),
    (
        "sample(TREE, VOCAB, 8, prompt='em', max_length=2)",
        "max_length=2 leaves no room",
    ),
    ("sample(TREE, VOCAB, 8, max_length=0)", f"max_length is 0: {WHOLE}"),
    ("sample(TREE, VOCAB, 8, max_length=2.5)", f"max_length is 2.5: {WHOLE}"),
    ("sample(TREE, VOCAB, 0)", "block_size is 0: choose one of 1, 2, 3"),
    ("sample(TREE, VOCAB, 4, generator=GENERATOR)", "cannot read a tensor.*block_size"),
    (
        "sample(FLAT, VOCAB, 16, generator=GENERATOR)",
        "cannot read|logits .* for a window",
    ),
    ("sample(TREE, LARGER, 8, generator=GENERATOR)", r"logits \(1, \d+\) for a window"),
    (
        "sample(NET, VOCAB, 8, generator=GENERATOR)",
        r"logits \(1, 8, \d+\) for a window",
    ),
    ("sample(DIVERGED, VOCAB, 8, generator=GENERATOR)", "gives nan, .*learning rate"),
    ("sample(TREE, VOCAB, 8, generator=42)", "generator is 42: give torch.Generator"),
    ("sample(TREE, NAMES, 8)", "vocab is .*: give a Vocab, such as Vocab"),
    ("sample(VOCAB, TREE, 8)", "model is a Vocab: give a model, such as build_tree"),
    ("count_parameters(WaveNet)", "model is the class WaveNet: give a model"),
    ("count_parameters([TREE])", "model is .*: give a model, such as build_tree"),
    ("smooth(HISTORY)", "losses is a History: give its .losses"),
    ("smooth('abc')", "losses is 'abc': give a list of numbers, one for each step"),
    ("smooth(3.0)", "losses is 3.0: give a list of numbers"),
    ("smooth(None)", "losses is None: give a list of numbers"),
    ("smooth([1.0, None])", r"losses is \[1.0, None\]: give a list of numbers"),
    (
        "smooth([[1.0], [2.0]])",
        r"losses is \[\[1.0\], \[2.0\]\]: give a list of numbers",
    ),
    ("smooth(X)", "losses is .*: give a list of numbers, one for each step"),
    ("smooth({0: 1.0})", r"losses is \{0: 1.0\}: give a list of numbers"),
    ("smooth([1.0], 0)", f"window is 0: {WHOLE}"),
    ("smooth([1.0], 2.5)", f"window is 2.5: {WHOLE}"),
    ("smooth([1.0], -100)", f"window is -100: {WHOLE}"),
    ("smooth([1.0], '100')", f"window is '100': {WHOLE}"),
    # course.convolution
    ("with_queue(UNPADDED, zeros(1, 1, 1), {})", "queues need 'dots' or 'zeros'"),
    ("build_tree(27, norm=None)", "norm is None: give a function, without"),
    ("CausalConv1d(0, 3)", f"in_channels is 0: {WHOLE}"),
    ("CausalConv1d(3, 2.5)", f"out_channels is 2.5: {WHOLE}"),
    ("CausalConv1d(3, 3, kernel_size=0)", f"kernel_size is 0: {WHOLE}"),
    ("CausalConv1d(3, 3, dilation='2')", f"dilation is '2': {WHOLE}.*without quotes"),
    ("CausalConv1d(3, 3, padding='same')", "padding is 'same': choose one of 'dots'"),
    ("CausalConv1d(3, 3, padding=1)", "padding is 1: choose one of 'dots'"),
    ("CONV(zeros(4, 2))", r"x is a tensor \(4, 2\) of float32: give one with 3 dim"),
    ("CONV(zeros(4, 5, 7))", r"CausalConv1d.* cannot take a tensor \(4, 5, 7\)|Linear"),
    ("CONV(zeros(4, 0, 2))", r"x is a tensor \(4, 0, 2\) of float32: give 1 or more"),
    ("CONV('emma')", "x is 'emma': give a torch tensor"),
    ("CONV(zeros(1, 4, 2), [])", r"queues is \[\]: give a dict, {} for a new name"),
    ("UNPADDED(zeros(1, 1, 1))", "1 positions are too few: give"),
    ("CONV.before('emma')", "x is 'emma': give a torch tensor"),
    ("with_queue(CONV, zeros(2, 1, 2), QUEUES_OF_ONE)", "but the queue has .*start ag"),
    (
        "with_queue(CONV, zeros(1, 2), {})",
        r"x is a tensor \(1, 2\).* with 3 dimensions",
    ),
    ("with_queue(CONV, zeros(1, 1, 2), None)", "queues is None: give a dict"),
    ("NET(X, [])", r"queues is \[\]: give a dict, {} for a new name"),
    ("NET(X.float())", r"Embedding\(.*\) cannot take a tensor .* of float32"),
    ("NET(X[0])", r"x is a tensor \(8, 2\) of float32: give one with 3 dimensions"),
    ("CausalNetwork([CONV])", "one of layers is .*: give layers one after the other"),
    ("as_convolution(NET)", "model fuses nothing: give a flat model or a tree"),
    ("as_convolution(WAVENET)", "model is a WaveNet: give a flat model or a tree"),
    ("as_convolution(None)", "model is None: give a flat model or a tree"),
    ("as_convolution(TREE, padding='same')", "padding is 'same': choose one of 'dots'"),
    ("linear_to_convolution(None, 2, 1, 'dots')", "linear is None: give a Linear"),
    ("linear_to_convolution(LINEAR, 0, 1, 'dots')", f"n is 0: {WHOLE}"),
    ("linear_to_convolution(LINEAR, 2, 1, 'dots')", "3 rows cannot be shared by 2"),
    ("convolutions(5)", "layer is 5: give a model"),
    ("receptive_field('net')", "network is 'net': give a model"),
    ("whole_names('emma', VOCAB)", "names is the text 'emma': give a list of names"),
    ("whole_names([], VOCAB)", "names is empty: give one name or more"),
    ("whole_names(['e.a'], VOCAB)", "'e.a' holds the end mark '.': take it out"),
    ("whole_names(['Emma'], VOCAB)", r"holds the unknown \['E'\]: use \."),
    ("whole_names(NAMES, len(VOCAB))", r"vocab is \d+: give a Vocab"),
    ("pack('emma', VOCAB)", "names is the text 'emma': give a list of names"),
    ("pack([], VOCAB)", "names is empty: give one name or more"),
    ("pack(['emma', 5], VOCAB)", r"names\[1\] is 5: a name is a text"),
    (
        "Packed(*NET.layers)(X)",
        r"x is a tensor \(\d+, 8\) of int64: give one with 1 dim",
    ),
    (
        "Packed(*NET.layers)(torch.tensor([3, 0]))",
        "x does not begin with a dot: give the tok",
    ),
    ("Packed(*NET.layers)(zeros(3))", r"x is a tensor \(3,\) of float32: give whole"),
    ("WithQueues(None)", "network is None: give a model"),
    ("WithQueues(TREE)(X)", "WithQueues.* cannot take a tensor .*a causal network"),
    ("sample_with_queues(TREE, VOCAB)", "the model cannot read a tensor"),
    ("sample_with_queues(NET, VOCAB, 0)", f"n is 0: {WHOLE}"),
    ("sample_with_queues(NET, VOCAB, prompt=None)", "prompt is None: give a text"),
    (
        "sample_with_queues(NET, VOCAB, prompt='.')",
        "'.' holds the end mark '.': take it",
    ),
    ("sample_with_queues(NET, LARGER)", r"logits \(1, \d+\) for a window"),
    (
        "sample_with_queues(NET, VOCAB, temperature=-1)",
        "temperature is -1: give a number",
    ),
    # course.inspection, costs, fusions
    ("summary('tree', X)", "model is 'tree': give a model"),
    ("summary(TORCH_LAYER, X)", "model is a Linear: give one made of the layers"),
    ("summary(TREE, X.float())", r"Embedding\(.*\) cannot take a tensor .* of float32"),
    ("summary(TREE, X[:, :4])", r"x is a tensor .* of float32: give one with 3 dim"),
    ("in_float64(Linear)", "model is the class Linear: give a model"),
    ("to_float64(5)", "layer is 5: give a model"),
    ("multiply_adds(6, 1, 27)", f"block_size is 6: {TREES}"),
    ("multiply_adds(8, 0, 27)", f"n is 0: {WHOLE}"),
    ("multiply_adds(8, 1, VOCAB)", f"vocab_size is a Vocab: {WHOLE}"),
    ("multiply_adds(8, 1, 27, hidden=0.5)", f"hidden is 0.5: {WHOLE}"),
    ("ways(8, 'emma', VOCAB)", "names is the text 'emma': give a list of names"),
    ("large_tree(3, 27)", f"block_size is 3: {TREES}"),
    ("in_portions(zeros(4))", r"windows is a tensor \(4,\).* with 2 dimensions"),
    ("run_all(None, [X])", "model is None: give a model"),
    ("run_all(TREE, 5)", "batches is 5: give pairs|batches is 5: give a list"),
    ("fastest(None)", "work is None: give a function"),
    ("fastest(len, [], repeats=0)", f"repeats is 0: {WHOLE}"),
    ("whole_seconds(8, [], VOCAB)", "names is empty: give one name or more"),
    ("step_seconds(8, 27, n=0)", f"n is 0: {WHOLE}"),
    ("fusions(5, 8)", "name is 5: give a text"),
    ("fusions('e.a', 8)", "'e.a' holds the end mark '.': take it out"),
    ("fusions('emma', 6)", f"block_size is 6: {TREES}"),
    ("characters_of('emma', -1, 2)", "level is -1: give a whole number, 0 or more"),
    ("characters_of('emma', 1, 2.5)", "position is 2.5: give a whole number"),
    ("kind_of(1, 1, None)", "position is None: give a whole number"),
    # course.drawings
    ("plot_curves([1.0, 2.0])", r"curves is \[1.0, 2.0\]: give a dict {name: losses}"),
    ("plot_curves({})", "curves is empty: give one curve or more"),
    ("plot_curves({'tree': 2.0})", r"curves\['tree'\] is 2.0: give a list of numbers"),
    (
        "plot_curves({'tree': HISTORY})",
        r"curves\['tree'\] is a History: give its .losses",
    ),
    ("plot_curves({'tree': [1.0]}, window=0)", f"window is 0: {WHOLE}"),
    ("plot_curves({'tree': [1.0]}, ax=FIGURE)", "ax is .*: give the axes of a figure"),
    ("plot_losses(HISTORY)", "histories is .*: give a dict {name: history}"),
    ("plot_losses({})", "histories is empty: give one history or more"),
    (
        "plot_losses({'tree': [1.0]})",
        r"histories\['tree'\] is \[1.0\]: give what train",
    ),
    ("as_png(AXES)", "fig is .*: give a figure, such as ax.figure"),
    ("show(AXES, 'a loss')", "fig is .*: give a figure, such as ax.figure"),
    ("show(FIGURE, ' ')", "alt is empty: say in a sentence what the picture shows"),
    ("show(FIGURE, None)", "alt is None: give a text"),
    # course.quizzes, exercises
    ("check_quiz(1, {})", "notebook is 1: choose one of '01', '02'"),
    ("check_quiz(['01'], {})", r"notebook is \['01'\]: choose one of '01', '02'"),
    ("check_quiz('01', [1, 2])", "answers is a list: give a dict {question: answer}"),
    ("check_quiz('01', None)", "answers is a NoneType: give a dict {question: answer}"),
    ("make_tree(6)", f"block_size is 6: {TREES}"),
    ("fused_positions(8, batch=0)", f"batch is 0: {WHOLE}"),
    ("queue_lengths(TREE)", "network has no queues: give as_convolution"),
    ("queue_lengths(None)", "network is None: give a model"),
    ("train_within_budget(5, 0)", "config is 5: give a config"),
    # course.runs, comparisons, wavenet, weights, studies
    (
        'RunConfig(architecture="bush")',
        "architecture is 'bush': choose one of 'flat', 'tree', 'tree",
    ),
    ('RunConfig(hidden=float("nan"))', "hidden is nan: give a whole number, 1 or more"),
    ("RunConfig(hidden=True)", "hidden is True: give a whole number, 1 or more"),
    (
        'RunConfig(embedding_dim="10")',
        "embedding_dim is '10': give a whole number, 1 or more;",
    ),
    (
        "RunConfig(block_size=6)",
        "block_size is 6: a tree takes 2, 4, 8, 16, \\.\\.\\. because it",
    ),
    ("RunConfig(leak_free=1)", "leak_free is 1: give True or False"),
    (
        'RunConfig().build("27")',
        "vocab_size is '27': give a whole number, 1 or more; write",
    ),
    ('load_splits("yes")', "leak_free is 'yes': give True or False"),
    ("load_data(0)", "block_size is 0: choose one of 1, 2, 3, \\.\\.\\., 1,048,576"),
    (
        "load_data(True)",
        "block_size is True: choose one of 1, 2, 3, \\.\\.\\., 1,048,576",
    ),
    ("run(TrainConfig(), 0)", "config is a TrainConfig: give a config such as"),
    ("run(None, 0)", "config is None: give a config such as"),
    ("run(RunConfig(steps=1), -1)", "seed is -1: give a whole number, 0 or more"),
    ("run(RunConfig(steps=1), 0.5)", "seed is 0\\.5: give a whole number, 0 or more"),
    (
        "run(RunConfig(steps=1), 0, on_step=3)",
        "on_step is 3: give a function, without \\(\\)",
    ),
    (
        "make_record(CONFIG, None, HISTORY, losses={}, samples=[])",
        "model is None: give a model, such as build_tree\\(len\\(vocab\\)\\)",
    ),
    ("BatchNormPerPosition(0)", "num_features is 0: give a whole number, 1 or more"),
    (
        'load_results("rose")',
        "no stored results 'rose': choose from \\['ablation', ",
    ),
    ("load_results(5)", "no stored results 5: choose from \\['ablation', "),
    (
        'load_results("../names")',
        "no stored results '\\.\\./names': choose from \\['ablation',",
    ),
    ("interval([])", "values is empty: give a list or a column of numbers, one or"),
    ('interval("abc")', "values is 'abc': give a list or a column of numbers"),
    ("interval([1.0, None])", "values is of type object: give a list or a column of"),
    ("interval([1.0, 2.0], 95)", "level is 95: give a number above 0 and below 1"),
    ("sign_flip([])", "differences is empty: give a list or a column of numbers,"),
    ('sign_flip([float("nan")])', "differences contains nan or inf: leave these runs"),
    ("sign_flip([1.0] * 40)", "differences has 40 numbers: give 20 at most, or call p"),
    ('sign_flip("abc")', "differences is 'abc': give a list or a column of numbers"),
    ("paired_p([])", "differences is empty: give a list or a column of numbers,"),
    ("paired_p(None)", "differences is None: give a list or a column of numbers"),
    (
        'compare(RESULTS, "rose")',
        "unknown baseline 'rose': choose one of \\['a', 'b'\\]",
    ),
    (
        'compare(RESULTS, "a", metric="loss")',
        "unknown metric 'loss': choose one of \\['val'\\]",
    ),
    (
        'compare([], "a")',
        "results is \\[\\]: give a table from run_study or load_results",
    ),
    ('compare(RESULTS, "a", alpha=5)', "alpha is 5: give a number above 0 and below 1"),
    (
        'compare(pd.concat([RESULTS, RESULTS]), "a")',
        "results has the run \\{'variant': 'a', 'seed': np\\.int64\\(0\\)\\}",
    ),
    (
        "judge_pairs([], 0.05)",
        "differences is empty: give a list or a column of numbers,",
    ),
    (
        "seeds_needed([1.0])",
        "differences has length 1 and mean 1: give two or more, with",
    ),
    (
        "seeds_needed([0.0, 0.0])",
        "differences has length 2 and mean 0: give two or more, with",
    ),
    (
        "seeds_needed([1.0, 2.0], power=80)",
        "power is 80: give a number above 0 and below 1",
    ),
    (
        'plot_runs(RESULTS, metric="loss")',
        "unknown metric 'loss': choose one of \\['val'\\]",
    ),
    ("plot_runs(None)", "results is None: give a table from run_study or load_res"),
    ('count_ngrams("emma", VOCAB)', "names is the text 'emma': give a list of names"),
    (
        'count_ngrams(["Emma"], VOCAB)',
        "'Emma' holds the unknown \\['E'\\]: use \\.adeilmnotvxz",
    ),
    (
        "count_ngrams(NAMES, VOCAB, order=-1)",
        "order is -1: give a whole number, 0 or more and 100 at most",
    ),
    (
        "count_ngrams(NAMES, VOCAB, order=2.5)",
        "order is 2\\.5: give a whole number, 0 or more and 100 at most",
    ),
    (
        'kneser_ney(NAMES, VOCAB, discount=float("nan"))',
        "discount is nan: give a number above 0 and 1 at most",
    ),
    ("kneser_ney([], VOCAB)", "names is empty: give one name or more"),
    ("counted_loss(None, NAMES, VOCAB)", "p is None: give a function"),
    (
        "counted_loss(kneser_ney(NAMES, VOCAB), [], VOCAB)",
        "names is empty: give one name or more",
    ),
    ("WaveNetConfig(channels=0)", "channels is 0: give a whole number, 1 or more"),
    (
        "WaveNetConfig(channels=2.5)",
        "channels is 2\\.5: give a whole number, 1 or more",
    ),
    (
        "WaveNetConfig(levels=True)",
        "levels is True: give a whole number, 1 or more and 12 at",
    ),
    (
        "WaveNetConfig(levels=64)",
        "levels is 64: give a whole number, 1 or more and 12 at most",
    ),
    (
        'WaveNetConfig(gate="relu")',
        "gate is 'relu': choose one of 'tanh', 'glu', 'none'",
    ),
    ("WaveNetConfig(gate=None)", "gate is None: choose one of 'tanh', 'glu', 'none'"),
    (
        "WaveNetConfig(dropout=1.0)",
        "dropout is 1\\.0: give a number 0 or more and below 1",
    ),
    (
        'WaveNetConfig(dropout=float("nan"))',
        "dropout is nan: give a number 0 or more and below 1",
    ),
    ('WaveNetConfig(skip="no")', "skip is 'no': give True or False"),
    (
        'WaveNetConfig(stacks="2")',
        "stacks is '2': give a whole number, 1 or more and 100 at",
    ),
    (
        'WaveNetConfig(lr=float("inf"))',
        "lr is inf: give a number above 0 and 1,000 at most",
    ),
    ('Gate("relu")', "kind is 'relu': choose one of 'tanh', 'glu', 'none'"),
    ("Dropout(1.5)", "p is 1\\.5: give a number 0 or more and below 1"),
    ('Dropout("0.5")', "p is '0\\.5': give a number 0 or more and below 1; write it"),
    ("Block(TINY, 0, has_next=True)", "dilation is 0: give a whole number, 1 or more"),
    (
        "Block(CONFIG, 1, has_next=True)",
        "config is a TrainConfig: give a WaveNetConfig",
    ),
    ("WaveNet(CONFIG, 27)", "config is a TrainConfig: give a WaveNetConfig"),
    ("WaveNet(TINY, 0)", "vocab_size is 0: give a whole number, 1 or more"),
    ("WaveNet(TINY, VOCAB)", "vocab_size is a Vocab: give a whole number, 1 or more"),
    (
        "WaveNet(TINY, V, generator=3)",
        "generator is 3: give torch\\.Generator\\(\\)\\.manual_seed\\(42\\), for",
    ),
    (
        "WAVENET(X.float())",
        "Embedding\\(13, 2\\) cannot take a tensor \\(41, 8\\) of float32:",
    ),
    (
        "WAVENET(X[0])",
        "x is a tensor \\(8, 2\\) of float32: give one with 3 dimensions",
    ),
    (
        "WAVENET(FAR_X)",
        "Embedding\\(13, 2\\) cannot take a tensor \\(4, 8\\) of int64: give",
    ),
    (
        "next(length_batches(torch.arange(3), 0))",
        "size is 0: give a whole number, 1 or more",
    ),
    (
        'train_wavenet(WAVENET, "emma", VOCAB, TINY)',
        "names is the text 'emma': give a list of names",
    ),
    (
        "train_wavenet(WAVENET, [], VOCAB, TINY)",
        "names is empty: give one name or more",
    ),
    (
        'train_wavenet(WAVENET, ["Emma"], VOCAB, TINY)',
        "'Emma' holds the unknown \\['E'\\]: use \\.adeilmnotvxz",
    ),
    (
        "train_wavenet(WAVENET, NAMES, LARGER, TINY)",
        "the model knows 13 characters, the vocabulary has 27: use",
    ),
    (
        "train_wavenet(WAVENET, NAMES, VOCAB, CONFIG)",
        "config is a TrainConfig: give a WaveNetConfig",
    ),
    (
        "train_wavenet(WAVENET, NAMES, VOCAB, TINY, seed=-1)",
        "seed is -1: give a whole number, 0 or more",
    ),
    (
        "train_wavenet(None, NAMES, VOCAB, TINY)",
        "model is None: give a model, such as build_tree\\(len\\(vocab\\)\\)",
    ),
    (
        "train_wavenet(TREE, NAMES, VOCAB, TINY)",
        "the model cannot read a tensor \\(3, 4\\) of int64: build it",
    ),
    ("name_losses(WAVENET, [], VOCAB)", "names is empty: give one name or more"),
    (
        'name_losses(WAVENET, "emma", VOCAB)',
        "names is the text 'emma': give a list of names",
    ),
    (
        "name_losses(WAVENET, NAMES, VOCAB, batch_size=0)",
        "batch_size is 0: give a whole number, 1 or more",
    ),
    (
        "evaluate_names(WAVENET, {}, VOCAB)",
        "names is a dict: give one of its parts, names\\[key\\] \\(keys: \\)",
    ),
    (
        'evaluate_names(WAVENET, ["a.b"], VOCAB)',
        "'a\\.b' holds the end mark '\\.': take it out",
    ),
    ("run_wavenet(RunConfig(), 0)", "config is a RunConfig: give a WaveNetConfig"),
    ('run_wavenet(TINY, "0")', "seed is '0': give a whole number, 0 or more; write it"),
    ("run_wavenet(TINY, 0, keep=5)", "path is 5: give the path of a \\.npz file"),
    (
        "run_wavenet(TINY, 0, keep=FILES)",
        "is not a \\.npz file: give a path that ends in \\.npz",
    ),
    (
        "save_weights(WAVENET, FILES)",
        "is not a \\.npz file: give a path that ends in \\.npz",
    ),
    ("save_weights(WAVENET, 5)", "path is 5: give the path of a \\.npz file"),
    (
        'save_weights(None, FILES / "w.npz")',
        "model is None: give a model, such as build_tree\\(len\\(vocab\\)\\)",
    ),
    (
        'save_weights(WAVENET, FILES / "none" / "w.npz")',
        "/none is not a folder: make it or give another path",
    ),
    (
        'load_weights(WAVENET, FILES / "none.npz")',
        "no weights at .*none.npz: give a file that save_weights wrote",
    ),
    ("load_weights(WAVENET, None)", "path is None: give the path of a \\.npz file"),
    (
        "load_weights(WAVENET, FILES)",
        "no weights at .*: give a file that save_weights wrote",
    ),
    (
        'load_weights(WaveNet, FILES / "none.npz")',
        "model is the class WaveNet: give a model, such as",
    ),
    (
        'run_study("t", {}, [0], run)',
        "variants is empty: give \\{name: config\\}, or a list of names of the",
    ),
    (
        'run_study("t", {"a": RunConfig()}, [], run)',
        "seeds is empty: give one or more whole numbers from 0 up,",
    ),
    (
        'run_study("t", {"a": RunConfig()}, [-1], run)',
        "a seed is -1: give a whole number, 0 or more",
    ),
    (
        'run_study("t", {"a": RunConfig()}, [0.5], run)',
        "a seed is 0\\.5: give a whole number, 0 or more",
    ),
    (
        'run_study("t", {"a": RunConfig()}, "012", run)',
        "seeds is '012': give one or more whole numbers from 0 up,",
    ),
    (
        'run_study("t", {"a": RunConfig()}, 3, run)',
        "seeds is 3: give one or more whole numbers from 0 up, such as",
    ),
    (
        'run_study("t", {"a": 5}, [0], run)',
        "the config of 'a' is 5: give a dataclass such as",
    ),
    (
        'run_study("t", "tree", [0], run)',
        "variants is 'tree': give \\{name: config\\}, or a list of names",
    ),
    (
        'run_study("t", ["rose"], [0], run)',
        "unknown variants \\['rose'\\]: choose from \\['flat3', 'flat8',",
    ),
    (
        'run_study("t", None, [0], run)',
        "variants is None: give \\{name: config\\}, or a list of names",
    ),
    ('run_study(5, {"a": RunConfig()}, [0], run)', "name is 5: give a text"),
    (
        'run_study("", {"a": RunConfig()}, [0], run)',
        "name is empty: give the study a name",
    ),
    (
        'run_study("t", {"a": RunConfig()}, [0], None)',
        "None has no name that could identify its runs: give a",
    ),
    (
        'run_study("t", {"a": RunConfig()}, [0], lambda c, s: {})',
        "has no name that could identify its runs: give a",
    ),
    (
        'run_study("t", {"a": RunConfig()}, [0], run, workers=0)',
        "workers is 0: give a whole number, 1 or more",
    ),
    (
        'run_study("t", {"a": RunConfig()}, [0], run, workers="2")',
        "workers is '2': give a whole number, 1 or more; write it",
    ),
    (
        'run_study("t", {"a": RunConfig()}, [0], run, progress=None)',
        "progress is None: give True or False",
    ),
    (
        'run_study("t", {"a": RunConfig()}, [0], run, path=FILES)',
        "no journal can be kept at .*Is a directory\\): give a path",
    ),
    (
        'run_study("t", {"a": RunConfig()}, [0], run, path=5)',
        "path is 5: give the path of a file, which need not exist",
    ),
    (
        'open_study("t", FILES / "none" / "x")',
        "no journal can be kept at .*No such file or",
    ),
    ('open_study(5, FILES / "x")', "name is 5: give a text"),
    # course.diagrams
    ("draw_windows(FLAT, VOCAB, 'emma')", "models is a Sequential: give a list of"),
    ("draw_windows([], VOCAB, 'emma')", "models is empty: give a list of flat models"),
    ("draw_windows([NET], VOCAB, 'emma')", "models fuses nothing: give a flat model"),
    ("draw_windows([FLAT], VOCAB, 'e')", "'e' is too short: give 2 characters or more"),
    ("draw_windows([FLAT], VOCAB, 'emmA')", r"holds the unknown \['A'\]: use"),
    ("draw_flat_against_tree(FLAT, NET, VOCAB, 'emma')", "tree fuses nothing: give a"),
    ("draw_flat_against_tree(FLAT, TREE, VOCAB, None)", "context is None: give a text"),
    (
        "draw_flat_against_tree(FLAT, TREE, VOCAB, 'emmaem')",
        "6 positions cannot be grouped by 8: take a divisor",
    ),
    ("draw_memory('emmaem')", f"block_size is 6: {TREES}"),
    ("draw_memory('emma', channels=0)", f"channels is 0: {WHOLE}"),
    ("draw_correlations(None)", "correlations is None: give a torch tensor"),
    (
        "draw_correlations(torch.zeros(2, 3))",
        r"correlations has the shape \(2, 3\): give torch.corrcoef of a row for each",
    ),
    (
        "draw_costs(None, 'costs', unit='s')",
        "panels is no dict with a panel or more: g",
    ),
    ("draw_costs({'a': 1}, 'costs', unit='s')", r"panels\['a'\] is no pair of tables"),
    ("draw_cubes(None, BatchNorm1d)", r"before is None: give a function, without \(\)"),
    (
        "draw_cubes(BatchNorm1d, BatchNorm1d, shape=(1, 4, 68))",
        r"shape is \(1, 4, 68\): give \(B, T, C\), such as .*, with B > 1 and T < 9",
    ),
    ("draw_ladder({'a': [2.0]}, {})", r"val lacks \['a'\]: give a loss for each"),
    ("draw_ladder({'a': [2.0]}, {'a': 'x'})", r"val\['a'\] is 'x': give \{name: loss"),
    ("draw_ladder({}, {'a': 2.0})", "curves is empty: give one curve or more"),
    ("draw_pairs([2.0, 2.1], [2.0])", "old has 2 losses and new has 1: give both for"),
    ("draw_pairs(None, [2.0])", "old is None: give a list or a column of numbers"),
    ("draw_poster(None, {})", "series is None: give a table with the columns param"),
    ("draw_poster(RESULTS, {})", r"series lacks \['parameters', 'unseen'"),
    ("draw_trees_into_stack('emm.a')", "'emm.a' holds the end mark '.': take it out"),
    ("draw_trees_into_stack('emma', 6)", f"block_size is 6: {TREES}"),
    ("draw_stack(TREE, '.emma', 2)", "network has no causal convolution: give as_conv"),
    ("draw_stack(NET, '.emma', 5)", "at is 5: the text has the positions 0 to 4"),
    ("draw_stack(NET, '.emma', -1)", "at is -1: give a whole number, 0 or more"),
    ("draw_block(TREE, VOCAB, '.emma')", "network is a Sequential: give a WaveNet"),
    ("draw_gradients({}, X, Y)", "networks is empty: give {text: WaveNet}, one or"),
    ("draw_gradients({'a': TREE}, X, X)", r"networks\['a'\] is .*: give a WaveNet"),
    ("draw_name(TREE, VOCAB, 'emma')", "network is a Sequential: give a WaveNet"),
    ("draw_kinds([2.0])", r"losses is .*: give \{kind: losses\}, one or more"),
    ("draw_kinds({})", r"losses is empty: give \{kind: losses\}, one or more"),
    ("draw_kinds({'real': []})", r"losses\['real'\] is .*: give a list or a column of"),
    (
        "draw_characters(torch.zeros(3, 2), VOCAB)",
        "directions has 3 rows for .*: leave",
    ),
    ("draw_layouts(zeros(3, 2), '.emma')", "x has 3 rows for 5 characters: give a row"),
    ("draw_layouts(zeros(5, 2), '.emma', reach=9)", "reach is 9: give a whole number"),
    # course.in_pytorch, tables
    ("step_ms({}, X, Y)", "models is empty: give {name: model}, one or more"),
    ("step_ms([TREE], X, Y)", "models is a list: give {name: model}, one or more"),
    ("step_ms({'a': 3}, X, Y)", r"models\['a'\] is 3: give a function"),
    ("step_ms({'a': TREE}, X, Y, rounds=0)", "rounds is 0: give a whole number"),
    ("try_compile(TREE, X)", "model is a Sequential: give a torch.nn.Module"),
    ("operators(3)", "call is 3: give a function, without"),
    ("step_multiply_adds(V, 8, 2, 0)", "hidden is 0: give a whole number"),
    ("step_multiply_adds(V, 8, 0, 2)", "embedding_dim is 0: give a whole number"),
    ("show_table([1.0])", r"table is \[1.0\]: give a table of pandas"),
    ("show_table(RESULTS, digits=99)", "digits is 99: give a whole number"),
    ("judge_claims(RESULTS, [])", r"claims is \[\]: give {name: "),
    ("judge_claims(RESULTS, {'it': ('a', 'z')})", "unknown 'z' in 'it': choose"),
    # course.optimizers, course.recipes
    (
        "parameter_groups(None, table=Embedding, matrix=Linear)",
        "model is None: give a model",
    ),
    (
        "parameter_groups(TORCH_LAYER, table=Embedding, matrix=Linear)",
        "model is a Linear: give one made of the layers of helpers.py",
    ),
    ("with_recipe(None, RECIPE)", "config is None: give a config such as RunConfig"),
    ("with_recipe(RunConfig(), 'Muon')", "recipe is 'Muon': give one of RECIPES"),
    # course.explorers
    ("WaveNetExplorer(None, VOCAB)", "model is None: give a model"),
    ("WaveNetExplorer(TREE, VOCAB)", "model is a Sequential: give a WaveNet"),
    ("Quiz('99')", "notebook is .*'99': choose one of '01'"),
    ("TreeExplorer(None)", "vocab is None: give a Vocab, such as Vocab"),
    ("TreeExplorer(NAMES)", "vocab is .*: give a Vocab, such as Vocab"),
    (
        "WindowsExplorer(VOCAB, 'emma')",
        "names is the text 'emma': give a list of names",
    ),
    ("WindowsExplorer(VOCAB, [])", "names is empty: give one name or more"),
    ("ReuseExplorer(None)", "vocab is None: give a Vocab, such as Vocab"),
    ("BatchNormExplorer(None)", "x is None: give a tensor|x is None: give a torch"),
    ("BatchNormExplorer(torch.zeros(1, 4, 68))", "two examples or more"),
    ("GridExplorer(None)", "records is None: give those of .*load_results"),
    ("GridExplorer(RESULTS)", r"the records lack \['config', .*: give those of .*"),
    ("draw_tree(None, VOCAB)", "context is None: give a text"),
    ("draw_tree('emm', VOCAB)", f"block_size is 3: {TREES}"),
    ("draw_tree('emmA', VOCAB)", r"holds the unknown \['A'\]: use"),
    ("draw_tree('emma', VOCAB, 0)", f"hidden is 0: {WHOLE}"),
    ("Gate()('emma')", "x is 'emma': give a torch tensor"),
    ("Gate()(zeros(1, 2, 3))", r"Gate\(tanh\) cannot halve .* even number of channels"),
    ("Dropout(0.5)(zeros(2, 3))", r"x is a tensor \(2, 3\) .* with 3 dimensions"),
    ("length_batches([1, 2], 2)", r"lengths is \[1, 2\]: give a torch tensor"),
]


def snapshot():
    """All that a refused call could have changed."""
    tensors = [X, Y, X16, Y16, FAR_X, FAR_Y]
    modes = []
    for model in MODELS:
        for layer in inside(model):
            modes.append(layer.training)
            tensors += [v for v in vars(layer).values() if isinstance(v, torch.Tensor)]
    for queue in QUEUES_OF_ONE.values():
        tensors += queue
    return {
        "tensors": [as_bytes(tensor) for tensor in tensors],
        "modes": modes,
        "names": [list(NAMES), list(VOCAB.itos), list(HISTORY.losses)],
        "generator": as_bytes(GENERATOR.get_state()),
        "torch's random numbers": as_bytes(torch.get_rng_state()),
        "Python's random numbers": random.getstate(),
        "NumPy's random numbers": np.random.get_state()[1].tobytes(),
        "grad mode": torch.is_grad_enabled(),
        "data type": torch.get_default_dtype(),
        "figures": plt.get_fignums(),
    }


def as_bytes(tensor):
    return tensor.detach().numpy().tobytes()  # so that nan equals nan


def inside(layer):
    yield layer
    for inner in layer.layers:
        yield from inside(inner)


def raised_at(error):
    """The file and the line that raised the error."""
    trace = error.__traceback__
    while trace.tb_next:
        trace = trace.tb_next
    path = trace.tb_frame.f_code.co_filename
    return Path(path), linecache.getline(path, trace.tb_lineno).strip()


@pytest.mark.parametrize("call, message", TABLE, ids=[row[0] for row in TABLE])
def test_is_answered_in_our_own_words_and_changes_nothing(call, message, capsys):
    before = snapshot()
    with pytest.raises((ValueError, TypeError), match=message) as caught:
        eval(call)
    assert type(caught.value) in (ValueError, TypeError)
    path, line = raised_at(caught.value)
    assert path in OURS and line.startswith("raise "), line
    after = snapshot()
    assert [key for key in before if after[key] != before[key]] == []


def test_there_are_enough_rows_and_none_twice():
    calls = [call for call, _ in TABLE]
    assert len(set(calls)) == len(calls) >= 120


# ---- Is anything left out? -----------------------------------------------------------
IMPORT = re.compile(r"^from (?:helpers|course[\w.]*) import (\([^)]*\)|.+)$", re.M)
# They take nothing that can be wrong: a record that fit fills, a check of an answer,
# which returns a sentence whatever it is (see test_exercises.py).
EXEMPT = {"History", "exercises"} | set(answer_checks)


def typed_by_readers():
    """What the notebooks import, and all functions and classes of helpers.py."""
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            for names in IMPORT.findall("".join(cell["source"])):
                yield from re.findall(r"\b[A-Za-z]\w+", names)
    for node in ast.parse((ROOT / "helpers.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name


def test_all_that_a_reader_calls_has_a_row():
    named = set(EXEMPT)
    for call, _ in TABLE:
        named |= set(re.findall(r"\w+", call))
    called = {name for name in typed_by_readers() if not name.isupper()}
    assert sorted(called - named) == []
