"""How fast models generate, next to the literal procedure in the same run."""

import platform
import resource
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import cast

import torch

from duomotion.models.intermask import decoding as intermask_decoding
from duomotion.models.intermask.codec import MotionCodec
from duomotion.models.intermask.config import TokenizerConfig
from duomotion.models.intermask.generator_config import GeneratorConfig
from duomotion.models.intermask.literal import LiteralTransformer
from duomotion.models.intermask.network import InterMTransformer
from duomotion.models.layers.acceleration import accelerate
from duomotion.models.momask import decoding as momask_decoding
from duomotion.models.momask.codec import ResidualCodec
from duomotion.models.momask.config import MaskedConfig, ResidualConfig, ResidualTokenizerConfig
from duomotion.models.momask.literal import LiteralMoMask
from duomotion.models.momask.network import MaskedTransformer, ResidualTransformer
from duomotion.precision import Precision, weight_type
from duomotion.sampling.request import FPS

SEED = 0


@dataclass(frozen=True, kw_only=True)
class Row:
    """One measurement.

    Attributes:
        seconds: length of a clip.
        batch: clips at once.
        precision: "float32" or "bfloat16", of the networks that choose tokens; those that make
            motion of them and the literal procedure are in float32.
        time: median seconds of one generation of the batch, text encoding excluded.
        literal: the same of the literal procedure; None where it was not run.
        same_tokens: whether both chose the same tokens; None where the literal one was not run.
        memory_gb: peak memory so far, of the process or on the GPU.
    """

    seconds: float
    batch: int
    precision: str
    time: float
    literal: float | None
    same_tokens: bool | None
    memory_gb: float

    @property
    def ratio(self) -> float | None:
        return None if self.literal is None else self.literal / self.time


class Bench(ABC):
    """A system at a size, with random weights: speed does not depend on them."""

    device: torch.device
    kind: torch.dtype  # of the weights

    @abstractmethod
    def generate(self, seconds: float, batch: int, *, literal: bool = False) -> torch.Tensor:
        """Tokens (batch, ...) of clips, which are decoded to features as well."""

    def row(self, seconds: float, batch: int, *, repeats: int, literal: bool) -> Row:
        """Measure one setting; fast and literal runs take turns, so that noise meets both."""
        ours = timed(lambda: self.generate(seconds, batch))
        theirs = timed(lambda: self.generate(seconds, batch, literal=True), run=literal)
        for _ in range(repeats):
            ours.again()
            theirs.again()
        return Row(
            seconds=seconds,
            batch=batch,
            precision=str(self.kind).removeprefix("torch."),
            time=ours.median,
            literal=theirs.median if literal else None,
            same_tokens=bool(torch.equal(ours.result, theirs.result)) if literal else None,
            memory_gb=peak_memory_gb(self.device),
        )

    def profile(self, seconds: float, batch: int) -> str:
        """A table of the operators that take most of one generation's time."""
        self.generate(seconds, batch)
        with torch.profiler.profile() as profiler:
            self.generate(seconds, batch)
        return profiler.key_averages().table(sort_by="self_cpu_time_total", row_limit=12)


class InterMaskBench(Bench):
    """InterMask.

    Modulations start at zero in training; here they get random values, or nothing would depend on
    text and attention.
    """

    def __init__(
        self,
        transformer: GeneratorConfig | None = None,
        tokenizer: TokenizerConfig | None = None,
        *,
        precision: Precision = "auto",
        device: str = "cpu",
    ) -> None:
        torch.manual_seed(SEED)
        self.device = torch.device(device)
        self.transformer = InterMTransformer(transformer or GeneratorConfig())
        for modulation in [*self.transformer.modulations, self.transformer.output_modulation]:
            for parameter in modulation.parameters():
                torch.nn.init.normal_(parameter, std=0.02)
        self.transformer = self.transformer.to(self.device).eval()
        self.literal = LiteralTransformer(self.transformer)
        self.kind = weight_type(precision, self.device, self.transformer.config.width)
        accelerate(self.transformer.to(self.kind))
        self.codec = accelerate(MotionCodec(tokenizer or TokenizerConfig()).to(self.device))

    @torch.no_grad()
    def generate(self, seconds: float, batch: int, *, literal: bool = False) -> torch.Tensor:
        length = round(seconds * FPS) // self.codec.tokenizer.downsampling
        model = cast(InterMTransformer, self.literal if literal else self.transformer)
        ids_BPN = intermask_decoding.decode_tokens(
            model,
            _texts(batch, model.config.text_dim, self.device),
            torch.full((batch,), length, device=self.device),
            generator=_generators(batch),
        )
        self.codec.decode(ids_BPN.flatten(0, 1))
        _synchronize(self.device)
        return ids_BPN


class MoMaskBench(Bench):
    """MoMask on HumanML3D, 20 frames a second."""

    def __init__(
        self,
        masked: MaskedConfig | None = None,
        residual: ResidualConfig | None = None,
        tokenizer: ResidualTokenizerConfig | None = None,
        *,
        precision: Precision = "auto",
        device: str = "cpu",
    ) -> None:
        torch.manual_seed(SEED)
        self.device = torch.device(device)
        self.masked = MaskedTransformer(masked or MaskedConfig()).to(self.device).eval()
        self.residual = ResidualTransformer(residual or ResidualConfig()).to(self.device).eval()
        self.literal = LiteralMoMask(self.masked, self.residual)
        self.kind = weight_type(precision, self.device, self.masked.config.width)
        accelerate(self.masked.to(self.kind))
        accelerate(self.residual.to(self.kind))
        self.codec = accelerate(
            ResidualCodec(tokenizer or ResidualTokenizerConfig()).to(self.device)
        )

    @torch.no_grad()
    def generate(self, seconds: float, batch: int, *, literal: bool = False) -> torch.Tensor:
        length = round(seconds * self.codec.layout.FPS) // self.codec.tokenizer.downsampling
        lengths_B = torch.full((batch,), length, device=self.device)
        text_BC = _texts(batch, self.masked.config.text_dim, self.device)
        if literal:
            ids_BNQ = self.literal.decode_tokens(text_BC, lengths_B, generator=_generators(batch))
        else:
            ids_BNQ = momask_decoding.decode_tokens(
                self.masked,
                text_BC,
                lengths_B,
                residual=self.residual,
                generator=_generators(batch),
            )
        self.codec.decode(ids_BNQ)
        _synchronize(self.device)
        return ids_BNQ


BENCHES: dict[str, type[InterMaskBench] | type[MoMaskBench]] = {
    "intermask": InterMaskBench,
    "momask": MoMaskBench,
}


def _texts(batch: int, dim: int, device: torch.device) -> torch.Tensor:
    return torch.randn(batch, dim, generator=torch.Generator().manual_seed(SEED)).to(device)


def _generators(batch: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(batch)]


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class timed:  # noqa: N801
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


START = """
import time
start = time.perf_counter()
import duomotion
model = duomotion.load({model!r})
model.generate("two people shake hands", seconds=3)
seconds = time.perf_counter() - start
from duomotion.bench import resident_peak_gb
print(seconds, resident_peak_gb())
"""


def start_up(model: str = "intermask-open", *, repeats: int = 3) -> tuple[float, float]:
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
        "| clip s | batch | precision | s a batch | s a clip | literal s a batch | times faster "
        "| same tokens | peak GB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        literal = "" if row.literal is None else f"{row.literal:.2f}"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        same = "" if row.same_tokens is None else ("yes" if row.same_tokens else "no")
        lines.append(
            f"| {row.seconds:g} | {row.batch} | {row.precision} | {row.time:.3f} "
            f"| {row.time / row.batch:.3f} | {literal} | {ratio} | {same} | {row.memory_gb:.2f} |"
        )
    return "\n".join(lines)


def as_dict(rows: list[Row], device: torch.device) -> dict[str, object]:
    return {"machine": machine(device), "rows": [asdict(row) for row in rows]}
