"""Parity tests run with any fixtures: on a set of other sizes they pass too."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from make_fixtures import make_fixtures

TESTS = Path(__file__).parent
READ_FIXTURES = (
    "features",
    "length",
    "losses",
    "metrics",
    "quantize",
    "import_official",
    "import_momask",
)


@pytest.mark.timeout(600)
def test_other_sizes_pass_too(tmp_path):
    make_fixtures(tmp_path / "fixtures", seed=3)
    files = [
        *TESTS.glob("test_parity_*.py"),
        *(TESTS / f"test_{name}.py" for name in READ_FIXTURES),
    ]
    options = ["-p", "no:cacheprovider", "-n", "0", "--basetemp", str(tmp_path / "run")]
    chosen = "parity or official or recorded or gives or round_trip or features"
    command = [sys.executable, "-m", "pytest", *options, "-k", chosen, *map(str, files)]
    environment = {**os.environ, "DUOMOTION_PARITY_DIR": str(tmp_path / "fixtures")}
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-1000:]
