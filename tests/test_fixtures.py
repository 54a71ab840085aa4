"""Parity tests run with any fixtures: on a set of other sizes they pass too."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from make_fixtures import make_fixtures

TESTS = Path(__file__).parent
READERS = (
    "parity_*",
    "import_official",
    "import_momask",
    "length",
    "losses",
    "metrics",
    "quantize",
)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_other_sizes_pass_too(tmp_path):
    """Those tests whose parameter is a fixture, or whose name says that they compare with one."""
    folder = tmp_path / "fixtures"
    make_fixtures(folder, seed=3)
    names = [path.stem for path in folder.glob("*.json")]
    chosen = " or ".join(f"{name}{end}" for name in names for end in "-]")
    files = [str(path) for reader in READERS for path in TESTS.glob(f"test_{reader}.py")]
    options = ["-n", "0", "-p", "no:cacheprovider", "-k", f"recorded or {chosen}"]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *files],
        env={**os.environ, "DUOMOTION_PARITY_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-1000:]
