"""A linear code of each part of the body (ours): latents that hold motion before any training.

For little data. Convolutions that learn latents from a few hundred clips decode to motion that
shakes; the principal components of a part's frames, fitted in closed form, hold new motion as well
as known. The convolutions then learn what these miss.

Axes: P the 2 people, T frames, F features of a person, N latents in time, J joints, R numbers of a
joint's row, K parts, D numbers of a part's latent.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from duomotion.models.intermoe.graphs import SkeletonGraph, pooling_matrix
from duomotion.models.layers.patch_code import PatchCode, PatchCodeConfig
from duomotion.motion.layout import MapLayout

NOISE = 0.05  # deviation that latents start training with


class PartCode(nn.Module):
    """Normalised features of a person <-> the largest principal components of each part.

    A part's latent has zeros behind its components where it has fewer features.
    """

    order: Tensor

    def __init__(self, graph: SkeletonGraph, layout: MapLayout, frames: int, width: int) -> None:
        """Make an unfitted code.

        Args:
            frames: that a latent stands for.
            width: D.
        """
        super().__init__()
        self.width, self.features = width, part_features(graph, layout)
        order = torch.tensor([feature for own in self.features for feature in own]).argsort()
        self.register_buffer("order", order, persistent=False)
        self.codes = nn.ModuleList(
            PatchCode(PatchCodeConfig(patch=frames, size=min(width, frames * len(own))), len(own))
            for own in self.features
        )

    def encode(self, x_BTF: Tensor) -> Tensor:
        """(B, N, K, D) of whole latents."""
        found = []
        for own, code in self._parts():
            z_BNC = code.encode(x_BTF[:, None, :, own])[:, 0]
            found.append(F.pad(z_BNC, (0, self.width - z_BNC.shape[-1])))
        return torch.stack(found, 2)

    def decode(self, z_BNKD: Tensor) -> Tensor:
        """(B, T, F)."""
        made = [
            code.decode(z_BND[:, None, :, : code.config.size])[:, 0]
            for (_, code), z_BND in zip(self._parts(), z_BNKD.unbind(2), strict=True)
        ]
        return torch.cat(made, -1)[..., self.order]

    def fit(self, motions_PTF: Sequence[Tensor], importance_F: Tensor) -> None:
        """Take the components of motion; arguments are those of `PatchCode.fit`."""
        for own, code in self._parts():
            code.fit([x_PTF[..., own] for x_PTF in motions_PTF], importance_F[own])

    def _parts(self) -> Iterator[tuple[list[int], PatchCode]]:
        for own, code in zip(self.features, self.codes, strict=True):
            assert isinstance(code, PatchCode)
            yield own, code


def part_features(graph: SkeletonGraph, layout: MapLayout) -> list[list[int]]:
    """The features of each part's own joints, contacts included; every feature is of one part.

    A joint belongs to the part in which it has the largest share when the graph is pooled.
    """
    with torch.device("cpu"):  # a network that is loaded is made without numbers
        shares = torch.eye(graph.num_joints)
        for parents, groups in zip(graph.parents, graph.groups, strict=True):
            shares = pooling_matrix(groups, len(parents)) @ shares
    owner_J, count = shares.argmax(0).tolist(), len(graph.contacts)
    # Numbers from 1 on: rows have zeros where a joint has no such feature.
    rows_JR = layout.to_joint_map(np.arange(1, layout.num_features + 1))
    features: list[list[int]] = [[] for _ in range(graph.latent_joints)]
    for part, row_R in zip(owner_J, rows_JR.tolist(), strict=True):
        features[part] += [number - 1 for number in row_R if number]
    for feature, joint in enumerate(graph.contacts, layout.num_features - count):
        features[owner_J[joint]].append(feature)
    return features
