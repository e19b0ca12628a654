"""A newcomer in JupyterLab: runs cells by the menu, unfolds a hint, solves an exercise.

Of notebook 01 only the cells run that its exercises need.
"""

import re

import pytest

STEM = "01_cleanup"
CHECKS = ["print(check_relu(", "print(check_layer_norm("]
RUNS = 120  # seconds that the cells may take


@pytest.fixture(scope="module")
def page(lab, open_page):
    watched = open_page()
    watched.page.goto(lab.write(STEM, *CHECKS))
    yield watched.page
    assert not watched.faults


def test_no_question_hides_the_notebook(page):
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
    page.wait_for_timeout(3000)  # JupyterLab asks some time after it has opened
    assert page.locator(".Toastify__toast").count() == 0


def test_the_menu_runs_all_cells(page):
    page.get_by_role("menuitem", name="Run", exact=True).click()
    labels = page.locator(".lm-Menu-itemLabel")
    labels.filter(has_text=re.compile("^Run All Cells$")).click()
    verdict(page, "check_layer_norm").wait_for(timeout=1000 * RUNS)


def cell(page, check):
    """The code cell that calls a check."""
    return page.locator(".jp-CodeCell").filter(has_text=f"print({check}(")


def verdict(page, check):
    return cell(page, check).locator(".jp-OutputArea-output")


def test_a_hint_is_folded_away_until_it_is_wanted(page):
    hint = page.locator("details").first
    words = hint.get_by_text("Look at")
    assert not words.is_visible()
    hint.locator("summary").focus()
    page.keyboard.press("Enter")
    assert words.is_visible()


@pytest.mark.parametrize(
    "answer, words",
    [
        ("x.abs()", "not right yet: the output: negative numbers changed sign"),
        ("x.clump(min=0)", "not right yet: your code raised AttributeError"),
        ("x.clamp(min=0)", "right: the numbers of torch.relu"),
    ],
)
def test_an_answer_is_judged_at_once(page, answer, words):
    """Types the cell again, as a learner would, and runs it with Shift+Enter."""
    cell(page, "check_relu").locator(".cm-content").click()
    page.keyboard.press("ControlOrMeta+a")
    page.keyboard.type("class ReLU(Layer):\n")
    page.keyboard.type("def __call__(self, x):\n")  # the editor indents by itself
    page.keyboard.type(f"return {answer}\n")
    for _ in range(2):
        page.keyboard.press("Shift+Tab")
    page.keyboard.type("print(check_relu(ReLU))")
    page.keyboard.press("Shift+Enter")
    verdict(page, "check_relu").filter(has_text=words).wait_for(timeout=10_000)
