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
SHORTEST = 0.6  # units of the picture: the height of a bar of probability 0
PATIENCE = 20  # seconds that an explorer may take to answer at all
GOALS = {"median": 100, "95th percentile": 200}  # milliseconds
TOO_SLOW = 5  # times the goal: another program can make an answer slower


class Live:
    """One explorer on a page; `root` is the locator of its element."""

    def __init__(self, page, root):
        self.page = page
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
        self.page.wait_for_timeout(100)  # some frames


def report(what, times):
    """Prints the latencies next to their goals; fails only far above them."""
    median = statistics.median(times)
    late = statistics.quantiles(times, n=20)[-1]
    found = dict(zip(GOALS, (median, late)))
    words = [f"{name} {found[name]:.0f} ms (goal {GOALS[name]})" for name in GOALS]
    print(f"\n{what}: {len(times)} moves, {', '.join(words)}", end="")
    for name, goal in GOALS.items():
        assert found[name] <= TOO_SLOW * goal
