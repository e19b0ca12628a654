"""What the live explorers share: one script for JupyterLab and for the site.

An explorer is a class of Python with traits (its settings, weights as bytes) and a
script in scripts/ that draws them. In JupyterLab anywidget keeps the traits of both
sides equal. On the site there is no kernel: the same script runs there on stored
weights (tools/site/explorers.py), and begins with the traits that the notebook's output
holds. Where no script runs at all, the picture beside it in that output is shown.
"""

from base64 import b64encode
from pathlib import Path

import anywidget
import traitlets

from helpers import END

SCRIPTS = Path(__file__).parent / "scripts"
SHARED = ["network", "parts"]  # every explorer's script uses these two
STYLE = "explorers.css"
# Traits that every widget has
BESIDE = {"layout", "tabbable", "tooltip", "comm", "keys"}


def module_text(script: str) -> str:
    """The shared scripts and that of one explorer, as the ES module of anywidget."""
    texts = []
    for name in [*SHARED, script]:
        texts.append((SCRIPTS / f"{name}.js").read_text(encoding="utf-8"))
    texts.append(f"export default {{ render: (it) => render(explorers.{script}, it) }}")
    return "\n".join(texts)


class Explorer(anywidget.AnyWidget):
    """The base of all live explorers.

    A concrete one names its `script` and its `title`, and has traits with
    `.tag(sync=True)`, `settings()`, `picture()` and `alt()`.
    """

    script = ""  # scripts/<script>.js defines explorers.<script>
    title = ""  # how its sentence begins
    characters = traitlets.Unicode(END).tag(sync=True)  # those of the vocabulary
    has_kernel = traitlets.Bool(True).tag(sync=True)  # False on the site

    def __init_subclass__(cls, **options):
        if "script" in vars(cls):  # anywidget makes further classes of this one
            cls._esm = module_text(cls.script)
            cls._css = (SCRIPTS / STYLE).read_text(encoding="utf-8")
        super().__init_subclass__(**options)

    # ---- What a concrete explorer says of itself ----
    def settings(self) -> dict[str, object]:
        """{words: value} of what can be chosen, for its sentence."""
        raise NotImplementedError

    def picture(self) -> bytes:
        """A PNG of what it shows now, for readers without scripts."""
        raise NotImplementedError

    def alt(self) -> str:
        """A sentence that says what the picture shows."""
        raise NotImplementedError

    def page_state(self) -> dict[str, object]:
        """The traits that the site's page begins with: all but bytes and the layout.

        A concrete explorer changes what is different there.
        """
        state = {"has_kernel": False}
        for name in self.trait_names(sync=True):
            value = getattr(self, name)
            is_own = not name.startswith("_") and name not in BESIDE
            if is_own and name not in state and not isinstance(value, bytes):
                state[name] = value
        return state

    @classmethod
    def page_files(cls) -> dict[str, bytes]:
        """{name: bytes} of what the script may load on the site, weights mostly."""
        return {}

    # ---- How it is shown ----
    def __repr__(self) -> str:
        words = [f"{name} {value}" for name, value in self.settings().items()]
        return ", ".join([self.title, *words])

    def _repr_mimebundle_(self, **options) -> tuple[dict, dict]:
        """The widget, and in the same output its picture, its sentence and its state.

        JupyterLab takes the widget; GitHub, nbconvert and the site take the others.
        """
        bundle = super()._repr_mimebundle_(**options)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        data = dict(data)
        data["text/plain"] = repr(self)
        data["image/png"] = b64encode(self.picture()).decode("ascii")
        metadata = dict(metadata)
        metadata["image/png"] = {"alt": self.alt()}
        metadata["explorer"] = {"script": self.script, "state": self.page_state()}
        return data, metadata
