"""A notebook in JupyterLab in Chromium, and what the tests do there: run it, press keys, see what answers."""

import hashlib
import os
import shutil
import socket
import subprocess
import symtable
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import nbformat
import psutil
from IPython.core.inputtransformer2 import TransformerManager

ROOT = Path(__file__).parents[2]
LEFT_OUT = shutil.ignore_patterns(".*", "build", "__pycache__", "*.egg-info")
SETTINGS = {  # all cells are in the page, in view or not
    "@jupyterlab/notebook-extension/tracker": '{"windowingMode": "none"}'
}
RUNS = 180  # seconds that a notebook may take
PATIENCE = 10  # seconds that a control may take to answer at all, before the test gives up


class Lab:
    """A JupyterLab server on loopback over a copy of this checkout: nothing is written to the checkout."""

    def __init__(self, folder):
        self.copy = shutil.copytree(ROOT, folder / "copy", ignore=LEFT_OUT)
        for name, text in SETTINGS.items():
            path = folder / "settings" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        own = {f"JUPYTER_{kind}_DIR": str(folder / kind) for kind in ("CONFIG", "DATA", "RUNTIME")}
        own |= {f"JUPYTERLAB_{kind.upper()}_DIR": str(folder / kind) for kind in ("settings", "workspaces")}
        own |= {"IPYTHONDIR": str(folder / "ipython"), "PYTHONPATH": str(self.copy)}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        settings = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": self.port,
            "ServerApp.port_retries": 0,
            "ServerApp.root_dir": self.copy,
            "ServerApp.allow_root": True,
            "IdentityProvider.token": "",
            "ServerApp.open_browser": False,
            "LabApp.expose_app_in_browser": True,
            "LabApp.app_settings_dir": self.copy / "docs" / "lab",  # as in `make lab`
        }
        self.log = (folder / "server.log").open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *(f"--{key}={value}" for key, value in settings.items())],
            env={"OMP_NUM_THREADS": "1"} | os.environ | own,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        self.wait(f"http://127.0.0.1:{self.port}/api", Path(self.log.name))

    def wait(self, address, log, seconds=60):
        """Until the server answers."""
        for _ in range(10 * seconds):
            assert self.process.poll() is None, log.read_text()
            try:
                return urllib.request.urlopen(address, timeout=5).close()
            except OSError:
                time.sleep(0.1)
        raise AssertionError(f"JupyterLab did not start in {seconds} s: {log.read_text()}")

    def close(self):
        family = psutil.Process(self.process.pid).children(recursive=True)
        self.process.terminate()  # ends its kernels too, if it has the time
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(30)
        for process in [self.process, *family]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()
        self.log.close()

    def write(self, stem, name, change=None, whole=True):
        """A copy of a notebook: its source with `change`, an (old, new); all its cells, or those needed."""
        notebook = nbformat.read(self.copy / "notebooks" / f"{stem}.ipynb", as_version=4)
        if change:
            changed = [cell for cell in notebook.cells if change[0] in cell.source]
            assert len(changed) == 1, change
            changed[0].source = changed[0].source.replace(*change)
        if not whole:
            keep = needed([cell.source for cell in notebook.cells if cell.cell_type == "code"])
            notebook.cells = [cell for cell in notebook.cells if cell.get("source") in keep]
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        nbformat.write(notebook, self.copy / "notebooks" / f"{name}.ipynb")
        # reset: no notebook that was open before is opened beside it
        return f"http://127.0.0.1:{self.port}/lab/tree/notebooks/{name}.ipynb?reset"


def names(source):
    """The names that a cell binds at its top level, and those of the notebook that it uses anywhere."""
    tables = [symtable.symtable(TransformerManager().transform_cell(source), "cell", "exec")]
    bound = {one.get_name() for one in tables[0].get_symbols() if one.is_assigned() or one.is_imported()}
    used = {one.get_name() for one in tables[0].get_symbols() if one.is_referenced()}
    for table in tables:  # those of functions, classes and comprehensions are added while the loop runs
        tables += table.get_children()
        used |= {one.get_name() for one in table.get_symbols() if one.is_global()}
    return bound - {"_"}, used


def needed(sources):
    """The cell that shows sliders, and those it needs by the names they define (the last of each)."""
    last = max(i for i, source in enumerate(sources) if "widgets.VBox(" in source)
    bound, used = zip(*map(names, sources[: last + 1]))
    binder = {name: i for i, some in enumerate(bound) for name in some}
    keep, more = set(), {last}
    while more:
        keep |= more
        more = {binder[name] for i in more for name in used[i] if name in binder} - keep
    return {sources[i] for i in keep}


# What the controls answer with: the pictures' addresses (a new picture has a new one) and the texts.
PARTS = """root => ({
  picture: [...root.querySelectorAll("img")].map(image => image.src).join(),
  text: [...root.querySelectorAll(".widget-html-content")].map(text => text.innerHTML).join(),
})"""

# Waits until a picture is there to be painted; one that is replaced meanwhile is no error.
DECODED = """async image => {
  for (let tries = 0; ; tries++) {
    try { return await image.decode(); } catch (error) { if (tries > 400) throw error; }
    await new Promise(done => setTimeout(done, 5));
  }
}"""

# Sets window.answer to a promise of the milliseconds from the next key to the answer: text and picture have
# changed, and the picture is there to be painted.
ARM = f"""root => {{
  const parts = {PARTS}, decoded = {DECODED}, before = parts(root);
  let pressed = null;
  const press = event => {{ pressed = event.timeStamp; }};
  document.addEventListener("keydown", press, {{capture: true, once: true}});
  window.answer = new Promise(done => {{
    const observer = new MutationObserver(async () => {{
      const now = parts(root);
      if (now.picture === before.picture || now.text === before.text) return;
      observer.disconnect();
      for (const image of root.querySelectorAll("img")) await decoded(image);
      done(performance.now() - pressed);
    }});
    observer.observe(root, {{subtree: true, childList: true, attributes: true, characterData: true}});
  }});
}}"""
ANSWER = "patience => Promise.race([window.answer, new Promise(done => setTimeout(done, patience, null))])"

PIXELS = f"""async images => {{
  const decoded = {DECODED}, found = [];
  for (const image of images) {{
    await decoded(image);
    const size = [image.naturalWidth, image.naturalHeight];
    const pen = new OffscreenCanvas(...size).getContext("2d");
    pen.drawImage(image, 0, 0);
    found.push(new Uint32Array(pen.getImageData(0, 0, ...size).data.buffer).join());
  }}
  return found.join();
}}"""

# From now on every error that the kernel tells of is kept, shown in the notebook or not.
LISTEN = """() => {
  window.kernelFaults = [];
  window.kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  window.kernel.iopubMessage.connect((_, message) => {
    const {header, content} = message;
    if (header.msg_type === "error") window.kernelFaults.push(`${content.ename}: ${content.evalue}`);
    if (header.msg_type === "stream" && content.name === "stderr") window.kernelFaults.push(content.text);
  });
}"""
ASK = """async code => {
  const request = {code: "", user_expressions: {it: code}, silent: true};
  const reply = await window.kernel.requestExecute(request).done;
  return reply.content.user_expressions.it.data["text/plain"];
}"""
READY = """() => {
  const session = window.jupyterapp?.shell.currentWidget?.sessionContext;
  return session?.session?.kernel?.status === "idle" && document.querySelector(".jp-Notebook .jp-CodeCell");
}"""
# The command that runs all cells comes back before the last has run.
RAN = """() => {
  const {content, sessionContext} = window.jupyterapp.shell.currentWidget;
  const cells = content.widgets.filter(cell => cell.model.type === "code" && cell.model.sharedModel.source);
  return sessionContext.session.kernel.status === "idle" && cells.every(cell => cell.model.executionCount);
}"""
FAILED = """() => window.jupyterapp.shell.currentWidget.content.widgets.filter(cell =>
  cell.model.type === "code" && !cell.model.sharedModel.getMetadata("tags")?.includes("raises-exception") &&
  cell.model.outputs.toJSON().some(output => output.output_type === "error")
).map(cell => {
  const {ename, evalue} = cell.model.outputs.toJSON().find(output => output.output_type === "error");
  return `${ename} ${evalue} in ${cell.model.sharedModel.source}`;
})"""


class Book:
    """A notebook that was run, and the controls in it."""

    def __init__(self, watched, address):
        self.watched, self.page = watched, watched.page
        self.page.goto(address)
        self.page.wait_for_function(READY, timeout=60_000)
        self.page.evaluate("window.jupyterapp.commands.execute('notebook:run-all-cells')")
        self.page.wait_for_function(f"({RAN})() || ({FAILED})().length", polling=200, timeout=1000 * RUNS)
        failed = self.page.evaluate(FAILED)
        assert not failed, failed
        self.root = self.page.locator(".jp-OutputArea .widget-vbox").filter(
            has=self.page.locator(".widget-slider")
        )
        self.root.wait_for(timeout=1000 * PATIENCE)
        self.page.evaluate(LISTEN)

    def check_faultless(self):
        assert not self.watched.faults and not self.page.evaluate("window.kernelFaults")

    def ask(self, code):
        """The value of an expression in the kernel, as text."""
        return self.page.evaluate(ASK, code)

    # ---- What stands there ----
    def control(self, label):
        """The slider, group of buttons or box with this label."""
        return self.root.locator(".widget-inline-hbox").filter(
            has=self.page.locator(".widget-label", has_text=label)
        )

    def handle(self, label):
        return self.control(label).locator(".noUi-handle")

    def readout(self, label):
        return self.control(label).locator(".widget-readout").inner_text()

    def text(self):
        return "\n".join(self.root.locator(".widget-html-content").all_inner_texts())

    def picture(self):
        """A digest of the pixels of the pictures."""
        return hashlib.sha256(self.root.locator("img").evaluate_all(PIXELS).encode()).hexdigest()

    def button(self, name):
        return self.root.get_by_role("button", name=name, exact=True)

    def progress(self):
        """How full the bar is, in per cent."""
        return self.root.locator(".progress-bar").evaluate("bar => parseFloat(bar.style.width) || 0")

    # ---- What a hand does ----
    def press(self, target, key):
        """Focuses and presses a key; milliseconds until pictures and text have changed."""
        target.focus()
        self.root.evaluate(ARM)
        self.page.keyboard.press(key)
        milliseconds = self.page.evaluate(ANSWER, 1000 * PATIENCE)
        assert milliseconds is not None, f"no new picture and text within {PATIENCE} s of {key}"
        return milliseconds

    def until(self, condition, seconds, what):
        """Waits until `condition()`; the seconds it took."""
        start = time.perf_counter()
        while not condition():
            assert time.perf_counter() - start < seconds, f"not within {seconds} s: {what}"
            self.page.wait_for_timeout(10)
        return time.perf_counter() - start
