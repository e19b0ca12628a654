"""Runs all notebooks with the versions of a hosted notebook service (`make hosted`).

Such a service (Colab, Kaggle) has its own packages, which are older than those pinned
in pyproject.toml, and does not have this repository. So the notebooks run here in a
separate environment, build/hosted, in which the repository is not installed, and their
first cell has to find it. Cells that raise an error count as failures; outputs are not
compared. The log is build/hosted.log.
"""

import os
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build" / "hosted"
LOG = ROOT / "build" / "hosted.log"
VERSIONS = {  # what the service had on 2026-11-26; all else is pinned in pyproject.toml
    "numpy": "2.0.2",
    "pandas": "2.2.2",
    "matplotlib": "3.10.0",
    "ipywidgets": "7.7.1",
    "ipykernel": "6.17.1",
}
OWN = {"jupyterlab"}  # the service has a page of its own instead
# Outputs are not compared (lax), and the notebooks run one after the other.
TEST = ["-m", "pytest", "--nbval-lax", "--nbval-current-env", "-p", "no:cacheprovider"]
TEST += ["--nbval-kernel-startup-timeout", "600"]  # on a machine with other work, too


def requirements() -> list[str]:
    """The reader's packages, in the service's versions where it has them."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    found = []
    for pin in tomllib.loads(text)["project"]["dependencies"]:
        name, version = pin.split("==")
        if name not in OWN:
            found.append(f"{name}=={VERSIONS.get(name, version)}")
    return found


def python() -> Path:
    """The Python of the environment, which is made if necessary."""
    folder = "Scripts" if os.name == "nt" else "bin"
    path = FOLDER / folder / "python"
    if not path.exists():
        venv.create(FOLDER, with_pip=True)
    return path


def main(notebooks: list[str]) -> int:
    """Installs, runs the notebooks and writes the log; returns pytest's exit status."""
    path = python()
    print(f"Installing a hosted service's packages into {FOLDER}", flush=True)
    install = ["-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    subprocess.run([path, *install, *requirements()], check=True)
    environment = dict(os.environ)
    environment.pop("PYTHONPATH", None)  # the first cell has to find the modules
    options = {"cwd": ROOT, "env": environment, "encoding": "utf-8"}
    with LOG.open("w", encoding="utf-8") as log:
        freeze = [path, "-m", "pip", "freeze", "--disable-pip-version-check"]
        subprocess.run(freeze, check=True, stdout=log, **options)
    run = subprocess.Popen(
        [path, *TEST, *notebooks],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        **options,
    )
    with run, LOG.open("a", buffering=1, encoding="utf-8") as log:
        for line in run.stdout:
            print(line, end="", flush=True)
            log.write(line)
    print(f"The log is {LOG}")
    return run.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
