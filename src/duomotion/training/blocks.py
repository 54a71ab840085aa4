"""What is done from outside to the repeated blocks of a network, to save memory or time.

Blocks are the members of lists that are called `blocks`. Names of weights stay as they are.
"""

from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint


def checkpoint_activations(network: nn.Module) -> None:
    """Keep no activations within blocks; the backward pass recomputes them (Chen et al. 2016).

    Raises:
        ValueError: the network has no blocks.
    """
    for block in _blocks(network, "optim.activation_checkpointing"):
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)


def compile_blocks(network: nn.Module) -> None:
    """Compile each block for the shapes that it meets (`torch.compile`).

    Raises:
        ValueError: the network has no blocks.
    """
    for block in _blocks(network, "optim.compile"):
        block.compile()


def _blocks(network: nn.Module, asked: str) -> list[nn.Module]:
    blocks = [
        block
        for name, module in network.named_modules()
        if name.rpartition(".")[-1] == "blocks" and isinstance(module, nn.ModuleList)
        for block in module
    ]
    if not blocks:
        raise ValueError(f"{asked} has to be false: this network has no repeated blocks")
    return blocks
