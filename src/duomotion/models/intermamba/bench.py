"""What `duomotion bench intermamba` and `intermamba-scan` time, with random weights."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from functools import cached_property, partial
from io import BytesIO

import torch
from torch import Tensor, nn

from duomotion.distributed import synchronize
from duomotion.models.base import FPS
from duomotion.models.intermamba.config import InterMambaConfig
from duomotion.models.intermamba.network import InterMambaDenoiser
from duomotion.models.intermamba.reference import ReferenceDenoiser, reference_branch
from duomotion.models.intermamba.scan_branch import ScanBranch
from duomotion.models.layers.acceleration import accelerate
from duomotion.models.layers.attention import Attention
from duomotion.models.pair_bench import PairDenoiserBench
from duomotion.models.timing import SEED, Bench, Row
from duomotion.precision import Precision, weight_type

LENGTHS = (64, 128, 256, 512, 1024, 2048, 4096)  # frames


class InterMambaBench(PairDenoiserBench):
    """InterMamba at the paper's size, UltraLight, and both over channels."""

    denoiser_of = InterMambaDenoiser
    reference_of = ReferenceDenoiser
    config: InterMambaConfig

    def __init__(
        self,
        config: InterMambaConfig | None = None,
        *,
        precision: Precision = "auto",
        device: str = "cpu",
    ) -> None:
        super().__init__(config or InterMambaConfig(), precision=precision, device=device)

    @cached_property
    def variants(self) -> Mapping[str, Callable[[float, int], Tensor]]:
        light = replace(self.config, num_modules=1)
        others = {
            "UltraLight": light,
            "over channels": replace(self.config, spatial_axis="channels"),
            "UltraLight over channels": replace(light, spatial_axis="channels"),
        }
        return {name: self.variant(config) for name, config in others.items()}


class ScanBench(Bench):
    """A scan over time of one person, beside an attention of the same width.

    The scan is a temporal branch with its projections, convolution and layer norm; the attention
    has its projections. The reference procedure is the recurrence. Variants are both over
    `LENGTHS`, however long clips are.
    """

    def __init__(
        self,
        config: InterMambaConfig | None = None,
        *,
        precision: Precision = "auto",
        device: str = "cpu",
    ) -> None:
        torch.manual_seed(SEED)
        self.config = config or InterMambaConfig()
        width, self.device = self.config.width, torch.device(device)
        self.dtype = weight_type(precision, self.device, width)
        self.scan = ScanBranch(width, crossed=False, **self.config.branch_sizes)
        self.attention = Attention(width, self.config.num_heads)
        for layer in (self.scan, self.attention):
            layer.to(self.device, self.dtype)
        self.fast_scan, self.fast_attention = (
            accelerate(deepcopy(layer)) for layer in (self.scan, self.attention)
        )

    def generate(self, seconds: float, batch: int, *, reference: bool = False) -> Tensor:
        frames = round(seconds * FPS)
        if not reference:
            return self.made(self.fast_scan, frames, batch).float()
        with torch.no_grad():
            made = reference_branch(self.scan, self.inputs(frames, batch), None)
        synchronize(self.device)
        return made.float()

    @property
    def variants(self) -> Mapping[str, Callable[[float, int], Tensor]]:
        def timed(layer: nn.Module, frames: int, _: float, batch: int) -> Tensor:
            return self.made(layer, frames, batch)

        layers = {"scan": self.fast_scan, "attention": self.fast_attention}
        return {
            f"{name} over {frames:,} frames": partial(timed, layer, frames)
            for frames in LENGTHS
            for name, layer in layers.items()
        }

    def picture(self, row: Row) -> bytes:
        """Times, and what is kept for the backward pass, against the length."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 3.6), layout="constrained")
        times, memory = figure.subplots(1, 2)
        for name, layer in (("scan", self.scan), ("attention", self.attention)):
            seconds = [row.variants[f"{name} over {frames:,} frames"] for frames in LENGTHS]
            kept = [self.kept_bytes(layer, frames) / 1e6 for frames in LENGTHS]
            times.plot(LENGTHS, [1000 * each for each in seconds], marker="o", label=name)
            memory.plot(LENGTHS, kept, marker="o", label=name)
        times.set(ylabel="ms")
        memory.set(ylabel="MB kept for the backward pass")
        for axes in (times, memory):
            axes.set(xlabel="frames", xscale="log", yscale="log")
            axes.set_xticks(LENGTHS, [f"{frames:,}" for frames in LENGTHS])
            axes.minorticks_off()
            axes.grid(alpha=0.3)
            axes.legend()
        drawn = BytesIO()
        figure.savefig(drawn, format="png", dpi=110)
        return drawn.getvalue()

    def inputs(self, frames: int, batch: int = 1) -> Tensor:
        """(B, T, D), standard normal."""
        rng = torch.Generator().manual_seed(SEED)
        x_BTD = torch.randn(batch, frames, self.config.width, generator=rng)
        return x_BTD.to(self.device, self.dtype)

    @torch.no_grad()
    def made(self, layer: nn.Module, frames: int, batch: int = 1) -> Tensor:
        """What a layer makes of that many frames."""
        made = called(layer, self.inputs(frames, batch))
        synchronize(self.device)
        return made

    def kept_bytes(self, layer: nn.Module, frames: int, batch: int = 1) -> int:
        """Bytes of what a layer keeps for its backward pass, weights left out."""
        weights = {parameter.untyped_storage().data_ptr() for parameter in layer.parameters()}
        kept: dict[int, int] = {}

        def note(x: Tensor) -> Tensor:
            storage = x.untyped_storage()
            if storage.data_ptr() not in weights:
                kept[storage.data_ptr()] = storage.nbytes()
            return x

        x_BTD = self.inputs(frames, batch)
        with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
            called(layer, x_BTD)
        return sum(kept.values())


def called(layer: nn.Module, x_BTD: Tensor) -> Tensor:
    """What a branch or an attention makes of features alone."""
    return layer(x_BTD, None, None) if isinstance(layer, ScanBranch) else layer(x_BTD)
