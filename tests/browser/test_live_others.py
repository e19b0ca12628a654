"""The explorers of 02, 04 to 06 and 08 and the quizzes, on the site, against Python."""

import pytest
from conftest import NEEDS_SITE, SITE
from live import (
    STORED,
    check_cell,
    check_quiz,
    check_reuse,
    check_wavenet,
    check_windows,
    parameters_of,
)

from course.comparisons import load_results
from course.explorers.grid import GridExplorer
from course.explorers.quiz import Quiz
from course.explorers.reuse import ReuseExplorer
from course.quizzes import QUIZZES

pytestmark = NEEDS_SITE


# ---- 02 ----------------------------------------
def test_windows_on_the_site_show_what_python_computes(explorer_at, expected_windows):
    expected = expected_windows
    live = explorer_at("windows")
    for block_size, hidden in ((2, 32), (4, 64), (8, 64)):
        expected.block_size = block_size
        expected.hidden = hidden
        live.move_to("block size", block_size)
        live.move_to("hidden width", hidden, parameters_of(expected))
        live.type_names(check_windows, expected, most=STORED)
    live.type_wrong(check_windows, expected, most=STORED)


def test_a_window_is_chosen_by_the_arrow_keys(explorer_at):
    live = explorer_at("windows")
    live.type("diondre")
    live.root.locator(".row").last.focus()
    for _ in range(3):
        live.page.keyboard.press("ArrowUp")
    assert "after “....dion”" in live.text()
    assert live.root.locator(".row.on").count() == 1


# ---- 04 ----------------------------------------
def test_the_switch_changes_the_buffer_and_what_is_shaded(explorer_at):
    live = explorer_at("batchnorm")
    assert "running_mean: (1, 4, 68)" in live.text()
    assert live.root.locator(".mean").count() == 4 * 12
    live.root.get_by_role("checkbox").press("Space")
    live.wait_for("running_mean: (68,)")
    assert live.root.locator(".mean").count() == 12
    live.root.locator(".mean").nth(3).focus()
    live.page.keyboard.press("ArrowRight")
    assert "The 128 numbers of channel 5 at all pairs" in live.text()


# ---- 05 ----------------------------------------
def test_every_cell_of_the_grid_says_its_loss(explorer_at):
    expected = GridExplorer(load_results("grid"))
    live = explorer_at("grid")
    cells = live.root.locator(".cell")
    assert cells.count() == len(expected.cells)
    for i in range(0, cells.count(), 5):
        cells.nth(i).click()
        words = cells.nth(i).get_attribute("aria-label").split(":")[0]
        architecture, size, hidden = words.replace(",", "").split()[0::3]
        expected.choose(architecture, int(size), int(hidden))
        check_cell(live, expected.cell())
        curves = expected.cell()["curves"]
        assert live.root.locator(".curve").count() == len(curves)
    assert live.root.locator(".cell", has_text="★").count() == 1
    before = live.root.locator(".cell.on").get_attribute("aria-label")
    live.page.keyboard.press("ArrowUp")
    assert live.root.locator(".cell.on").get_attribute("aria-label") != before


# ---- 06 ----------------------------------------
def test_the_counts_of_reuse_are_those_of_the_marks(explorer_at, vocab):
    expected = ReuseExplorer(vocab)
    live = explorer_at("reuse")
    for name in ("diondre", "eve", ""):
        expected.name = name
        live.type(name)
        for character in range(1, len(name) + 2):
            expected.character = character
            live.move_to("character", character)
            check_reuse(live, expected)
    live.type_wrong(check_reuse, expected)


def test_reuse_plays_to_the_end_of_the_name(explorer_at):
    live = explorer_at("reuse")
    live.type("al")
    live.move_to("character", 3, "The end of “al” needs")
    live.button("Play").press("Enter")
    live.wait_for("Character 1 of “al” needs")
    live.wait_for("Character 2 of “al” needs")
    live.wait_for("The end of “al” needs")
    live.button("Play").wait_for()


# ---- Quizzes ----------------------------------------
@pytest.mark.parametrize("notebook", QUIZZES)
def test_a_quiz_judges_what_is_typed(explorer_at, notebook):
    (path,) = SITE.glob(f"notebooks/{notebook}_*.html")
    live = explorer_at("quiz", f"notebooks/{path.name}")
    check_quiz(live, Quiz(notebook).questions)


# ---- 08 ----------------------------------------
@pytest.fixture
def wavenet_page(explorer_at):
    return explorer_at("wavenet")


def test_the_wavenet_on_the_site_shows_what_python_computes(
    wavenet_page, expected_wavenet
):
    wavenet_page.type_names(check_wavenet, expected_wavenet, most=STORED)
    wavenet_page.type_wrong(check_wavenet, expected_wavenet, most=STORED)


def test_surprise_and_gates_are_those_of_python(wavenet_page, expected_wavenet):
    expected_wavenet.name = "diondre"
    wavenet_page.type("diondre")
    columns = wavenet_page.root.locator(".column")
    assert columns.count() == len("diondre") + 1
    gates = expected_wavenet.gates()
    for t, surprise in enumerate(expected_wavenet.surprises().tolist()):
        words = columns.nth(t).get_attribute("aria-label")
        (cost,) = [float(it.split()[1]) for it in words.split(" and ") if "cost" in it]
        assert abs(cost - surprise) < 0.02
        shown = columns.nth(t).locator(".gate").evaluate_all(AMOUNTS)
        for cell, block in zip(shown, gates):
            assert abs(cell / 100 - block[t]) < 0.01


AMOUNTS = "all => all.map(it => parseFloat(it.style.getPropertyValue('--amount')))"


def test_the_temperature_changes_what_comes_next(wavenet_page, expected_wavenet):
    wavenet_page.type("mar")
    expected_wavenet.name = "mar"
    for temperature in (0.5, 2.0, 1.0):
        wavenet_page.move_to("temperature", temperature)
        expected_wavenet.temperature = temperature
        wavenet_page.wait_until_drawn()
        check_wavenet(wavenet_page, expected_wavenet, most=STORED)


def test_names_are_made_of_letters_and_the_cold_ones_are_the_likeliest(wavenet_page):
    wavenet_page.move_to("temperature", 0.2)
    wavenet_page.button("Make names").press("Enter")
    made = wavenet_page.root.locator(".line").nth(1)
    wavenet_page.page.wait_for_function(
        "it => it.textContent.split(',').length === 8", arg=made.element_handle()
    )
    names = made.inner_text().split(": ")[1].split(", ")
    assert all(name.isalpha() and name.islower() for name in names)
    wavenet_page.move_to("temperature", 1.0)
