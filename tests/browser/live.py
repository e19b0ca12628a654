"""A live explorer in Chromium, in JupyterLab or on the site: press keys, read bars."""

import statistics

# Waits for the words in the explorer's text; milliseconds from the next key until then.
ARM = """(root, words) => {
  let pressed = null;
  const press = event => { pressed = event.timeStamp; };
  document.addEventListener("keydown", press, {capture: true, once: true});
  window.answer = new Promise(done => {
    const look = () => {
      if (pressed === null || !words.every(it => root.textContent.includes(it))) return;
      observer.disconnect();
      done(performance.now() - pressed);
    };
    const observer = new MutationObserver(look);
    observer.observe(root, {subtree: true, childList: true, characterData: true});
  });
}"""
ANSWER = """patience => {
  const late = new Promise(done => setTimeout(done, patience, null));
  return Promise.race([window.answer, late]);
}"""
# The probabilities that the bars show: their heights over that of probability 1.
CHANCES = """groups => groups.map(group =>
  [...group.querySelectorAll(".bar")].map(
    bar => bar.getAttribute("height") / group.dataset.full))"""
TWO_FRAMES = """() => new Promise(done =>
  requestAnimationFrame(() => requestAnimationFrame(done)))"""
STORED = 0.005  # how far a shown probability may be off with stored weights
FLOATS = 1e-4  # and with the weights of a live model
NAMES = ["emma", "Christopher", "a", "", " diondre "]
WRONG = ["em3ma", "a.b", "zoé", "<i>", "ma rie", "a" * 21, "日本"]
SHORTEST = 0.6  # units of the picture: the height of a bar of probability 0
PATIENCE = 20  # seconds that an explorer may take to answer at all
GOALS = {"median": 100, "95th percentile": 200}  # milliseconds
TOO_SLOW = 5  # times the goal: another program can make an answer slower


class Live:
    """One explorer on a watched page; `root` is the locator of its element."""

    def __init__(self, watched, root):
        self.watched = watched
        self.page = watched.page
        self.root = root

    def slider(self, name):
        return self.root.get_by_role("slider", name=name, exact=True)

    def box(self):
        return self.root.get_by_role("textbox")

    def button(self, name):
        return self.root.get_by_role("button", name=name, exact=True)

    def value(self, name):
        """The text next to a slider."""
        return self.slider(name).get_attribute("aria-valuetext")

    def problem(self):
        return self.root.locator(".problem").inner_text()

    def text(self):
        return self.root.inner_text()

    def height(self):
        return self.root.evaluate("it => it.getBoundingClientRect().height")

    def chances(self):
        """For each picture with bars the probabilities that they show."""
        return self.root.locator(".bars").evaluate_all(CHANCES)

    def full(self):
        """The height of a bar with probability 1."""
        return float(self.root.locator(".bars").first.get_attribute("data-full"))

    def check_chances(self, expected, *, most, panel=-1):
        """The bars of a panel are the expected probabilities, within `most`."""
        shown = self.chances()[panel]
        least = SHORTEST / self.full()
        assert len(shown) == len(expected)
        for bar, chance in zip(shown, expected):
            assert abs(bar - max(least, chance)) <= most

    def press(self, target, key, *words):
        """Presses a key on it; milliseconds until all words are in the explorer."""
        target.focus()
        self.root.evaluate(ARM, list(words))
        self.page.keyboard.press(key)
        milliseconds = self.page.evaluate(ANSWER, 1000 * PATIENCE)
        assert milliseconds is not None, f"{key}: no {words} within {PATIENCE} s"
        return milliseconds

    def type(self, text):
        """Puts a text into the name box, as a person who pastes it would."""
        self.box().fill(text)
        self.wait_until_drawn()

    def wait_until_drawn(self):
        """Waits for what a script draws before the next frame."""
        self.page.evaluate(TWO_FRAMES)

    def type_names(self, check, expected, **options):
        """Types names; `check` finds each time what the explorer `expected` has."""
        for name in NAMES:
            expected.name = name
            self.type(name)
            check(self, expected, **options)

    def type_wrong(self, check, expected, **options):
        """Types names that cannot be read: picture and height stay as they were."""
        height = self.height()
        for name in WRONG:
            self.type(name)
            assert "The picture keeps the last name." in self.problem()
            check(self, expected, **options)
            assert self.height() == height

    def move_to(self, name, wanted, *words):
        """Moves a slider by its arrow keys, and waits for the words."""
        for _ in range(300):  # more than any slider has values
            at = float(self.value(name))
            if at == wanted:
                break
            self.slider(name).press("ArrowRight" if at < wanted else "ArrowLeft")
        assert at == wanted
        self.wait_for(*words)

    def wait_for(self, *words):
        """Waits until all words are in the explorer."""
        self.page.wait_for_function(
            "([root, words]) => words.every(it => root.textContent.includes(it))",
            arg=[self.root.element_handle(), list(words)],
        )


def open_explorer(watched, url, script):
    """Opens a page of the site and scrolls to its first explorer of this script."""
    watched.page.goto(url)
    selector = f".explorer[data-script={script}]"
    place = watched.page.locator(selector).first
    place.scroll_into_view_if_needed()
    watched.page.wait_for_selector(f"{selector}[data-mounted]")
    return Live(watched, place.locator(".explorer-live"))


# ---- What an explorer has to show ----------------------------------------
def words_of(architecture, block_size, hidden):
    """What stands over a panel of the tree explorer."""
    kind = "Flat model" if architecture == "flat" else "Tree of pairs"
    return f"{kind}, {block_size} characters, width {hidden}"


def both(block_size, hidden):
    """What stands over its two panels."""
    return [words_of(kind, block_size, hidden) for kind in ("flat", "tree")]


def check_tree(live, expected, *, most):
    live.check_chances(expected.probabilities("flat").tolist(), most=most, panel=0)
    live.check_chances(expected.probabilities("tree").tolist(), most=most, panel=1)


def check_wavenet(live, expected, *, most):
    chances = expected.probabilities(temperature=expected.temperature)[-1]
    live.check_chances(chances.tolist(), most=most)
    total = expected.surprises().sum().item()
    found = live.root.locator(".line").first.inner_text()
    assert f"cost {total:.1f} nats" in found


def parameters_of(expected):
    return f"{expected.about()['parameters']:,} parameters"


def check_windows(live, expected, *, most):
    live.check_chances(expected.probabilities().tolist(), most=most)
    assert parameters_of(expected) in live.text()
    rows = live.root.locator(".row")
    assert rows.count() == len(expected.name) + 1
    left_out = live.root.locator(".row:has(.cut)").count()
    assert left_out == expected.cut_off()


def check_reuse(live, expected):
    """The sentence, and as many marks as there are fusions."""
    counts = expected.counts()
    live.wait_for(counts[0].upper() + counts[1:])
    assert live.root.locator(".mark[role]").count() == len(expected.needed())
    key = 4  # marks that say what the others mean
    assert live.root.locator(".mark").count() == len(expected.seen()) + key
    assert live.root.locator(".predicted").count() == 1


def check_cell(live, cell):
    """The chosen cell of the grid, with what is stored of it."""
    chosen = live.root.locator(".cell.on")
    sizes = f"block size {cell['block_size']}, hidden width {cell['hidden']}"
    mean = sum(cell["val"]) / len(cell["val"])
    words = f"{cell['architecture']}, {sizes}: validation loss {mean:.3f}"
    assert chosen.get_attribute("aria-label").startswith(words)
    assert f"{cell['parameters']:,} parameters" in live.text()


def check_quiz(live, questions):
    """Each answer is judged when it is typed."""
    for i, question in enumerate(questions):
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


# ---- Latencies ----------------------------------------
def report(what, times):
    """Prints the latencies next to their goals; fails only far above them."""
    median = statistics.median(times)
    late = statistics.quantiles(times, n=20)[-1]
    found = dict(zip(GOALS, (median, late)))
    words = [f"{name} {found[name]:.0f} ms (goal {GOALS[name]})" for name in GOALS]
    print(f"\n{what}: {len(times)} moves, {', '.join(words)}", end="")
    for name, goal in GOALS.items():
        assert found[name] <= TOO_SLOW * goal
