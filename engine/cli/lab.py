"""`workbench lab`: JupyterLab in the project folder, with this environment's kernel."""

import subprocess
import sys

from engine.params import project_folder


def run_lab(port: int, browser: bool) -> None:
    """Run JupyterLab in the foreground until it is stopped."""
    command = [sys.executable, "-m", "jupyterlab", f"--port={port}", f"--notebook-dir={project_folder()}"]
    if not browser:
        command.append("--no-browser")
    sys.exit(subprocess.call(command))  # noqa: S603 - our own interpreter with fixed words
