"""How fast a system generates, next to its reference procedure in the same run; start-up."""

import resource
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

import torch

from duomotion.defaults import DEFAULT_MODELS

SEED = 0
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


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measurement.

    Attributes:
        seconds: length of a clip.
        batch: clips at once.
        precision: "float32" or "bfloat16", of the networks that generate; those that make motion of
            tokens and the reference procedure are in float32.
        time: median seconds of one generation of the batch, text encoding excluded.
        reference: the same of the reference procedure; None where it was not run.
        difference: between what both made: the share of tokens that differ, or the largest
            difference of features; None where the reference one was not run.
        memory_gb: peak memory so far, of the process or on the GPU.
        variants: median seconds of other ways to generate the same, by what is different.
    """

    seconds: float
    batch: int
    precision: str
    time: float
    reference: float | None
    difference: float | None
    memory_gb: float
    variants: Mapping[str, float] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        return None if self.reference is None else self.reference / self.time


class Bench(ABC):
    """A system at a size, with random weights: speed does not depend on them."""

    device: torch.device = torch.device("cpu")
    dtype: torch.dtype = torch.float32  # of the weights

    @abstractmethod
    def generate(self, seconds: float, batch: int, *, reference: bool = False) -> torch.Tensor:
        """Clips (batch, ...): their tokens, which are decoded to features as well, or features."""

    @property
    def variants(self) -> Mapping[str, Callable[[float, int], torch.Tensor]]:
        """Other ways to generate that are timed too, by what is different, as `generate`."""
        return {}

    def row(self, seconds: float, batch: int, *, repeats: int, reference: bool) -> Row:
        """Measure one setting; fast and reference runs take turns, so that noise meets both."""
        ours = Timer(lambda: self.generate(seconds, batch))
        theirs = Timer(lambda: self.generate(seconds, batch, reference=True), run=reference)
        others = {
            name: Timer(partial(make, seconds, batch)) for name, make in self.variants.items()
        }
        for _ in range(repeats):
            for timer in (ours, theirs, *others.values()):
                timer.again()
        return Row(
            seconds=seconds,
            batch=batch,
            precision=str(self.dtype).removeprefix("torch."),
            time=ours.median,
            reference=theirs.median if reference else None,
            difference=difference(ours.result, theirs.result) if reference else None,
            memory_gb=peak_memory_gb(self.device),
            variants={name: timer.median for name, timer in others.items()},
        )

    def picture(self, row: Row) -> bytes | None:
        """A PNG of a measurement; None where there is nothing to see."""
        return None

    def profile(self, seconds: float, batch: int) -> str:
        """A table of the operators that take most of one generation's time."""
        self.generate(seconds, batch)
        with torch.profiler.profile() as profiler:
            self.generate(seconds, batch)
        return profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=12)


def difference(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Share of whole numbers that differ, or the largest difference of others."""
    if ours.is_floating_point():
        return float((ours - theirs).abs().max())
    return float((ours != theirs).float().mean())


def random_texts(batch: int, dim: int, device: torch.device) -> torch.Tensor:
    return torch.randn(batch, dim, generator=torch.Generator().manual_seed(SEED)).to(device)


def seeded(batch: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(batch)]


class Timer:
    """Calls a function once to warm up, and times it each time it is called again."""

    def __init__(self, function: Callable[[], torch.Tensor], *, run: bool = True) -> None:
        self.function, self.run, self.times = function, run, []
        self.result = function() if run else torch.empty(0)

    def again(self) -> None:
        if self.run:
            start = time.perf_counter()
            self.function()
            self.times.append(time.perf_counter() - start)

    @property
    def median(self) -> float:
        return median(self.times)


def peak_memory_gb(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    return resident_peak_gb()


def resident_peak_gb() -> float:
    """The most memory that this process has held.

    On Linux as the kernel counts it for the process itself: `getrusage` starts with what its parent
    held when it was made.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e9
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


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
