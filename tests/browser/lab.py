"""A notebook in JupyterLab in Chromium: run it, press keys, see what answers."""

import ast
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
from live import Live

ROOT = Path(__file__).parents[2]
LEFT_OUT = shutil.ignore_patterns(".*", "build", "__pycache__", "*.egg-info")
SETTINGS = {  # all cells are in the page, in view or not
    "@jupyterlab/notebook-extension/tracker": '{"windowingMode": "none"}'
}
RUNS = 180  # seconds that the cells of a notebook may take
PATIENCE = 10  # seconds that a control may take to answer at all


class Lab:
    """A JupyterLab server on loopback over a copy of this checkout.

    Nothing is written to the checkout, nor to the user's own settings.
    """

    def __init__(self, folder):
        self.copy = shutil.copytree(ROOT, folder / "copy", ignore=LEFT_OUT)
        for name, text in SETTINGS.items():
            path = folder / "settings" / f"{name}.jupyterlab-settings"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        self.port = free_port()
        options = {
            "ServerApp.ip": "127.0.0.1",
            "ServerApp.port": self.port,
            "ServerApp.port_retries": 0,
            "ServerApp.root_dir": self.copy,
            "ServerApp.allow_root": True,
            "IdentityProvider.token": "",
            "ServerApp.open_browser": False,
            "LabApp.expose_app_in_browser": True,
            "LabApp.app_settings_dir": self.copy / "tools" / "lab",  # as in `make lab`
        }
        arguments = [f"--{key}={value}" for key, value in options.items()]
        self.log = (folder / "server.log").open("w", encoding="utf-8")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *arguments],
            env=self.environment(folder),
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        self.wait(Path(self.log.name))

    def environment(self, folder):
        """Jupyter's folders, all of them next to the copy."""
        own = {"IPYTHONDIR": str(folder / "ipython"), "PYTHONPATH": str(self.copy)}
        for kind in ("CONFIG", "DATA", "RUNTIME"):
            own[f"JUPYTER_{kind}_DIR"] = str(folder / kind)
        for kind in ("settings", "workspaces"):
            own[f"JUPYTERLAB_{kind.upper()}_DIR"] = str(folder / kind)
        return {"OMP_NUM_THREADS": "1", **os.environ, **own}

    def wait(self, log, seconds=60):
        """Returns when the server answers."""
        address = f"http://127.0.0.1:{self.port}/api"
        for _ in range(10 * seconds):
            assert self.process.poll() is None, log.read_text(encoding="utf-8")
            try:
                return urllib.request.urlopen(address, timeout=5).close()
            except OSError:
                time.sleep(0.1)
        found = log.read_text(encoding="utf-8")
        raise AssertionError(f"JupyterLab did not start in {seconds} s: {found}")

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

    def write(self, stem, *wanted):
        """Writes a shorter copy of a notebook, to be run; the address it opens at.

        Of the code stay the cells that hold a text of `wanted`, and those that they
        need; all prose stays.
        """
        path = self.copy / "notebooks" / f"{stem}.ipynb"
        notebook = nbformat.read(path, as_version=4)
        code = [cell for cell in notebook.cells if cell.cell_type == "code"]
        keep = needed([cell.source for cell in code], wanted)
        for i, cell in enumerate(code):
            cell.outputs = []
            cell.execution_count = None
            if i not in keep:
                notebook.cells.remove(cell)
        return self.write_notebook(f"{stem}_shorter", notebook)

    def write_cells(self, stem, *sources):
        """Writes a new notebook with these cells of code; the address it opens at."""
        cells = [nbformat.v4.new_code_cell(source) for source in sources]
        kernel = {"name": "python3", "display_name": "Python 3"}  # or it would ask
        metadata = {"kernelspec": kernel}
        notebook = nbformat.v4.new_notebook(cells=cells, metadata=metadata)
        return self.write_notebook(stem, notebook)

    def write_notebook(self, stem, notebook):
        nbformat.write(notebook, self.copy / "notebooks" / f"{stem}.ipynb")
        lab = f"http://127.0.0.1:{self.port}/lab/tree/notebooks"
        # reset: no notebook that was open before is opened beside it
        return f"{lab}/{stem}.ipynb?reset"


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def names(source):
    """What a cell binds at its top level, and the notebook's names it uses anywhere."""
    python = TransformerManager().transform_cell(source)  # no magics
    top = symtable.symtable(python, "cell", "exec")
    bound = set()
    used = set()
    for symbol in top.get_symbols():
        if symbol.is_assigned() or symbol.is_imported():
            bound.add(symbol.get_name())
        if symbol.is_referenced():
            used.add(symbol.get_name())
    inner = top.get_children()  # functions, classes and comprehensions
    while inner:
        table = inner.pop()
        inner += table.get_children()
        for symbol in table.get_symbols():
            if symbol.is_global():
                used.add(symbol.get_name())
    return bound - {"_"}, used


def needed(sources, wanted):
    """The numbers of the cells with a text of `wanted`, and of those they need.

    A cell needs the last cells before it that bind the names it uses.
    """
    keep = set()
    for text in wanted:
        found = {i for i, source in enumerate(sources) if text in source}
        assert found, f"no cell holds {text}"
        keep.add(min(found))
    ends = [names(source) for source in sources]
    to_do = list(keep)
    while to_do:
        i = to_do.pop()
        for name in ends[i][1]:
            before = [j for j in range(i) if name in ends[j][0]]
            if before and before[-1] not in keep:
                keep.add(before[-1])
                to_do.append(before[-1])
    return keep


# From now on every error of the kernel is kept, shown in the notebook or not.
LISTEN = """() => {
  window.kernelFaults = [];
  window.kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  window.kernel.iopubMessage.connect((_, message) => {
    const {header, content} = message;
    const faults = window.kernelFaults;
    if (header.msg_type === "error") faults.push(`${content.ename}: ${content.evalue}`);
    if (content.name === "stderr") faults.push(content.text);
  });
}"""
ASK = """async code => {
  const request = {code: "", user_expressions: {it: code}, silent: true};
  const reply = await window.kernel.requestExecute(request).done;
  return reply.content.user_expressions.it.data["text/plain"];
}"""
READY = """() => {
  const session = window.jupyterapp?.shell.currentWidget?.sessionContext;
  const cell = document.querySelector(".jp-Notebook .jp-CodeCell");
  return session?.session?.kernel?.status === "idle" && cell;
}"""
# The command that runs all cells comes back before the last has run.
RAN = """() => {
  const {content, sessionContext} = window.jupyterapp.shell.currentWidget;
  const ran = cell => cell.model.type !== "code" || !cell.model.sharedModel.source ||
    cell.model.executionCount;
  return sessionContext.session.kernel.status === "idle" && content.widgets.every(ran);
}"""
FAILED = """() => {
  const failed = [];
  for (const {model} of window.jupyterapp.shell.currentWidget.content.widgets) {
    if (model.type !== "code") continue;
    const tags = model.sharedModel.getMetadata("tags") || [];
    for (const {output_type, ename, evalue} of model.outputs.toJSON()) {
      if (output_type === "error" && !tags.includes("raises-exception"))
        failed.push(`${ename} ${evalue} in ${model.sharedModel.source}`);
    }
  }
  return failed;
}"""


class Book:
    """A notebook that was run, and the explorers in it."""

    def __init__(self, watched, address):
        self.watched = watched
        self.page = watched.page
        self.page.goto(address)
        self.page.wait_for_function(READY, timeout=60_000)
        run_all = "window.jupyterapp.commands.execute('notebook:run-all-cells')"
        self.page.evaluate(run_all)
        ended = f"({RAN})() || ({FAILED})().length"
        self.page.wait_for_function(ended, polling=200, timeout=1000 * RUNS)
        failed = self.page.evaluate(FAILED)
        assert not failed, failed
        self.live = self.explorer(0)
        self.page.evaluate(LISTEN)

    def explorer(self, number):
        """One of its explorers, counted from 0."""
        root = self.page.locator(".explorer-live").nth(number)
        root.wait_for(timeout=1000 * PATIENCE)
        return Live(self.watched, root)

    def check_faultless(self):
        assert not self.watched.faults
        assert not self.page.evaluate("window.kernelFaults")

    def ask(self, code):
        """The value of an expression in the kernel, as text."""
        return self.page.evaluate(ASK, code)

    def value(self, code):
        """The value of an expression in the kernel: numbers, texts, lists, dicts."""
        return ast.literal_eval(self.ask(code))

    def until(self, condition, what, seconds=PATIENCE):
        """Waits until `condition()`; the seconds it took."""
        start = time.perf_counter()
        while not condition():
            waited = time.perf_counter() - start
            assert waited < seconds, f"not within {seconds} s: {what}"
            self.page.wait_for_timeout(10)
        return time.perf_counter() - start
