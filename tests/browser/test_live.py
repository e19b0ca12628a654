"""The live explorers of 03 and 08 in JupyterLab and on the site, against Python."""

import json

import pytest
from conftest import SITE
from lab import Book
from live import Live, report

from course.explorers import stored
from course.explorers.tree import TreeExplorer
from course.explorers.wavenet import WaveNetExplorer, stored_wavenet
from course.runs import load_splits

STORED = 0.005  # how far a shown probability may be off with stored weights
FLOATS = 1e-4  # and with the weights of a live model
NAMES = ["emma", "Christopher", "a", "", " diondre "]
WRONG = ["em3ma", "a.b", "zoé", "<i>", "ma rie", "a" * 21, "日本"]
POWERS = [2, 4, 8, 16]
PAGE_MOST = 1_000_000  # bytes of a page before an explorer is touched
WEIGHTS_MOST = 2_500_000  # bytes of all weights of one explorer
SIZES = [(390, 844), (1024, 768), (1440, 900)]

pytestmark = pytest.mark.skipif(
    not SITE.is_dir(), reason="no site in build/site: run `make site`"
)


@pytest.fixture(scope="module")
def vocab():
    return load_splits()[0]


@pytest.fixture(scope="module")
def expected_tree(vocab):
    return TreeExplorer(vocab)


@pytest.fixture(scope="module")
def expected_wavenet(vocab):
    return WaveNetExplorer(stored_wavenet(vocab), vocab)


@pytest.fixture(scope="module", params=["server", "file"])
def home(request, address):
    """Where the site is opened: on a web server, and from the disk."""
    return address if request.param == "server" else SITE.as_uri() + "/"


def open_explorer(watched, url, script):
    """Opens a page of the site and scrolls to its explorer."""
    page = watched.page
    page.goto(url)
    place = page.locator(f".explorer[data-script={script}]")
    place.scroll_into_view_if_needed()
    page.wait_for_selector(f".explorer[data-script={script}][data-mounted]")
    return Live(page, place.locator(".explorer-live"))


@pytest.fixture(scope="module")
def tree_page(open_page, home):
    watched = open_page()
    live = open_explorer(watched, home + "notebooks/03_wavenet.html", "tree")
    live.watched = watched
    yield live
    live.page.close()


@pytest.fixture(scope="module")
def wavenet_page(open_page, home):
    watched = open_page()
    live = open_explorer(watched, home + "notebooks/08_full_wavenet.html", "wavenet")
    live.watched = watched
    yield live
    live.page.close()


def words_of(architecture, block_size, hidden):
    kind = "Flat model" if architecture == "flat" else "Tree of pairs"
    return f"{kind}, {block_size} characters, width {hidden}"


def both(block_size, hidden):
    """The text above the two panels."""
    return [words_of(kind, block_size, hidden) for kind in ("flat", "tree")]


def move_to(live, name, wanted, words):
    """Moves a slider by its arrow keys, and waits for the words."""
    for _ in range(300):  # more than any slider has values
        at = float(live.value(name))
        if at == wanted:
            break
        live.slider(name).focus()
        live.page.keyboard.press("ArrowRight" if at < wanted else "ArrowLeft")
    assert at == wanted
    live.page.wait_for_function(
        "([root, words]) => words.every(it => root.textContent.includes(it))",
        arg=[live.root.element_handle(), words],
    )


# ---- The tree on the site ----------------------------------------
def check_tree(live, expected, *, most):
    live.check_chances(expected.probabilities("flat").tolist(), most=most, panel=0)
    live.check_chances(expected.probabilities("tree").tolist(), most=most, panel=1)


def test_the_tree_on_the_site_shows_what_python_computes(tree_page, expected_tree):
    for block_size, hidden in ((2, 32), (4, 128), (16, 32), (8, 64)):
        expected_tree.block_size = block_size
        expected_tree.hidden = hidden
        move_to(tree_page, "block size", block_size, [])
        move_to(tree_page, "hidden width", hidden, both(block_size, hidden))
        for name in NAMES:
            expected_tree.name = name
            tree_page.type(name)
            check_tree(tree_page, expected_tree, most=STORED)
    assert not tree_page.watched.faults


def test_a_bad_name_gets_one_line_and_the_picture_stays(tree_page, expected_tree):
    tree_page.type("diondr")
    expected_tree.name = "diondr"
    before = tree_page.height()
    for name in WRONG:
        tree_page.type(name)
        assert "The picture keeps the last name." in tree_page.problem()
        check_tree(tree_page, expected_tree, most=STORED)
        assert tree_page.height() == before
    tree_page.type("diondr")
    assert tree_page.problem() == ""


def test_a_flat_model_of_equal_size(tree_page):
    tree_page.root.get_by_role("checkbox").check()
    width = stored.matching_width(8, 64)
    tree_page.page.get_by_text(words_of("flat", 8, width)).wait_for()
    move_to(tree_page, "hidden width", 256, [words_of("tree", 8, 256)])
    assert "too large for this page" in tree_page.text()
    tree_page.root.get_by_role("checkbox").uncheck()
    move_to(tree_page, "hidden width", 64, both(8, 64))
    assert "too large for this page" not in tree_page.text()


def test_nothing_jumps_while_a_slider_moves(tree_page):
    heights = set()
    for hidden in (32, 64, 128, 256, 64):
        move_to(tree_page, "hidden width", hidden, both(8, hidden))
        heights.add(tree_page.height())
    for block_size in (2, 4, 16, 8):
        move_to(tree_page, "block size", block_size, both(block_size, 64))
        heights.add(tree_page.height())
    assert len(heights) == 1


def test_sliders_answer_at_once_on_the_site(tree_page):
    slider = tree_page.slider("hidden width")
    times = []
    for key, hidden in [("ArrowRight", 128), ("ArrowLeft", 64)] * 6:
        times.append(tree_page.press(slider, key, *both(8, hidden)))
    slider = tree_page.slider("block size")
    for key, block_size in [("ArrowRight", 16), ("ArrowLeft", 8)] * 6:
        times.append(tree_page.press(slider, key, *both(block_size, 64)))
    report("03 on the site, sliders", times)


def test_a_node_says_what_it_has_read_by_mouse_and_by_keyboard(tree_page):
    page = tree_page.page
    tree_page.type("diondr")
    nodes = tree_page.root.locator(".panel").nth(1).locator(".node")
    assert nodes.count() == 4 + 2 + 1
    nodes.nth(5).hover()
    assert "This node has read “ondr” and nothing else." in tree_page.text()
    assert tree_page.root.locator(".tile.on").count() == 4
    page.mouse.move(0, 0)
    assert tree_page.root.locator(".tile.on").count() == 0
    area = tree_page.root.locator(".panel").nth(1).locator(".area").first
    area.focus()
    assert "All 4 nodes of this level share one matrix" in tree_page.text()
    assert tree_page.root.locator(".node.on").count() == 4
    page.keyboard.press("ArrowUp")
    assert "This node has read “..” and nothing else." in tree_page.text()
    page.keyboard.press("ArrowRight")
    assert "This node has read “di” and nothing else." in tree_page.text()
    page.keyboard.press("ArrowUp")
    assert "This node has read “..di” and nothing else." in tree_page.text()


def test_the_tab_key_reaches_every_control_and_focus_is_seen(tree_page):
    page = tree_page.page
    tree_page.box().focus()
    reached = []
    for _ in range(6):
        look = page.evaluate(FOCUSED)
        assert look["outline"] > 0, look
        reached.append(look["name"])
        page.keyboard.press("Tab")
    assert reached[1:4] == ["block size", "hidden width", "checkbox"]
    assert all("read" in name or "matrix" in name for name in reached[4:])


FOCUSED = """() => {
  const it = document.activeElement;
  const style = getComputedStyle(it);
  const outline = style.outlineStyle === "none" ? 0 : parseFloat(style.outlineWidth);
  return {name: it.getAttribute("aria-label") || it.type, outline};
}"""


def test_a_screen_reader_gets_a_sentence(tree_page):
    tree_page.type("emm")
    spoken = tree_page.root.locator("[aria-live]")
    tree_page.page.wait_for_timeout(1000)
    assert "After “emm”: the flat model expects a" in spoken.inner_text()
    tree_page.type("diondr")


# ---- The front page ----------------------------------------
def test_the_front_page_predicts_a_name_while_it_is_typed(
    open_page, home, expected_tree
):
    watched = open_page()
    live = open_explorer(watched, home + "index.html", "tree")
    expected_tree.block_size = 8
    expected_tree.hidden = 64
    live.box().focus()
    live.box().press("End")  # whoever types ends what it types by itself
    live.type("")
    for i, letter in enumerate("gabriel"):
        live.box().press_sequentially(letter)
        expected_tree.name = "gabriel"[: i + 1]
        live.page.wait_for_timeout(100)
        chances = expected_tree.probabilities("tree").tolist()
        live.check_chances(chances, most=STORED)
    assert not watched.faults


def test_the_front_page_types_a_name_by_itself(open_page, home):
    live = open_explorer(open_page(), home + "index.html", "tree")
    seen = set()
    for _ in range(60):
        seen.add(live.box().input_value())
        live.page.wait_for_timeout(100)
    assert len(seen) >= 4
    assert all("diondr".startswith(text) for text in seen)
    assert live.box().input_value() == "diondr"


# ---- The WaveNet on the site ----------------------------------------
def check_wavenet(live, expected, *, most):
    chances = expected.probabilities(temperature=expected.temperature)[-1]
    live.check_chances(chances.tolist(), most=most)
    total = expected.surprises().sum().item()
    found = live.root.locator(".line").first.inner_text()
    assert f"cost {total:.1f} nats" in found


def test_the_wavenet_on_the_site_shows_what_python_computes(
    wavenet_page, expected_wavenet
):
    for name in NAMES:
        expected_wavenet.name = name
        wavenet_page.type(name)
        check_wavenet(wavenet_page, expected_wavenet, most=STORED)
    for name in WRONG:
        wavenet_page.type(name)
        assert "The picture keeps the last name." in wavenet_page.problem()
        check_wavenet(wavenet_page, expected_wavenet, most=STORED)
    assert not wavenet_page.watched.faults


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
        move_to(wavenet_page, "temperature", temperature, [])
        expected_wavenet.temperature = temperature
        wavenet_page.page.wait_for_timeout(100)
        check_wavenet(wavenet_page, expected_wavenet, most=STORED)


def test_names_are_made_of_letters_and_the_cold_ones_are_the_likeliest(wavenet_page):
    move_to(wavenet_page, "temperature", 0.2, [])
    wavenet_page.button("Make names").press("Enter")
    made = wavenet_page.root.locator(".line").nth(1)
    wavenet_page.page.wait_for_function(
        "it => it.textContent.split(',').length === 8", arg=made.element_handle()
    )
    names = made.inner_text().split(": ")[1].split(", ")
    assert all(name.isalpha() and name.islower() for name in names)
    move_to(wavenet_page, "temperature", 1.0, [])


# ---- Pages as a whole ----------------------------------------
EXPLORED = ["index.html", "notebooks/03_wavenet.html", "notebooks/08_full_wavenet.html"]


@pytest.mark.parametrize("path", EXPLORED)
def test_a_page_weighs_little_before_an_explorer_is_touched(open_page, address, path):
    watched = open_page()
    sizes = []
    watched.page.on("response", lambda it: sizes.append(len(it.body())))
    watched.page.goto(address + path, wait_until="networkidle")
    print(f"\n{path}: {sum(sizes) / 1e6:.2f} MB (goal {PAGE_MOST / 1e6:.0f})", end="")
    assert sum(sizes) <= PAGE_MOST


def test_the_weights_of_an_explorer_are_small():
    for pattern in ("*_*.js", "wavenet.js"):
        files = (SITE / "_static" / "explorers" / "data").glob(pattern)
        size = sum(path.stat().st_size for path in files)
        print(f"\nweights {pattern}: {size / 1e6:.2f} MB", end="")
        assert 0 < size <= WEIGHTS_MOST


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_explorers_fit_and_can_be_read_at_every_size(open_page, address, size, scheme):
    watched = open_page(*size)
    watched.page.emulate_media(color_scheme=scheme)
    for path, script in ((EXPLORED[1], "tree"), (EXPLORED[2], "wavenet")):
        live = open_explorer(watched, address + path, script)
        assert live.page.evaluate("document.scrollingElement.scrollWidth") <= size[0]
        for name, texts in live.root.evaluate(CONTRASTS).items():
            assert texts["contrast"] >= 4.5, (name, texts)
            assert texts["pixels"] >= 9, (name, texts)


# For letters in the pictures: their contrast to the page, and their size in pixels.
CONTRASTS = """root => {
  const numbers = color => {
    const pen = new OffscreenCanvas(1, 1).getContext("2d");
    pen.fillStyle = color;
    pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = color => {
    const parts = numbers(color).map(it => it / 255).map(
      it => it <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4);
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  let behind = root; // the next element with a colour of its own
  while (getComputedStyle(behind).backgroundColor === "rgba(0, 0, 0, 0)") {
    behind = behind.parentElement;
  }
  const paper = light(getComputedStyle(behind).backgroundColor);
  const found = {};
  for (const text of root.querySelectorAll("svg text")) {
    const style = getComputedStyle(text);
    const ink = light(style.fill);
    const box = text.ownerSVGElement;
    const scale = box.getBoundingClientRect().width / box.viewBox.baseVal.width;
    found[text.textContent] = {
      contrast: (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05),
      pixels: parseFloat(style.fontSize) * scale,
    };
  }
  return found;
}"""


# ---- Broken on purpose ----------------------------------------
BROKEN = {
    "**/network.js": ("forEachElement(x, Math.tanh)", "forEachElement(x, Math.sin)"),
    "**/tree.js": ("windowOf(text, ", "windowOf(text.slice(1), "),
    "**/data/tree_8_64.js": ('", "', '", "AAAA'),
}


@pytest.mark.parametrize("file", BROKEN)
def test_a_broken_script_or_changed_weights_are_found(
    open_page, address, expected_tree, file
):
    old, new = BROKEN[file]

    def change(route):
        text = route.fetch().text()
        assert old in text
        if "data" in file:  # one weight in a hundred another one
            half = len(text) // 2
            text = text[:half] + text[half:].replace("A", "z").replace("B", "Q")
        route.fulfill(body=text.replace(old, new) if "data" not in file else text)

    watched = open_page()
    watched.page.route(file, change)
    live = open_explorer(watched, address + "notebooks/03_wavenet.html", "tree")
    expected_tree.block_size = 8
    expected_tree.hidden = 64
    expected_tree.name = "diondr"
    with pytest.raises(AssertionError):
        check_tree(live, expected_tree, most=STORED)


# ---- JupyterLab ----------------------------------------
@pytest.fixture(scope="module")
def tree_book(lab, open_page):
    wanted = "display(explorer)"
    book = Book(open_page(1400, 1000), lab.write("03_wavenet", wanted), live=True)
    book.live = Live(book.page, book.root)
    yield book
    book.page.close()


def check_tree_in_lab(book, *, most):
    """The bars are what the kernel computes now."""
    for panel, which in enumerate(("flat", "tree")):
        chances = book.ask(f"explorer.probabilities({which!r}).tolist()")
        book.live.check_chances(json.loads(chances), most=most, panel=panel)


def test_the_tree_in_lab_shows_the_live_model_at_any_width(tree_book, expected_tree):
    live = tree_book.live
    move_to(live, "hidden width", 68, both(8, 68))
    expected_tree.block_size = 8
    expected_tree.hidden = 68
    for name in NAMES:
        expected_tree.name = name
        live.type(name)
        check_tree(live, expected_tree, most=FLOATS)
        check_tree_in_lab(tree_book, most=FLOATS)
    for name in WRONG:
        live.type(name)
        assert "The picture keeps the last name." in live.problem()
        check_tree_in_lab(tree_book, most=FLOATS)
    live.type("diondr")
    tree_book.check_faultless()


def test_sliders_answer_at_once_in_lab(tree_book):
    live = tree_book.live
    move_to(live, "hidden width", 68, both(8, 68))
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


@pytest.fixture(scope="module")
def wavenet_book(lab, open_page):
    wanted = "display(explorer)"
    book = Book(open_page(1400, 1000), lab.write("08_full_wavenet", wanted), live=True)
    book.live = Live(book.page, book.root)
    yield book
    book.page.close()


def test_the_wavenet_in_lab_shows_the_live_network(wavenet_book, expected_wavenet):
    for name in [*NAMES, *WRONG]:
        wavenet_book.live.type(name)
        if name in NAMES:
            expected_wavenet.name = name
        check_wavenet(wavenet_book.live, expected_wavenet, most=FLOATS)
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
