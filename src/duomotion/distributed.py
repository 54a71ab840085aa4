"""Several processes that train one network, started by torchrun; the network isn't aware of it."""

import atexit
import datetime
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, distributed, nn

DEVICES = ("cpu", "cuda", "mps", "xpu")  # the kinds on which PyTorch computes
# The other processes wait in a reduction while the first one validates and saves.
_PATIENCE = datetime.timedelta(hours=6)


@dataclass(frozen=True)
class Processes:
    """This process's place among `size` processes, and its device."""

    device: torch.device
    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def shares(self, micro_batches: int) -> list[Callable[[int], slice]]:
        """Which of a batch's clips are in each of this process's micro-batches, by their number.

        N processes with M micro-batches each share a batch as one process with N M does.
        """
        first, parts = self.rank * micro_batches, self.size * micro_batches
        return [partial(share, index=first + k, parts=parts) for k in range(micro_batches)]

    def average(self, parameters: Sequence[nn.Parameter], values: Tensor, weight: float) -> None:
        """Replace gradients and `values`, both in place, by their means over the processes.

        A parameter without a gradient in every process keeps having none.

        Args:
            weight: how much this process's gradients and values count: the clips that they are
                means over.
        """
        if self.size == 1:
            return
        used = values.new_tensor([parameter.grad is not None for parameter in parameters])
        gradients = [
            torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            for parameter in parameters
        ]
        everything = [values.new_ones(1), values, used, *gradients]
        flat = torch.cat([tensor.flatten() for tensor in everything]).mul_(weight)
        distributed.all_reduce(flat)
        _, *parts = flat.div_(flat[0].clone()).split([tensor.numel() for tensor in everything])
        values.copy_(parts[0])
        for parameter, is_used, part in zip(parameters, parts[1].tolist(), parts[2:], strict=True):
            parameter.grad = part.view_as(parameter) if is_used else None

    def any(self, flag: bool) -> bool:
        """Whether `flag` is true in any process."""
        if self.size == 1:
            return flag
        found = torch.tensor([int(flag)], device=self.device)
        distributed.all_reduce(found, distributed.ReduceOp.MAX)
        return bool(found.item())

    def copy_from_first(self, tensors: Sequence[Tensor]) -> None:
        """Make `tensors` what they are in the first process, in place."""
        if self.size == 1:
            return
        # In the same order in every process, which a set's would not be.
        for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
            own = [tensor for tensor in tensors if tensor.dtype == dtype]
            flat = torch.cat([tensor.flatten() for tensor in own])
            distributed.broadcast(flat, 0)
            for tensor, part in zip(own, flat.split([each.numel() for each in own]), strict=True):
                tensor.copy_(part.view_as(tensor))

    @contextmanager
    def decided_by_first(self) -> Iterator[None]:
        """Where the first process fails within, the others end as well.

        Raises:
            SystemExit: status 2, in the others.
        """
        failed = torch.ones(1, device=self.device)
        try:
            yield
            failed.zero_()
        finally:
            self.copy_from_first([failed])
        if failed.item():
            raise SystemExit(2)

    def wait(self) -> None:
        """Until every process has come here."""
        if self.size > 1:
            distributed.barrier()


def is_distributed() -> bool:
    """Whether other processes train along."""
    return distributed.is_available() and distributed.is_initialized()


def sum_over_ranks(tensor: Tensor) -> Tensor:
    """Add up over all processes, in place."""
    if is_distributed():
        distributed.all_reduce(tensor)
    return tensor


def share(count: int, *, index: int, parts: int) -> slice:
    """Part `index` of `count` clips, at least one clip.

    Where there are fewer clips than parts, some parts are the same clip.
    """
    if count < parts:
        return slice(index % count, index % count + 1)
    return slice(count * index // parts, count * (index + 1) // parts)


def find_device(name: str) -> torch.device:
    """The device called `name`.

    Raises:
        ValueError: there is none.
    """
    kind = name.partition(":")[0]
    if kind not in DEVICES:
        raise ValueError(f"there is no device {name!r}; choose {', '.join(DEVICES)}")
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"the device {name!r} can't be used: PyTorch finds no CUDA GPU here; choose cpu"
        )
    try:
        torch.empty(0, device=name)
    except RuntimeError as problem:
        reason = str(problem).partition("\n")[0].rstrip(".")
        raise ValueError(f"the device {name!r} can't be used: {reason}") from None
    return torch.device(name)


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was asked."""
    if device.type != "cpu":
        torch.get_device_module(device).synchronize()


def connect(device: str | None = None) -> Processes:
    """Join the processes that torchrun started, or be the only one.

    Args:
        device: "cpu", "cuda" or such; None: CUDA where it is available. Under torchrun each process
            of a machine takes the CUDA device of its local rank.

    Raises:
        ValueError: there is no such device.
    """
    name = device or ("cuda" if torch.cuda.is_available() else "cpu")
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return Processes(find_device(name))
    if name.startswith("cuda"):
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    kind = find_device(name)
    if kind.type == "cuda":
        torch.cuda.set_device(kind)
    if not distributed.is_initialized():
        backend = "nccl" if kind.type == "cuda" else "gloo"
        distributed.init_process_group(backend, timeout=_PATIENCE)
        atexit.register(distributed.destroy_process_group)
    return Processes(kind, distributed.get_rank(), size)
