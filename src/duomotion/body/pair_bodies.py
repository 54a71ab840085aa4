"""Two bodies that samplers keep apart: capsules, or SMPL's volumes where these are installed.

Axes: B samples, P the 2 people, T frames, F features.
"""

from typing import Protocol

from torch import Tensor

from duomotion.body.capsules import body_capsules, depths
from duomotion.motion.layout import MapLayout
from duomotion.motion.skeleton import Skeleton

CAPSULES = "capsules"


class PairBodies(Protocol):
    """What measures how deep two people's bodies are in each other.

    Attributes:
        shallow: a depth so small that bodies only touch.
    """

    @property
    def shallow(self) -> float: ...

    def depths(self, features_BPTF: Tensor) -> Tensor:
        """(B,) metres added up, mean over frames, with gradients; features of the layout."""
        ...


class CapsuleBodies:
    """Capsules around the joints; metres over all pairs of capsules, hands aside."""

    shallow = 0.02

    def __init__(self, layout: MapLayout, skeleton: Skeleton) -> None:
        self.layout, self.capsules = layout, body_capsules(skeleton)

    def depths(self, features_BPTF: Tensor) -> Tensor:
        one, other = self.layout.positions(features_BPTF).unbind(1)
        return depths(self.capsules, self.capsules, (one, other)).mean(1)


def pair_bodies(name: str, layout: MapLayout, skeleton: Skeleton) -> PairBodies:
    """Bodies by name.

    Args:
        name: `CAPSULES`, or the file of an SMPL model (`smpl_volumes`).

    Raises:
        ValueError: the file or the packages that read it are missing, or it is of another kind.
    """
    if name == CAPSULES:
        return CapsuleBodies(layout, skeleton)
    from duomotion.body.smpl_volumes import SmplVolumes

    return SmplVolumes.load(name, layout)
