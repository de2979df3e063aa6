"""environment.yml, pyproject.toml and requirements.lock hold the same set."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WANTED = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]]
OWNERS_SET = {
    "jupyterlab", "pandas", "polars", "numba", "vectorbt", "ipywidgets", "plotly", "kiteconnect", "breeze-connect",
    "papermill", "pytest", "nbval",
}  # fmt: skip


def _name(requirement: str) -> str:
    return re.split(r"[<>=!~ ;\[]", requirement)[0].lower().replace("_", "-")


def test_conda_environment_holds_what_pyproject_names():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    pip = next(part["pip"] for part in conda["dependencies"] if isinstance(part, dict))
    assert sorted(pip) == sorted([*WANTED, "-e ."])


def test_lock_holds_every_direct_package_with_hashes():
    lock = (ROOT / "requirements.lock").read_text()
    locked = {_name(line) for line in lock.splitlines() if re.match(r"[a-z0-9]", line)}
    assert {_name(r) for r in WANTED} <= locked
    pins = [line for line in lock.splitlines() if re.match(r"[a-z0-9]", line)]
    assert all("==" in line and line.rstrip().endswith("\\") for line in pins)
    assert not re.search(r"https?://|file:", lock), "the lock names no download address"


def test_owners_packages_are_in_the_default_environment():
    assert {_name(r) for r in WANTED} >= OWNERS_SET
