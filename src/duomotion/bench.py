"""Speed of systems, for a person: tables, start-up, the machine."""

import platform
import subprocess
import sys
from dataclasses import asdict
from statistics import median

import torch

from duomotion.defaults import DEFAULT_MODELS
from duomotion.models.timing import Row

START = """
import time
start = time.perf_counter()
import duomotion
model = duomotion.load({model!r})
model.generate("two people shake hands", seconds=3)
seconds = time.perf_counter() - start
from duomotion.models.timing import resident_peak_gb
print(seconds, resident_peak_gb())
"""


def start_up(model: str = DEFAULT_MODELS[2], *, repeats: int = 3) -> tuple[float, float]:
    """Seconds from import to the first clip of 3 s in a fresh process, and its peak memory in GB.

    Medians; the first process warms the disk up and does not count.
    """
    runs = []
    for _ in range(repeats + 1):
        done = subprocess.run(
            [sys.executable, "-c", START.format(model=model)],
            check=True,
            capture_output=True,
            text=True,
        )
        runs.append([float(number) for number in done.stdout.split()[-2:]])
    seconds, memory = zip(*runs[1:], strict=True)
    return median(seconds), median(memory)


def machine(device: torch.device) -> dict[str, str | int]:
    """What the numbers were measured on."""
    from duomotion.checkpoint import environment

    return {**environment(device), "threads": torch.get_num_threads(), "system": platform.machine()}


def table(rows: list[Row]) -> str:
    """Markdown."""
    lines = [
        "| clip s | batch | precision | s/batch | s/clip | reference s/batch | times faster "
        "| difference | peak GB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        reference = "" if row.reference is None else f"{row.reference:.2f}"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        off = "" if row.difference is None else f"{row.difference:.2g}"
        lines.append(
            f"| {row.seconds:g} | {row.batch} | {row.precision} | {row.time:.3f} "
            f"| {row.time / row.batch:.3f} | {reference} | {ratio} | {off} | {row.memory_gb:.2f} |"
        )
    lines += [
        f"\n{name}, {row.seconds:g} s, batch {row.batch}: {time:.3f} s/batch, "
        f"{time / row.time:.1f} times as long"
        for row in rows
        for name, time in row.variants.items()
    ]
    return "\n".join(lines)


def as_dict(rows: list[Row], device: torch.device) -> dict[str, object]:
    return {"machine": machine(device), "rows": [asdict(row) for row in rows]}
