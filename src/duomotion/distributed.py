"""Several processes that train one network, started by torchrun; the network isn't aware of it."""

import atexit
import datetime
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

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

    def share(self, count: int) -> slice:
        """This process's part of a global batch of `count` clips.

        Raises:
            ValueError: there are fewer clips than processes.
        """
        if count < self.size:
            raise ValueError(
                f"a batch of {count} clips can't be spread over {self.size} processes: "
                f"use fewer processes or leave out the last, smaller batch of an epoch"
            )
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def average(self, parameters: Sequence[nn.Parameter], values: Tensor) -> None:
        """Replace gradients and `values`, both in place, by their means over the processes.

        A parameter without a gradient in every process keeps having none.
        """
        if self.size == 1:
            return
        used = values.new_tensor([parameter.grad is not None for parameter in parameters])
        gradients = [
            torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            for parameter in parameters
        ]
        everything = [values, used, *gradients]
        flat = torch.cat([tensor.flatten() for tensor in everything])
        distributed.all_reduce(flat)
        parts = (flat / self.size).split([tensor.numel() for tensor in everything])
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
        if self.size > 1:
            for tensor in tensors:
                distributed.broadcast(tensor, 0)

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
