"""The quizzes: right answers, wrong ones and answers of another type; the notebooks ask
the questions that the module answers, and no reader's cell holds an answer."""

import contextlib
import io
import random
from math import inf, log, nan
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch

from course import quizzes
from course.quizzes import QUIZZES, check_quiz

FOLDER = Path(__file__).parents[1] / "notebooks"
# What one finds with paper and pencil; the module computes it from the project's code.
TRUTHS = {
    "01": [log(65), 6144, 256, 2],
    "02": [27 * 10 + 50 * 200 + 2 * 200 + 200 * 27 + 27, 384, 4],
    "03": [5, 76_579, 8],
    "04": [128, 136, 68],
    "05": [1 / 64, 14, 8],
    "06": [32, 90, 56],
    "07": [10.5, 7, 32],
    "08": [1 + 3 * 31, 4 * 32 * 32 + 64, 2 * 32 * 32 + 32, 2 * 15],
    "09": [128, 8, 5, 2],
}
KEYS = {notebook: list(make()) for notebook, make in QUIZZES.items()}
ALL = [(number, i) for number, keys in KEYS.items() for i in range(len(keys))]
# A tuple in the place of a number would be a wrong type, but so is all of this.
ODD = ["x", "6144", "", [], [4], {}, (4,), object(), nan, inf, -inf, 1j, 10**400, True]
ODD += [torch.zeros(2), torch.tensor([]), np.ones(3), len, ValueError("x")]


def verdicts(notebook, values):
    """What follows the colon in each line that check_quiz prints for these answers."""
    keys = KEYS[notebook]
    lines = check_quiz(notebook, dict(zip(keys, values, strict=True))).split("\n")
    assert len(lines) == len(keys)
    for line, key in zip(lines, keys):
        assert line.startswith(f"{key}: ")
    return [line.removeprefix(f"{key}: ") for line, key in zip(lines, keys)]


@pytest.mark.parametrize("notebook", QUIZZES)
def test_what_one_finds_by_hand_is_right(notebook):
    count = len(TRUTHS[notebook])
    assert verdicts(notebook, TRUTHS[notebook]) == ["right"] * count
    tensors = [torch.tensor(truth, dtype=torch.float64) for truth in TRUTHS[notebook]]
    assert verdicts(notebook, tensors) == ["right"] * count


@pytest.mark.parametrize("notebook", QUIZZES)
def test_an_open_question_is_not_answered_yet(notebook):
    count = len(KEYS[notebook])
    assert verdicts(notebook, [None] * count) == ["not answered yet"] * count
    assert verdicts(notebook, [...] * count) == ["not answered yet"] * count


@pytest.mark.parametrize("notebook, i", ALL)
def test_a_wrong_answer_spoils_its_own_line_alone(notebook, i):
    values = list(TRUTHS[notebook])
    expected = ["right"] * len(values)
    expected[i] = "look again"
    for wrong in (values[i] + 0.02, values[i] - 0.02, -values[i], 0):
        assert verdicts(notebook, [*values[:i], wrong, *values[i + 1 :]]) == expected


@pytest.mark.parametrize("notebook", ["01", "02"])  # with a tolerance and without
@pytest.mark.parametrize("odd", ODD, ids=lambda odd: type(odd).__name__)
def test_an_answer_of_another_type_is_looked_at_again(notebook, odd):
    count = len(KEYS[notebook])
    assert verdicts(notebook, [odd] * count) == ["look again"] * count


def test_rounded_answers_count_in_01_alone():
    assert verdicts("01", [4.17, 6144, 256, 2.0]) == ["right"] * 4
    assert verdicts("01", [4.16, 6144, 256, 2.0])[0] == "look again"
    assert verdicts("05", [0.0156, 14, 8])[0] == "look again"


def test_a_changed_question_is_named():
    answers = dict.fromkeys(KEYS["02"])
    text = check_quiz("02", {"what is it?": 4} | answers)
    assert "what is it?: not a question of this quiz" in text
    assert text.count("not answered yet") == 3
    del answers[KEYS["02"][1]]
    text = check_quiz("02", answers)
    assert f"{KEYS['02'][1]}: this question is missing" in text
    assert text.count("not answered yet") == 2


def test_another_notebook_or_no_dict_is_refused():
    with pytest.raises(ValueError, match="notebook is '10': choose one of '01'"):
        check_quiz("10", {})
    with pytest.raises(ValueError, match="answers is a list: give a dict"):
        check_quiz("02", [1, 2])


def state():
    python = random.getstate()
    numbers = torch.get_rng_state().tolist()
    return python, numbers, torch.is_grad_enabled(), torch.get_default_dtype()


@pytest.mark.parametrize("notebook", QUIZZES)
def test_a_quiz_leaves_the_state_as_it_was(notebook):
    before = state()
    with torch.no_grad():
        check_quiz(notebook, dict.fromkeys(KEYS[notebook], 1))
    check_quiz(notebook, dict.fromkeys(KEYS[notebook], object()))
    assert state() == before


def test_the_sizes_of_a_model_change_what_they_should():
    assert quizzes.fused_positions(8) == [4, 2, 1]
    assert quizzes.fused_positions(16) == [8, 4, 2, 1]
    counts = set()
    for sizes in ((8, 10, 68), (16, 10, 68), (8, 24, 68), (8, 10, 128)):
        counts.add(quizzes.count_parameters(quizzes.make_tree(*sizes)))
    assert len(counts) == 4


# ---- The notebooks -----------------------------------------------------------------
def quiz_cells(path):
    """The code cells of a notebook that call check_quiz."""
    cells = nbformat.read(path, as_version=4).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    return [cell for cell in code if "check_quiz(" in cell.source]


@pytest.mark.parametrize("number", QUIZZES)
def test_a_notebook_asks_the_questions_and_holds_no_answer(number, monkeypatch):
    (path,) = FOLDER.glob(f"{number}_*.ipynb")
    (cell,) = quiz_cells(path)
    asked = []

    def remember(notebook, answers):
        asked.append((notebook, answers))
        return check_quiz(notebook, answers)

    monkeypatch.setattr(quizzes, "check_quiz", remember)  # if the cell imports it
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(cell.source, path.name, "exec"), {"check_quiz": remember})
    assert asked == [(number, dict.fromkeys(KEYS[number]))]
    assert printed.getvalue().count(": not answered yet\n") == len(KEYS[number])
    longest = max(len(line) for line in cell.source.splitlines())
    assert longest <= 88
