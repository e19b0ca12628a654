"""The tree explorer on the site, the front page, and what all explorers have there."""

import pytest
from conftest import NEEDS_SITE, PAGES, SITE
from live import (
    STORED,
    both,
    check_tree,
    open_explorer,
    report,
    words_of,
)

from course.explorers import stored

PAGE_MOST = 1_000_000  # bytes of a page before an explorer is touched
WEIGHTS_MOST = 2_500_000  # bytes of all weights of one explorer
SIZES = [(390, 844), (1024, 768), (1440, 900)]

pytestmark = NEEDS_SITE


@pytest.fixture
def tree_page(explorer_at):
    return explorer_at("tree")


# ---- The tree on the site ----------------------------------------
def test_the_tree_on_the_site_shows_what_python_computes(tree_page, expected_tree):
    for block_size, hidden in ((2, 32), (4, 128), (16, 32), (8, 64)):
        expected_tree.block_size = block_size
        expected_tree.hidden = hidden
        tree_page.move_to("block size", block_size)
        tree_page.move_to("hidden width", hidden, *both(block_size, hidden))
        tree_page.type_names(check_tree, expected_tree, most=STORED)


def test_a_bad_name_gets_one_line_and_the_picture_stays(tree_page, expected_tree):
    tree_page.type("diondr")
    expected_tree.name = "diondr"
    tree_page.type_wrong(check_tree, expected_tree, most=STORED)
    tree_page.type("diondr")
    assert tree_page.problem() == ""


def test_a_flat_model_of_equal_size(tree_page):
    tree_page.root.get_by_role("checkbox").check()
    width = stored.matching_width(8, 64)
    tree_page.page.get_by_text(words_of("flat", 8, width)).wait_for()
    tree_page.move_to("hidden width", 256, words_of("tree", 8, 256))
    assert "too large for this page" in tree_page.text()
    tree_page.root.get_by_role("checkbox").uncheck()
    tree_page.move_to("hidden width", 64, *both(8, 64))
    assert "too large for this page" not in tree_page.text()


def test_nothing_jumps_while_a_slider_moves(tree_page):
    heights = set()
    for hidden in (32, 64, 128, 256, 64):
        tree_page.move_to("hidden width", hidden, *both(8, hidden))
        heights.add(tree_page.height())
    for block_size in (2, 4, 16, 8):
        tree_page.move_to("block size", block_size, *both(block_size, 64))
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
        live.wait_until_drawn()
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


# ---- Pages as a whole ----------------------------------------
EXPLORED = ["index.html", PAGES["tree"], PAGES["wavenet"]]


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
    for script in ("tree", "wavenet"):
        live = open_explorer(watched, address + PAGES[script], script)
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
    live = open_explorer(watched, address + PAGES["tree"], "tree")
    expected_tree.block_size = 8
    expected_tree.hidden = 64
    expected_tree.name = "diondr"
    with pytest.raises(AssertionError):
        check_tree(live, expected_tree, most=STORED)
