"""The explorers by code instead of by hand, with real widgets and without a browser."""

import threading
from collections import Counter
from dataclasses import replace
from io import BytesIO

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from matplotlib.figure import Figure

from course import fusions as fusions_module
from course.explorers.backdrop import Backdrop
from course.explorers.grid import GridExplorer
from course.explorers.panel import TrainPanel
from course.explorers.reuse import ReuseExplorer
from course.explorers.windows import WindowsExplorer, share_cut_off
from course.fusions import characters_of, fusions, kind_of
from course.runs import RunConfig, load_splits
from helpers import History, Vocab, build_flat, count_parameters

GRID = "data/results/grid.jsonl"
PATIENCE = 30  # seconds that a thread may take before a test gives up


@pytest.fixture(scope="module")
def vocab():
    return load_splits()[0]


@pytest.fixture(scope="module")
def val_names():
    return load_splits()[1]["val"]


@pytest.fixture(scope="module")
def records(pytestconfig):
    path = pytestconfig.rootpath / GRID
    return pd.read_json(path, lines=True, precise_float=True)


@pytest.fixture
def windows(vocab, val_names):
    return WindowsExplorer(vocab, val_names)


@pytest.fixture
def grid(records):
    return GridExplorer(records)


@pytest.fixture
def reuse(vocab):
    return ReuseExplorer(vocab)


# ---- The train panel -------------------------------------------------------------
class Work:
    """Steps that a test lets through one by one; what was chosen, and how it ended."""

    def __init__(self):
        self.gate = threading.Semaphore(0)
        self.done = threading.Semaphore(0)
        self.chosen = []
        self.fault = None

    def __call__(self, choice, on_step):
        self.chosen.append(choice)
        history = History()
        while len(history.losses) < 100:
            assert self.gate.acquire(timeout=PATIENCE)
            if self.fault:
                raise self.fault
            history.losses.append(2.0)
            is_last = on_step(history)
            self.done.release()
            if is_last:
                break
        return f"{len(history.losses)} steps"

    def steps(self, n):
        """Lets `n` steps through and waits until they are done."""
        self.gate.release(n)
        for _ in range(n):
            assert self.done.acquire(timeout=PATIENCE)


@pytest.fixture
def work():
    return Work()


@pytest.fixture
def panel(work):
    panel = TrainPanel(lambda: "the chosen model", work, 100)
    yield panel
    work.gate.release(100)
    panel.thread.join(PATIENCE)
    assert not panel.thread.is_alive()


def is_idle(panel):
    return not panel.train_button.disabled and panel.stop_button.disabled


def test_the_panel_shows_the_progress_and_what_came_out(panel, work):
    assert is_idle(panel)
    panel.train_button.click()
    assert panel.train_button.disabled
    assert not panel.stop_button.disabled
    work.steps(19)
    assert panel.progress.value == 10  # it moves every ten steps
    work.steps(81)
    panel.wait()
    assert panel.progress.value == panel.progress.max == 100
    assert panel.status.value == "100 steps"
    assert work.chosen == ["the chosen model"]
    assert is_idle(panel) and not panel.stopped


def test_a_second_press_starts_nothing(panel, work):
    panel.train_button.click()
    work.steps(1)
    first = panel.thread
    panel.train_button.click()
    assert panel.thread is first
    work.gate.release(99)
    panel.wait()
    assert len(work.chosen) == 1


def test_stop_ends_the_run_after_its_step_and_the_next_run_is_whole(panel, work):
    panel.train_button.click()
    work.steps(3)
    panel.stop_button.click()
    work.steps(1)
    panel.wait()
    assert panel.status.value == "4 steps"
    assert panel.stopped and is_idle(panel)
    work.gate.release(100)
    panel.train_button.click()
    panel.wait()
    assert panel.status.value == "100 steps"
    assert not panel.stopped


def test_an_error_gives_the_buttons_back_and_is_shown(panel, work, monkeypatch):
    seen = []
    monkeypatch.setattr(threading, "excepthook", seen.append)
    work.fault = ValueError("<b> is 3: choose 4")
    panel.train_button.click()
    work.gate.release()
    panel.wait()
    assert is_idle(panel)
    assert "&lt;b&gt; is 3: choose 4" in panel.status.value
    assert seen[0].exc_value is work.fault  # Python shows the traceback
    work.fault = None
    work.gate.release(100)
    panel.train_button.click()
    panel.wait()
    assert panel.status.value == "100 steps"


def test_a_slider_moved_after_the_press_does_not_change_what_is_trained(work):
    chosen = {"block_size": 8}
    panel = TrainPanel(lambda: dict(chosen), work, 100)
    panel.train_button.click()
    chosen["block_size"] = 3
    work.gate.release(100)
    panel.wait()
    assert work.chosen == [{"block_size": 8}]


def test_wait_returns_at_once_where_nothing_was_trained(work):
    TrainPanel(lambda: None, work, 100).wait()


# ---- Pixels that stay --------------------------------------------------------------
def test_a_backdrop_forgets_what_was_drawn_on_top_of_it():
    fig = Figure(figsize=(3, 2), dpi=50)
    ax = fig.add_axes((0.1, 0.1, 0.8, 0.8), xlim=(0, 1), ylim=(0, 1))
    backdrop = Backdrop(fig)
    empty = backdrop.draw([])
    low = backdrop.draw(ax.plot([0, 1], [0.2, 0.2]))
    ax.set_prop_cycle(None)  # the first colour again
    high = backdrop.draw(ax.plot([0, 1], [0.9, 0.9]))
    ax.set_prop_cycle(None)
    assert backdrop.draw(ax.plot([0, 1], [0.2, 0.2])) == low
    assert backdrop.draw([]) == empty
    assert len({empty, low, high}) == 3
    assert not ax.lines
    assert plt.imread(BytesIO(empty)).shape == (100, 150, 4)


def test_an_artist_beyond_the_axes_does_not_move_them():
    fig = Figure()
    ax = fig.add_axes((0.1, 0.1, 0.8, 0.8))
    ax.plot([0, 1], [0, 1])
    backdrop = Backdrop(fig)
    limits = ax.get_xlim()
    backdrop.draw(ax.plot([0, 100], [0, 100]))
    assert ax.get_xlim() == limits


# ---- 02: windows -------------------------------------------------------------------
def test_windows_text_and_picture_follow_each_slider(windows, vocab):
    before = windows.image.value
    assert "1 of 8 windows" not in windows.counts.value
    for block_size, hidden in ((1, 200), (16, 200), (8, 20), (8, 700)):
        windows.block_size.value = block_size
        windows.hidden.value = hidden
        model = build_flat(len(vocab), block_size, hidden=hidden)
        sizes = f"block size {block_size}, hidden width {hidden}"
        text = windows.counts.value
        assert f"{sizes}: {count_parameters(model):,} parameters" in text
        assert f"(8, {block_size * 10})" in text
        assert windows.image.value != before
    windows.hidden.value = 200
    assert windows.image.value == before


def test_windows_are_those_of_the_typed_name(windows):
    windows.block_size.value = 3
    windows.name.value = "Emma"
    text = windows.counts.value
    for line in ("... → e", "..e → m", ".em → m", "emm → a", "mma → ."):
        assert line in text
    assert "1 of 5 windows cut off" in text


def test_windows_say_what_is_wrong_with_a_name(windows):
    before = windows.counts.value
    windows.name.value = "em3ma"
    assert "unknown" in windows.counts.value
    windows.name.value = "<script>"
    assert "<script>" not in windows.counts.value
    windows.name.value = ""
    assert "0 of 1 windows" in windows.counts.value
    windows.name.value = "diondre"
    assert windows.counts.value == before


def test_the_share_that_is_cut_off_is_counted_position_by_position():
    shares = share_cut_off(["emma", "al"])
    positions = [0, 1, 2, 3, 4, 0, 1, 2]  # how many characters stand before each
    for block_size, share in shares.items():
        assert share == sum(t > block_size for t in positions) / len(positions)
    assert list(shares.index) == list(range(1, 17))


def test_windows_train_the_chosen_model(windows):
    windows.config = replace(windows.config, steps=20)
    empty = windows.curves.value
    windows.block_size.value = 2
    windows.hidden.value = 40
    windows.training.train_button.click()
    windows.block_size.value = 8
    windows.training.wait()
    (label, losses), *others = windows.runs
    assert (label, len(losses), others) == ("block size 2, hidden 40", 20, [])
    assert windows.curves.value != empty
    assert "validation 2." in windows.training.status.value
    assert "after 20 steps" in windows.training.status.value
    assert is_idle(windows.training)


def test_windows_show_the_last_two_runs(windows):
    pictures = []
    for losses in ([3.0, 2.9], [3.1, 2.8], [3.2, 2.7]):
        windows.runs.append((f"run {losses[0]}", losses))
        pictures.append(windows.picture_of_runs())
    windows.runs.pop(0)
    assert windows.picture_of_runs() == pictures[-1]
    assert len(set(pictures)) == 3


def test_the_seed_of_the_notebook_is_the_seed_of_the_training(
    windows, vocab, val_names, monkeypatch
):
    seeds = []

    def fake_run(config, seed, *, on_step):
        seeds.append(seed)
        on_step(History([2.5]))
        return {"val": 2.5, "samples": ["<i>"]}

    monkeypatch.setattr("course.explorers.windows.run", fake_run)
    for explorer in (windows, WindowsExplorer(vocab, val_names, seed=7)):
        explorer.training.train_button.click()
        explorer.training.wait()
        assert "&lt;i&gt;" in explorer.training.status.value
    assert seeds == [42, 7]


# ---- 05: grid ----------------------------------------------------------------------
def test_only_powers_of_two_are_offered(grid, reuse):
    for explorer in (grid, reuse):
        assert list(explorer.block_size.options) == [2, 4, 8, 16]


def test_grid_text_and_picture_follow_the_chosen_cell(grid, records):
    pictures = set()
    for architecture in ("flat", "tree"):
        for block_size in (2, 16):
            for hidden in (32, 256):
                grid.architecture.value = architecture
                grid.block_size.value = block_size
                grid.hidden.value = hidden
                runs = grid.runs_of(architecture, block_size, hidden)
                assert list(runs["seed"]) == [0, 1]
                variant = f"{architecture}, block size {block_size}, hidden {hidden}"
                stored = records[records["variant"] == variant]
                assert list(runs["val"]) == list(stored.sort_values("seed")["val"])
                cell = f"{architecture}, block size {block_size}, hidden width {hidden}"
                parameters = stored["parameters"].iloc[0]
                assert f"{cell}: {parameters:,} parameters" in grid.counts.value
                assert f"val {runs['val'].iloc[0]:.4f}, " in grid.counts.value
                pictures.add(grid.image.value)
    assert len(pictures) == 8


def test_the_surface_holds_the_means_over_the_seeds(grid):
    for (architecture, hidden), column in grid.surface.items():
        for block_size, loss in column.items():
            mean = grid.runs_of(architecture, block_size, hidden)["val"].mean()
            assert loss == pytest.approx(mean)
    assert grid.surface.shape == (4, 8)


def test_grid_trains_the_chosen_cell_lays_its_curve_over_and_can_be_stopped(grid):
    cell = ("flat", 2, 32)
    grid.architecture.value, grid.block_size.value, grid.hidden.value = cell
    before = grid.image.value
    grid.training.train_button.click()
    for _ in range(10 * PATIENCE):
        if len(grid.fresh.get(cell, [])) >= 50:
            break
        grid.training.thread.join(0.1)
    grid.training.stop_button.click()
    grid.training.wait()
    steps = len(grid.fresh[cell])
    assert 50 <= steps < RunConfig().steps
    assert f"stopped after {steps} steps" in grid.training.status.value
    assert f"val {grid.records[cell]['val']:.4f}" in grid.training.status.value
    assert 2 < grid.records[cell]["val"] < 3.4
    assert grid.image.value != before  # the fresh curve
    grid.block_size.value = 4
    assert set(grid.fresh) == {cell}
    assert is_idle(grid.training)


def test_a_run_of_the_grid_is_that_of_its_first_stored_seed(grid, monkeypatch):
    asked = []

    def fake_run(config, seed, *, on_step):
        asked.append((config, seed))
        on_step(History([2.5] * 60))
        return {"val": 2.25}

    monkeypatch.setattr("course.explorers.grid.run", fake_run)
    grid.training.train_button.click()
    grid.training.wait()
    config, seed = asked[0]
    stored = grid.runs_of("tree", 8, 64).iloc[0]
    assert seed == stored["seed"]
    for name, value in stored["config"].items():
        assert getattr(config, name) == value
    assert f"stored {stored['val']:.4f}" in grid.training.status.value
    assert grid.training.progress.max == RunConfig().steps


# ---- 06: reuse -----------------------------------------------------------------------
def test_reuse_picture_and_counts_follow_each_slider(reuse):
    pictures = {reuse.image.value}
    for character in range(1, 7):
        reuse.character.value = character
        which = f"character {character} of 'diondre'"
        assert reuse.counts.value.startswith(f"{which}: 7 fusions, ")
        pictures.add(reuse.image.value)
    for block_size in (2, 4, 16):
        reuse.block_size.value = block_size
        fusions = "1 fusion," if block_size == 2 else f"{block_size - 1} fusions,"
        assert f": {fusions} " in reuse.counts.value
        pictures.add(reuse.image.value)
    assert len(pictures) == 10


def test_the_end_of_a_name_is_predicted_too(reuse):
    reuse.character.value = 8
    assert reuse.counts.value.startswith("the end of 'diondre': 7 fusions, ")


def test_a_shorter_name_has_fewer_characters(reuse):
    before = reuse.image.value
    reuse.name.value = " Eve "
    assert reuse.character.max == reuse.character.value == 4
    assert reuse.counts.value.startswith("the end of 'eve'")
    reuse.name.value = "diondre"
    reuse.character.value = 7
    assert reuse.image.value == before
    reuse.name.value = ""
    assert reuse.counts.value == reuse.describe("", 8, 1)


@pytest.mark.parametrize(
    "name, words",
    [("mar1e", "unknown"), ("a.b", "end mark"), ("a" * 21, "20 characters")],
)
def test_reuse_says_what_is_wrong_and_shows_no_old_picture(reuse, name, words):
    reuse.name.value = name
    assert words in reuse.counts.value
    assert reuse.image.layout.display == "none"
    reuse.name.value = "eve"
    assert reuse.image.layout.display is None


def test_every_node_is_computed_for_one_character_and_found_by_the_later_ones(reuse):
    computed = set()
    for character in range(1, len("diondre") + 2):
        nodes = reuse.reuse("diondre", 8, character)
        assert len(nodes) == 7  # 4 + 2 + 1
        for node, kind in nodes.items():
            if kind == "first time":
                assert node not in computed
                computed.add(node)
            elif kind == "again":
                assert node in computed
            else:
                assert set(characters_of("diondre", *node)) == {"."}
    assert len(computed) == 3 * len("diondre")  # one more on each of three levels


def test_fusions_are_those_of_the_examples():
    found = fusions("diondre", 8)
    assert len(found) == 8 * 7
    assert len({(level, position) for _, level, position in found}) == 34
    assert Counter(last for last, _, _ in found) == dict.fromkeys(range(8), 7)
    assert [node for node in found if node[0] == 2] == [
        (2, 1, 2), (2, 1, 0), (2, 1, -2), (2, 1, -4), (2, 2, 2), (2, 2, -2), (2, 3, 2)
    ]  # fmt: skip
    assert fusions("al", 1) == []  # one character needs no fusion


@pytest.mark.parametrize(
    "level, position, characters",
    [
        (0, 0, "."),
        (0, 1, "d"),
        (1, 1, ".d"),
        (1, 2, "di"),
        (2, 2, "..di"),
        (3, 7, ".diondre"),
        (1, -5, ".."),
        (3, 0, "........"),
    ],
)
def test_a_fusion_reads_the_characters_that_end_at_its_position(
    level, position, characters
):
    assert characters_of("diondre", level, position) == characters


def test_each_kind_of_fusion_has_a_look_of_its_own():
    kinds = {kind_of(*fusion) for fusion in fusions("diondre", 8)}
    looks = fusions_module.KIND_LOOKS
    assert kinds == set(looks)
    assert len({look["marker"] for look in looks.values()}) == len(kinds)


# ---- What a person can type, press and move ------------------------------------------
WRONG_NAMES = [
    ("a.b", "holds the end mark"),
    ("mar1e", "holds the unknown"),
    ("ma rie", "holds the unknown"),
    ("m😀", "holds the unknown"),
    ("zoé", "holds the unknown"),
    ("<i>", "holds the unknown"),
    ("a" * 21, "has 21 characters: type at most 20 characters"),
    ("a" * 10_000, "has 10,000 characters: type at most 20 characters"),
    ("é" * 10_000, "has 10,000 characters: type at most 20 characters"),
]


@pytest.fixture(params=[WindowsExplorer, ReuseExplorer])
def with_name(request, vocab):
    """An explorer with a box for a name."""
    if request.param is WindowsExplorer:
        return WindowsExplorer(vocab, ["emma", "al"])
    return request.param(vocab)


@pytest.mark.parametrize("name, words", WRONG_NAMES, ids=lambda text: text[:9])
def test_a_name_that_cannot_be_gets_one_short_message(with_name, name, words):
    before = with_name.counts.value
    default = with_name.name.value
    with_name.name.value = name
    assert words in with_name.counts.value
    assert with_name.counts.value.count("<p>") == 1
    assert len(with_name.counts.value) < 300
    assert "<i>" not in with_name.counts.value
    with_name.name.value = default
    assert with_name.counts.value == before


@pytest.mark.parametrize("name", ["Emma", " emma", "EMMA \t"])
def test_spaces_around_a_name_and_capitals_change_nothing(with_name, name):
    with_name.name.value = "emma"
    text, picture = with_name.counts.value, with_name.image.value
    with_name.name.value = name
    assert with_name.counts.value == text
    assert with_name.image.value == picture


def test_a_composed_and_a_decomposed_accent_are_one_character():
    explorer = ReuseExplorer(Vocab(["zoé"]), name="zoe\u0301")
    assert explorer.character.max == 4
    explorer.name.value = "ZOE\u0301"
    assert explorer.counts.value == explorer.describe("zoé", 8, 3)


@pytest.mark.parametrize("character", [0, -1, 9, 2.0, "2", True, None])
def test_reuse_of_a_character_that_is_not_there_is_refused(reuse, character):
    for method in (reuse.reuse, reuse.describe, reuse.picture):
        with pytest.raises(ValueError, match="character is .*1 or more and 8 at most"):
            method("diondre", 8, character)


@pytest.mark.parametrize("block_size", [0, 6, 8.0, "8", True, None])
def test_a_block_size_that_is_none_is_refused(reuse, windows, block_size):
    with pytest.raises(ValueError, match="block_size is .*2, 4, 8"):
        reuse.picture("eve", block_size, 1)
    if block_size != 6:
        assert "block_size is" in windows.describe(block_size, 200, "eve")


def test_a_cell_that_is_not_in_the_grid_is_refused(grid):
    for cell in (("tree", 8, 63), ("flat", 6, 64), ("wave", 8, 64), (None, 8.5, "x")):
        for method in (grid.runs_of, grid.describe, grid.picture):
            with pytest.raises(ValueError, match="is not in the grid"):
                method(*cell)


@pytest.mark.parametrize("column", ["config", "seed", "val", "curve"])
def test_records_of_something_else_are_refused(records, column):
    with pytest.raises(ValueError, match=f"lack .*{column}.*load_results"):
        GridExplorer(records.drop(columns=column))
    with pytest.raises(ValueError, match="lack rows"):
        GridExplorer(records.iloc[:0])
    with pytest.raises(TypeError, match="load_results"):
        GridExplorer([{"val": 2.0}])


WRONG_ARGUMENTS = [
    lambda vocab: WindowsExplorer("abc", ["emma"]),
    lambda vocab: WindowsExplorer(vocab, "emma"),
    lambda vocab: WindowsExplorer(vocab, []),
    lambda vocab: WindowsExplorer(vocab, [3]),
    lambda vocab: WindowsExplorer(vocab, ["emma"], seed="42"),
    lambda vocab: WindowsExplorer(vocab, ["emma"], seed=1.5),
    lambda vocab: ReuseExplorer({}),
    lambda vocab: ReuseExplorer(vocab, name="em3ma"),
    lambda vocab: ReuseExplorer(vocab, name=7),
    lambda vocab: TrainPanel("model", lambda: None, 100),
    lambda vocab: TrainPanel(lambda: None, None, 100),
    lambda vocab: TrainPanel(lambda: None, lambda: None, 0),
    lambda vocab: TrainPanel(lambda: None, lambda: None, 2.5),
    lambda vocab: TrainPanel(lambda: None, lambda: None, 100, every=0),
    lambda vocab: Backdrop("figure"),
]


@pytest.mark.parametrize("call", range(len(WRONG_ARGUMENTS)))
def test_an_argument_that_cannot_be_is_refused(vocab, call):
    with pytest.raises((ValueError, TypeError), match=": (give|use|choose|a name is)"):
        WRONG_ARGUMENTS[call](vocab)


def test_a_choice_that_cannot_be_trained_leaves_the_buttons(work):
    wishes = [0, 8]

    def chosen():
        return RunConfig(hidden=wishes.pop(0))

    panel = TrainPanel(chosen, work, 100)
    panel.train_button.click()
    assert "hidden" in panel.status.value
    assert is_idle(panel) and not work.chosen
    work.gate.release(100)
    panel.train_button.click()
    panel.wait()
    assert panel.status.value == "100 steps"


def test_a_cell_run_again_ends_the_training_that_its_first_panel_began(panel, work):
    panel.train_button.click()
    work.steps(2)
    other = Work()
    again = TrainPanel(lambda: "again", other, 100)
    again.train_button.click()
    work.gate.release()
    panel.wait()
    assert panel.stopped and len(work.chosen) == 1
    other.gate.release(100)
    again.wait()
    assert again.status.value == "100 steps" and not again.stopped
    work.gate.release(100)
    panel.train_button.click()  # it has ended, so it stops nothing
    panel.wait()
    assert not again.stopped


def test_no_two_pictures_are_drawn_at_a_time(windows, monkeypatch):
    """A slider that moves while a training ends: matplotlib is not made for threads."""

    def fake_run(config, seed, *, on_step):
        on_step(History([2.5]))
        return {"val": 2.5, "samples": ["ava"]}

    monkeypatch.setattr("course.explorers.windows.run", fake_run)
    inside = threading.Lock()
    clashes = []

    def alone(draw):
        def drawn(*args):
            if not inside.acquire(blocking=False):
                clashes.append(draw)
                return b""
            threading.Event().wait(0.05)
            try:
                return draw(*args)
            finally:
                inside.release()

        return drawn

    for name in ("picture", "picture_of_runs"):
        monkeypatch.setattr(windows, name, alone(getattr(windows, name)))
    for block_size in (3, 8, 3):
        windows.training.train_button.click()
        windows.block_size.value = block_size
        windows.training.wait()
    assert not clashes
    assert len(windows.runs) == 3


class Growing(list):
    """Losses to which a training adds one whenever they are looked at."""

    def __len__(self):
        if super().__len__() < 200:
            self.append(2.0)
        return super().__len__()


def test_a_slider_may_move_while_losses_come_in(grid):
    grid.fresh["tree", 8, 64] = Growing([2.5] * 60)
    before = grid.image.value
    grid.hidden.value = 32
    grid.hidden.value = 64
    assert grid.image.value != before


def widgets_of(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from widgets_of(child)


@pytest.mark.parametrize("explorer", ["windows", "grid", "reuse"])
def test_a_page_loaded_anew_or_a_second_tab_shows_what_stands_now(explorer, request):
    """JupyterLab asks the kernel for the state of each widget, and shows that."""
    explorer = request.getfixturevalue(explorer)
    explorer.block_size.value = 4
    states = [widget.get_state() for widget in widgets_of(explorer.panel)]
    values = [state.get("value") for state in states]
    for widget in (explorer.counts, explorer.image, explorer.block_size):
        assert widget in widgets_of(explorer.panel)
    assert explorer.counts.value in values
    assert explorer.image.value in values
    assert len(values) > 5
    slider = explorer.block_size.get_state()
    assert slider.get("index", slider.get("value")) in (1, 4)  # of 2, 4, 8, 16
