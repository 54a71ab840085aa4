"""InterMamba's training objective (Wu et al. 2025, section 4.5, equation 14).

It is InterGen's, of which the equation lists all but the affinity of joints, which only InterGen's
released code has. What is logged beside the losses: the fusion weights, as in figure 8.
"""

import torch
from torch import Tensor

from duomotion.losses.denoising import LossWeights
from duomotion.models.intermamba.network import Astm, InterMambaDenoiser

WEIGHTS = LossWeights(affinity=0.0)


def fusion_weights(denoiser: InterMambaDenoiser) -> dict[str, Tensor]:
    """Alpha and beta (equation 9): means over all modules, and over both people of each.

    Names are as "alpha", "alpha/1/own" and "beta/2/cross"; empty where nothing is fused.
    """
    named = {
        f"{number}/{kind}": _mean(getattr(module, kind))
        for number, module in enumerate(denoiser.blocks, 1)
        for kind in ("own", "cross")
    }
    found = {name: weights for name, weights in named.items() if weights is not None}
    if not found:
        return {}
    found = {"": torch.stack(list(found.values())).mean(0)} | found
    return {
        f"{symbol}/{name}".rstrip("/"): weights[index]
        for index, symbol in enumerate(("alpha", "beta"))
        for name, weights in found.items()
    }


def _mean(blocks: torch.nn.Module) -> Tensor | None:
    """(2,): of the people's modules, detached; None where there are none."""
    fused = [part.fusion.detach() for part in blocks.modules() if isinstance(part, Astm)]
    return torch.stack(fused).mean(0) if fused else None
