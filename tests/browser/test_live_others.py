"""The explorers of 02, 04, 05 and 06 and the quizzes, in JupyterLab and on the site."""

import json

import pytest
from conftest import SITE
from lab import Book
from live import Live, report

from course.comparisons import load_results
from course.explorers.grid import GridExplorer
from course.explorers.quiz import Quiz
from course.explorers.reuse import ReuseExplorer
from course.explorers.windows import WindowsExplorer
from course.quizzes import QUIZZES
from course.runs import load_splits

STORED = 0.005  # how far a shown probability may be off with stored weights
FLOATS = 1e-4  # and with the weights of a live model
NAMES = ["emma", "Christopher", "a", "", " diondre "]
WRONG = ["em3ma", "a.b", "zoé", "<i>", "ma rie", "a" * 21, "日本"]
PAGES = {
    "windows": "notebooks/02_flat_baseline.html",
    "batchnorm": "notebooks/04_batchnorm_fix.html",
    "grid": "notebooks/05_experiments.html",
    "reuse": "notebooks/06_convolution.html",
}

pytestmark = pytest.mark.skipif(
    not SITE.is_dir(), reason="no site in build/site: run `make site`"
)


@pytest.fixture(scope="module", params=["server", "file"])
def home(request, address):
    """Where the site is opened: on a web server, and from the disk."""
    return address if request.param == "server" else SITE.as_uri() + "/"


@pytest.fixture
def open_explorer(open_page, home):
    """A function: the explorer of a script on its page of the site."""
    opened = []

    def new(script, path=None, size=(1280, 900)):
        watched = open_page(*size)
        page = watched.page
        page.goto(home + (path or PAGES[script]))
        place = page.locator(f".explorer[data-script={script}]").first
        place.scroll_into_view_if_needed()
        page.wait_for_selector(f".explorer[data-script={script}][data-mounted]")
        live = Live(page, place.locator(".explorer-live"))
        opened.append(watched)
        return live

    yield new
    for watched in opened:
        assert not watched.faults
        watched.page.close()


def move_to(live, name, wanted, words):
    """Moves a slider by its arrow keys, and waits for the words."""
    while (at := float(live.value(name))) != wanted:
        key = "ArrowRight" if at < wanted else "ArrowLeft"
        live.slider(name).press(key)
    wait_for(live, words)


def wait_for(live, words):
    live.page.wait_for_function(
        "([root, words]) => root.textContent.includes(words)",
        arg=[live.root.element_handle(), words],
    )


# ---- 02 ----------------------------------------
def check_windows(live, expected, *, most):
    live.check_chances(expected.probabilities().tolist(), most=most)
    words = f"{expected.about()['parameters']:,} parameters"
    assert words in live.text()
    rows = live.root.locator(".row")
    assert rows.count() == len(expected.name) + 1
    left_out = live.root.locator(".row:has(.cut)").count()
    assert left_out == expected.cut_off()


def test_windows_on_the_site_show_what_python_computes(open_explorer):
    vocab, splits = load_splits()
    expected = WindowsExplorer(vocab, splits["val"])
    live = open_explorer("windows")
    for block_size, hidden in ((2, 32), (4, 64), (8, 64)):
        expected.block_size = block_size
        expected.hidden = hidden
        move_to(live, "block size", block_size, "")
        words = f"{expected.about()['parameters']:,} parameters"
        move_to(live, "hidden width", hidden, words)
        for name in NAMES:
            expected.name = name
            live.type(name)
            check_windows(live, expected, most=STORED)
    height = live.height()
    for name in WRONG:
        live.type(name)
        assert "The picture keeps the last name." in live.problem()
        check_windows(live, expected, most=STORED)
        assert live.height() == height


def test_a_window_is_chosen_by_the_arrow_keys(open_explorer):
    live = open_explorer("windows")
    live.type("diondre")
    live.root.locator(".row").last.focus()
    for _ in range(3):
        live.page.keyboard.press("ArrowUp")
    assert "after “....dion”" in live.text()
    assert live.root.locator(".row.on").count() == 1


# ---- 06 ----------------------------------------
def test_the_counts_of_reuse_are_those_of_the_marks(open_explorer):
    expected = ReuseExplorer(load_splits()[0])
    live = open_explorer("reuse")
    for name in ("diondre", "eve", ""):
        expected.name = name
        live.type(name)
        for character in range(1, len(name) + 2):
            expected.character = character
            counts = expected.counts()
            words = counts[0].upper() + counts[1:]
            move_to(live, "character", character, words)
            marks = live.root.locator(".mark[role]").count()
            assert marks == len(expected.needed())
            key = 4  # marks that say what the others mean
            assert live.root.locator(".mark").count() == len(expected.seen()) + key
            assert live.root.locator(".predicted").count() == 1
    for name in WRONG:
        live.type(name)
        assert "The picture keeps the last name." in live.problem()
        assert live.root.locator(".mark[role]").count() == len(expected.needed())


def test_reuse_plays_to_the_end_of_the_name(open_explorer):
    live = open_explorer("reuse")
    live.type("al")
    live.page.wait_for_timeout(200)
    move_to(live, "character", 3, "The end of “al” needs")
    live.button("Play").press("Enter")
    wait_for(live, "Character 1 of “al” needs")
    wait_for(live, "Character 2 of “al” needs")
    wait_for(live, "The end of “al” needs")
    live.button("Play").wait_for()


# ---- 05 ----------------------------------------
def test_every_cell_of_the_grid_says_its_loss(open_explorer):
    expected = GridExplorer(load_results("grid"))
    live = open_explorer("grid")
    cells = live.root.locator(".cell")
    assert cells.count() == len(expected.cells)
    for i in range(0, cells.count(), 5):
        cells.nth(i).click()
        words = cells.nth(i).get_attribute("aria-label")
        name, loss = words.removesuffix(", the lowest of all").split(": ")
        architecture, size, hidden = name.replace(",", "").split()[0::3]
        cell = expected.by_name[f"{architecture} {size} {hidden}"]
        mean = sum(cell["val"]) / len(cell["val"])
        assert loss == f"validation loss {mean:.3f}"
        assert f"{cell['parameters']:,} parameters" in live.text()
        assert live.root.locator(".curve").count() == len(cell["curves"])
    assert live.root.locator(".cell", has_text="★").count() == 1
    before = live.root.locator(".cell.on").get_attribute("aria-label")
    live.page.keyboard.press("ArrowUp")
    assert live.root.locator(".cell.on").get_attribute("aria-label") != before


# ---- 04 ----------------------------------------
def test_the_switch_changes_the_buffer_and_what_is_shaded(open_explorer):
    live = open_explorer("batchnorm")
    assert "running_mean: (1, 4, 68)" in live.text()
    assert live.root.locator(".mean").count() == 4 * 12
    live.root.get_by_role("checkbox").press("Space")
    wait_for(live, "running_mean: (68,)")
    assert live.root.locator(".mean").count() == 12
    live.root.locator(".mean").nth(3).focus()
    live.page.keyboard.press("ArrowRight")
    assert "The 128 numbers of channel 5 at all pairs" in live.text()


# ---- Quizzes ----------------------------------------
@pytest.mark.parametrize("notebook", QUIZZES)
def test_a_quiz_judges_what_is_typed(open_explorer, notebook):
    (path,) = SITE.glob(f"notebooks/{notebook}_*.html")
    live = open_explorer("quiz", f"notebooks/{path.name}")
    for i, question in enumerate(Quiz(notebook).questions):
        box = live.root.get_by_role("textbox").nth(i)
        verdict = live.root.locator(".verdict").nth(i)
        truth = question["truth"]
        for typed, words in (
            (f"{truth:,}", "✓ right"),
            (str(truth + 1), "look again"),
            ("many", "no number yet"),
            ("", ""),
        ):
            box.fill(typed)
            assert verdict.inner_text() == words


# ---- JupyterLab ----------------------------------------
@pytest.fixture(scope="module")
def windows_book(lab, open_page):
    wanted = "display(explorer)"
    book = Book(open_page(1400, 1000), lab.write("02_flat_baseline", wanted), live=True)
    book.live = Live(book.page, book.root)
    yield book
    book.page.close()


def test_windows_in_lab_show_the_live_model_at_any_width(windows_book):
    vocab, splits = load_splits()
    expected = WindowsExplorer(vocab, splits["val"])
    live = windows_book.live
    expected.hidden = 68
    words = f"{expected.about()['parameters']:,} parameters"
    move_to(live, "hidden width", 68, words)
    for name in NAMES:
        expected.name = name
        live.type(name)
        check_windows(live, expected, most=FLOATS)
    times = []
    for key, hidden in [("ArrowRight", 72), ("ArrowLeft", 68)] * 6:
        expected.hidden = hidden
        words = f"{expected.about()['parameters']:,} parameters"
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
    shown = json.loads(windows_book.ask("explorer.probabilities().tolist()"))
    live.check_chances(shown, most=FLOATS)
    live.button("Train this model").press("Enter")
    windows_book.until(lambda: "step 25 of" in live.text(), "its first steps", 60)
    live.button("Stop").press("Enter")
    windows_book.until(live.button("Train this model").is_enabled, "the end", 60)
    windows_book.check_faultless()
