"""Before notebooks are run: are their kernels there, and the fonts that they draw?"""

import importlib
import os
from pathlib import Path

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel


def runs_notebooks(config) -> bool:
    return config.getoption("nbval", False) or config.getoption("nbval_lax", False)


def pytest_configure(config):
    """Finds the fonts now: at a first start, a cell would warn that this takes long."""
    if runs_notebooks(config) and "PYTEST_XDIST_WORKER" not in os.environ:
        importlib.import_module("matplotlib.font_manager")


def stored_kernel(path: Path) -> str:
    """The kernel that a notebook asks for."""
    metadata = nbformat.read(path, as_version=4).metadata
    return metadata.get("kernelspec", {}).get("name", "python3")


def pytest_collection_modifyitems(config, items):
    """One message about kernels that are not there, and not one for each cell."""
    if not runs_notebooks(config):
        return
    if config.option.nbval_current_env or config.option.nbval_kernel_name:
        return
    missing = []
    for path in sorted({item.path for item in items if item.path.suffix == ".ipynb"}):
        kernel = stored_kernel(path)
        try:
            KernelSpecManager().get_kernel_spec(kernel)
        except NoSuchKernel:
            missing.append(f"{path.name} asks for {kernel!r}")
    if missing:
        cure = "add --nbval-current-env, or choose Python 3 in JupyterLab and save"
        raise pytest.UsageError(f"no such kernel here: {', '.join(missing)}; {cure}")
