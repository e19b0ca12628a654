"""All explorers in JupyterLab, by keyboard, against what Python computes."""

import functools

import pytest
import torch
from lab import Book
from live import (
    FLOATS,
    both,
    check_cell,
    check_quiz,
    check_reuse,
    check_tree,
    check_wavenet,
    check_windows,
    parameters_of,
    report,
    words_of,
)
from torch import Generator

from course.explorers.batchnorm import BatchNormExplorer
from course.explorers.quiz import Quiz
from course.explorers.reuse import ReuseExplorer


@pytest.fixture(scope="module")
def book_of(lab, open_page):
    """A function: a notebook's explorer in JupyterLab, and the cells that it needs."""
    books = []

    @functools.cache
    def of(stem):
        address = lab.write(stem, "display(explorer)")
        books.append(Book(open_page(1400, 1000), address))
        return books[-1]

    yield of
    for book in books:
        book.page.close()


# ---- 03 ----------------------------------------
@pytest.fixture
def tree_book(book_of):
    return book_of("03_wavenet")


def check_tree_in_lab(book, *, most):
    """The bars are what the kernel computes now."""
    for panel, which in enumerate(("flat", "tree")):
        chances = book.value(f"explorer.probabilities({which!r}).tolist()")
        book.live.check_chances(chances, most=most, panel=panel)


def test_the_tree_in_lab_shows_the_live_model_at_any_width(tree_book, expected_tree):
    live = tree_book.live
    live.move_to("hidden width", 68, *both(8, 68))
    expected_tree.block_size = 8
    expected_tree.hidden = 68
    live.type_names(check_tree, expected_tree, most=FLOATS)
    live.type_wrong(check_tree, expected_tree, most=FLOATS)
    check_tree_in_lab(tree_book, most=FLOATS)
    live.type("diondr")
    check_tree_in_lab(tree_book, most=FLOATS)
    tree_book.check_faultless()


def test_sliders_answer_at_once_in_lab(tree_book):
    live = tree_book.live
    live.move_to("hidden width", 68, *both(8, 68))
    times = []
    for key, hidden in [("ArrowRight", 69), ("ArrowLeft", 68)] * 6:
        words = both(8, hidden)
        times.append(live.press(live.slider("hidden width"), key, *words))
    for key, block_size in [("ArrowRight", 16), ("ArrowLeft", 8)] * 6:
        words = both(block_size, 68)
        times.append(live.press(live.slider("block size"), key, *words))
    report("03 in JupyterLab, sliders", times)
    tree_book.check_faultless()


def test_a_slider_set_in_code_moves_on_the_page(tree_book):
    tree_book.ask("setattr(explorer, 'hidden', 120)")
    tree_book.until(lambda: tree_book.live.value("hidden width") == "120", "120")
    tree_book.ask("setattr(explorer, 'name', 'mia')")
    tree_book.until(lambda: tree_book.live.box().input_value() == "mia", "mia")
    check_tree_in_lab(tree_book, most=FLOATS)


THREADS = "[t.name for t in __import__('threading').enumerate()].count('training')"


def test_training_moves_the_picture_and_runs_once(tree_book):
    live = tree_book.live
    tree_book.ask("setattr(explorer, 'block_size', 2)")
    tree_book.ask("setattr(explorer, 'hidden', 20)")
    tree_book.until(lambda: words_of("tree", 2, 20) in live.text(), "the small tree")
    before = live.chances()[1]
    assert max(before) < 0.1  # untrained
    live.button("Train the tree").focus()
    for _ in range(2):  # the second press comes before the kernel answers the first
        live.page.keyboard.press("Enter")
    tree_book.until(live.button("Stop").is_enabled, "the run has begun")
    assert tree_book.ask(THREADS) == "1"
    seen = set()
    while live.button("Stop").is_enabled() and len(seen) < 10_000:
        seen.add(tuple(live.chances()[1]))
        live.page.wait_for_timeout(20)
    assert len(seen) >= 4
    tree_book.until(lambda: "Trained after 400 steps" in live.text(), "the end")
    assert live.root.locator(".curve").count() == 1
    check_tree_in_lab(tree_book, most=FLOATS)
    assert max(live.chances()[1]) > 0.15
    assert live.button("Train the tree").is_enabled()
    tree_book.check_faultless()


def test_training_can_be_stopped_by_keyboard(tree_book):
    live = tree_book.live
    live.button("Train the flat model").press("Enter")
    tree_book.until(lambda: "flat, block size 2" in live.text(), "its first steps", 60)
    live.button("Stop").press("Enter")
    seconds = tree_book.until(live.button("Train the tree").is_enabled, "the end")
    print(f"\nstopped in {seconds:.1f} s (goal 2)", end="")
    assert "Stopped after" in live.text() or "Trained after" in live.text()
    tree_book.check_faultless()


# ---- 08 ----------------------------------------
@pytest.fixture
def wavenet_book(book_of):
    return book_of("08_full_wavenet")


def test_the_wavenet_in_lab_shows_the_live_network(wavenet_book, expected_wavenet):
    live = wavenet_book.live
    live.type_names(check_wavenet, expected_wavenet, most=FLOATS)
    live.type_wrong(check_wavenet, expected_wavenet, most=FLOATS)
    wavenet_book.check_faultless()


def test_typing_answers_at_once(wavenet_book):
    live = wavenet_book.live
    live.type("")
    live.box().focus()
    times = []
    for i, letter in enumerate("christopheralexander"):
        text = "christopheralexander"[: i + 1]
        times.append(live.press(live.box(), letter, f"“{text}” and its end cost"))
    report("08 in JupyterLab, typing", times)


# ---- 02 ----------------------------------------
@pytest.fixture
def windows_book(book_of):
    return book_of("02_flat_baseline")


def test_windows_in_lab_show_the_live_model_at_any_width(
    windows_book, expected_windows
):
    expected = expected_windows
    live = windows_book.live
    expected.block_size = 8
    expected.hidden = 68
    live.move_to("hidden width", 68, parameters_of(expected))
    live.type_names(check_windows, expected, most=FLOATS)
    live.type_wrong(check_windows, expected, most=FLOATS)
    times = []
    for key, hidden in [("ArrowRight", 72), ("ArrowLeft", 68)] * 6:
        expected.hidden = hidden
        words = parameters_of(expected)
        times.append(live.press(live.slider("hidden width"), key, words))
    report("02 in JupyterLab, sliders", times)
    windows_book.check_faultless()


def test_a_training_grows_its_curve_and_runs_once(windows_book):
    live = windows_book.live
    windows_book.ask("setattr(explorer, 'block_size', 2)")
    windows_book.until(lambda: live.value("block size") == "2", "block size 2")
    live.button("Train this model").focus()
    for _ in range(2):  # the second press comes before the kernel answers the first
        live.page.keyboard.press("Enter")
    windows_book.until(live.button("Stop").is_enabled, "the run has begun")
    windows_book.until(lambda: "Trained after 400 steps" in live.text(), "the end", 120)
    assert live.root.locator(".curve").count() == 1
    shown = windows_book.value("explorer.probabilities().tolist()")
    live.check_chances(shown, most=FLOATS)
    live.button("Train this model").press("Enter")
    windows_book.until(lambda: "step 25 of" in live.text(), "its first steps", 60)
    live.button("Stop").press("Enter")
    windows_book.until(live.button("Train this model").is_enabled, "the end", 60)
    windows_book.check_faultless()


# ---- 04, 05, 06 and the quiz, in one notebook that has nothing else ----------------
CELLS = [
    """
import torch
from course.comparisons import load_results
from course.explorers.batchnorm import BatchNormExplorer
from course.explorers.grid import GridExplorer
from course.explorers.quiz import Quiz
from course.explorers.reuse import ReuseExplorer
from course.runs import load_splits
x = torch.randn(32, 4, 68, generator=torch.Generator().manual_seed(1))
norms = BatchNormExplorer(x)
display(norms)""",
    'grid = GridExplorer(load_results("grid"))\ndisplay(grid)',
    "reuse = ReuseExplorer(load_splits()[0])\ndisplay(reuse)",
    'quiz = Quiz("02")\ndisplay(quiz)',
]


@pytest.fixture(scope="module")
def small_book(lab, open_page):
    book = Book(open_page(1400, 1000), lab.write_cells("explorers", *CELLS))
    yield book
    book.check_faultless()
    book.page.close()


def check_norms(live, expected):
    """The buffer's shape, and each mean by its sentence."""
    buffer = expected.shown()
    live.wait_for(f"running_mean: {buffer['shape']}")
    means = [mean for row in buffer["means"] for mean in row]
    shown = live.root.locator(".mean")
    assert shown.count() == len(means)
    for i, mean in enumerate(means):
        words = shown.nth(i).get_attribute("aria-label").replace("−", "-")
        found = words.split("averaged into ")[1].split(". ")[0]
        assert abs(float(found) - mean) < FLOATS
        assert words.startswith(f"The {buffer['values']} numbers")


def test_batchnorm_in_lab_shows_the_buffers_of_python(small_book):
    live = small_book.explorer(0)
    x = torch.randn(32, 4, 68, generator=Generator().manual_seed(1))
    expected = BatchNormExplorer(x)
    check_norms(live, expected)
    for fixed in (True, False, True):
        live.root.get_by_role("checkbox").press("Space")
        expected.fixed = fixed
        check_norms(live, expected)
        assert small_book.value("norms.fixed") == fixed
    live.root.locator(".mean").nth(3).focus()
    live.page.keyboard.press("ArrowRight")
    mean = x[:, :, 4].mean().item()
    found = live.text().split("channel 5 at all pairs are averaged into ")[1]
    assert abs(float(found.split(". ")[0].replace("−", "-")) - mean) < 0.0006
    small_book.ask("setattr(norms, 'fixed', False)")
    expected.fixed = False
    check_norms(live, expected)


def chosen_label(live):
    return live.root.locator(".cell.on").get_attribute("aria-label")


def test_the_grid_in_lab_shows_what_is_stored_of_a_cell(small_book):
    live = small_book.explorer(1)
    live.root.locator(".cell.on").focus()
    seen = []
    for key in ["ArrowUp", "ArrowUp", "ArrowRight", "ArrowDown", "ArrowLeft"]:
        before = chosen_label(live)
        live.page.keyboard.press(key)
        assert chosen_label(live) != before
        seen.append(small_book.value("grid.chosen_cell"))
        check_cell(live, small_book.value("grid.cell()"))
    assert len(set(seen)) >= 4
    small_book.ask("grid.choose('flat', 2, 32)")
    live.wait_for("flat, block size 2, hidden width 32:")
    check_cell(live, small_book.value("grid.cell()"))


def test_a_run_of_a_cell_draws_its_own_curve(small_book):
    live = small_book.explorer(1)
    stored = len(small_book.value("grid.cell()")["curves"])
    live.button("Train this cell").focus()
    for _ in range(2):  # the second press comes before the kernel answers the first
        live.page.keyboard.press("Enter")
    begun = "trained now: last loss"
    small_book.until(lambda: begun in live.text(), "its first steps", 60)
    live.button("Stop").press("Enter")
    small_book.until(live.button("Train this cell").is_enabled, "the end", 60)
    assert "Stopped after" in live.text()
    (run,) = small_book.value("grid.training['runs']")
    assert f"{begun} {run['losses'][-1]:.3f}" in live.text()
    assert small_book.value("grid.training['status']") in live.text()
    assert live.root.locator(".curve").count() == stored + 1


def test_reuse_in_lab_counts_what_python_counts(small_book, vocab):
    live = small_book.explorer(2)
    expected = ReuseExplorer(vocab)
    times = []
    for character in [6, 5, 6, 7, 8, 7] * 2:  # it begins at 7
        key = "ArrowRight" if character > expected.character else "ArrowLeft"
        expected.character = character
        words = expected.counts().removeprefix("the ").removeprefix("character ")
        times.append(live.press(live.slider("character"), key, words))
        check_reuse(live, expected)
        assert small_book.value("reuse.character") == character
    for block_size in (16, 2, 4):
        expected.block_size = block_size
        live.move_to("block size", block_size)
        check_reuse(live, expected)
    for name in ("christopher", "al", "", " Eve "):
        expected.name = name
        live.type(name)
        check_reuse(live, expected)
        assert small_book.value("reuse.name") == expected.name
    live.type_wrong(check_reuse, expected)
    assert small_book.value("reuse.counts()") == expected.counts()
    small_book.ask("reuse.set_trait('name', 'mia')")
    expected.name = "mia"
    check_reuse(live, expected)
    report("06 in JupyterLab, sliders", times)


def test_the_quiz_in_lab_judges_what_is_typed(small_book):
    live = small_book.explorer(3)
    assert small_book.value("quiz.questions") == Quiz("02").questions
    check_quiz(live, Quiz("02").questions)
    live.root.get_by_role("textbox").first.focus()
    truth = Quiz("02").questions[0]["truth"]
    live.page.keyboard.type(f"{truth:,}")  # by keys, as all that JupyterLab lets pass
    assert live.root.locator(".verdict").first.inner_text() == "✓ right"
