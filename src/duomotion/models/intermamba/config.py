"""Sizes and settings of InterMamba, and its ablations as switches."""

from dataclasses import dataclass
from typing import Literal, TypedDict

from duomotion.config import Count, Length, Size
from duomotion.models.pair_denoiser import PairDenoiserConfig

SpatialAxis = Literal["channels", "joints"]


class BranchSizes(TypedDict):
    """Arguments of `scan_branch.ScanBranch`."""

    expand: int
    head_width: int
    kernel: int
    state_size: int
    bidirectional: bool


@dataclass(frozen=True, kw_only=True)
class InterMambaConfig(PairDenoiserConfig):
    """InterMamba's denoiser; defaults are the paper's, and InterGen's where it gives none.

    Attributes:
        spatial_axis: "joints": a frame's channels are `num_joints` tokens (figure 3); "channels":
            frames and features change places (equation 8), so that linear layers act on all
            `max_frames` frames.
        max_frames: of a clip made in one piece. With "channels" the network has this length, and
            shorter clips are padded to it; with "joints" only how long a clip may be depends on it.
        self_astm, cross_astm: False: InterGen's attention in their place (table 5).
        liia: False: B, C and the step sizes of Cross-ASTM come from the partner (table 5).
        temporal, spatial: branches of each module; one at least (table 4: without `temporal`).
        adaptive: False: both branches have the weight that they start with (table 4).
    """

    num_modules: Count = 2  # section 5.1; UltraLight has 1
    state_size: Size = 16  # section 5.1
    expand: Count = 2  # Mamba's; widths of a branch's scan over those of its tokens
    kernel: Count = 3  # not in the paper; places that the convolution before a scan covers
    head_width: Size = 64  # Mamba-2's; channels, at most, that share A and the step size
    spatial_axis: SpatialAxis = "joints"
    num_joints: Size = 22
    max_frames: Length = 300
    share_weights: bool = False  # ours; True: one module for both people, as in InterGen
    bidirectional: bool = False  # ours; True: each branch scans in both directions
    self_astm: bool = True
    cross_astm: bool = True
    liia: bool = True
    temporal: bool = True
    spatial: bool = True
    adaptive: bool = True
    num_heads: Count = 8  # InterGen's, of the attention in the place of a module

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.temporal and not self.spatial:
            raise ValueError("temporal and spatial can't both be false: one branch is needed")
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, not {self.kernel}")
        if self.num_joints > self.width:
            raise ValueError(
                f"num_joints must be at most the width {self.width}, not {self.num_joints}"
            )
        if self.spatial_axis == "channels" and self.max_frames % self.patch:
            raise ValueError(
                f"max_frames {self.max_frames} must be a multiple of patch {self.patch}"
            )
        if not (self.self_astm and self.cross_astm) and self.width % self.num_heads:
            raise ValueError(f"width {self.width} must be a multiple of num_heads {self.num_heads}")

    @property
    def branch_sizes(self) -> BranchSizes:
        """What all branches have."""
        return {
            "expand": self.expand,
            "head_width": self.head_width,
            "kernel": self.kernel,
            "state_size": self.state_size,
            "bidirectional": self.bidirectional,
        }

    @property
    def window(self) -> int:
        """Places (frames, or patches of them) of `max_frames`."""
        return self.max_frames // self.patch
