"""What is installed: every file that the package needs, its licence, what it says of itself."""

import tomllib
from fnmatch import fnmatch
from pathlib import Path

import duomotion

SOURCE = Path(duomotion.__file__).parent
ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_every_file_is_in_the_wheel():
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["duomotion"]
    files = [path for path in SOURCE.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    left_out = [
        str(path)
        for path in files
        if path.suffix != ".py"
        and not any(fnmatch(path.name, pattern.removeprefix("**/")) for pattern in patterns)
    ]
    assert left_out == []
    for folder in {path.parent for path in files if path.suffix == ".py"}:
        assert (folder / "__init__.py").is_file(), f"{folder} is no package"


def test_licences_are_in_the_wheel():
    assert set(PROJECT["project"]["license-files"]) >= {"LICENSE", "THIRD_PARTY.md"}
    assert all((ROOT / name).is_file() for name in PROJECT["project"]["license-files"])
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    assert all(name in dockerfile for name in PROJECT["project"]["license-files"])


def test_the_version_is_said_once():
    assert PROJECT["project"]["version"] == duomotion.__version__
