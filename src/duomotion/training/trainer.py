"""The one loop that trains every system.

Whatever is drawn at random in a step follows from (seed, step, number of the micro-batch) alone,
and the order of the data from (seed, epoch). On one machine, with as many threads, a training that
was killed and run again therefore goes exactly the way of one that was not; and N processes with M
micro-batches each go the way of one with N M, up to rounding.
"""

import dataclasses
import logging
import math
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from duomotion.checkpoint import (
    TrainingState,
    environment,
    load_weights,
    read_checkpoint,
    read_training,
    save_checkpoint,
)
from duomotion.config import to_dict
from duomotion.data import composed
from duomotion.data.fingerprint import Fingerprint, fingerprint
from duomotion.distributed import Processes, connect, synchronize
from duomotion.precision import autocast, resolve
from duomotion.progress import track
from duomotion.signals import handled
from duomotion.storage import locked, recover
from duomotion.text.learned import LEARNED, Learned
from duomotion.training.batch import Part, clip_count, clip_names, on_device, whole
from duomotion.training.blocks import checkpoint_activations, compile_blocks
from duomotion.training.config import LogConfig, OptimConfig
from duomotion.training.log import Log
from duomotion.training.prefetch import prefetched
from duomotion.training.resuming import (
    Begun,
    Position,
    check_children,
    check_same,
    check_state,
    position_in,
)
from duomotion.training.schedule import learning_rate

_logger = logging.getLogger(__name__)

OnProgress = Callable[[int, int, float | None], None]
"""Steps done, steps in total, and the loss of the last record; None before the first."""

_MOVING = tuple(field.name for field in dataclasses.fields(Position) if field.name != "data")


class Task(Protocol):
    """What a system brings to its training.

    `training.batch` says what a batch may be; its member `names`, if any, holds the clips' names.
    The trainer moves batches to the device.
    """

    score_name: str  # the validation score that decides on `best`; lower is better
    children: Mapping[str, Path]  # checkpoints to put into each saved one, by name

    @property
    def model(self) -> nn.Module:
        """The network; its whole `state_dict` is saved."""
        ...

    def train_batches(
        self, *, seed: int, epoch: int, skip: int, part: Part = whole
    ) -> Iterator[Any]:
        """The batches of one epoch without the first `skip`; the same for the same arguments.

        Of each batch only the clips that `part` says are drawn: those of a micro-batch.
        They are computed in a background thread, ahead of the step that they are for: neither with
        `model`, whose weights change meanwhile, nor with torch's own generators, from which `loss`
        draws.
        """
        ...

    def loss(self, batch: Any, rng: torch.Generator, step: int) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, a mean over the batch's clips, and its parts (scalars on its device) to log.

        Random numbers come from `rng`, which is on the batch's device, or from torch's own. `step`
        counts from 0.
        """
        ...

    def validate(self) -> dict[str, float]:
        """Scores of `model`, which is in evaluation mode and, if there are any, has EMA weights."""
        ...

    def provenance(self) -> dict[str, Any]:
        """What to note about the data; under "data" the folders of the data sets."""
        ...


@runtime_checkable
class Learning(Protocol):
    """A task of a model that can say what it has learned from (`data.kinds.describe`)."""

    @property
    def learned(self) -> Learned:
        """Goes into each checkpoint."""
        ...


@runtime_checkable
class UpdatedAfterSteps(Protocol):
    """A task that changes its network after a step otherwise than by gradients."""

    def after_step(self, step: int, averages: Mapping[str, Tensor]) -> None:
        """Called without gradients after optimiser and averages, before buffers are shared.

        Args:
            step: counts from 0.
            averages: EMA weights by parameter; empty where the recipe asks for none.
        """
        ...


class Trainer:
    """Trains `task` in `folder`: `last`, `best` (checkpoints), log.jsonl, tensorboard and a lock.

    Args:
        task: the system. Its model is moved to the device.
        folder: where everything is written; a training that is already there is resumed.
        recipe: everything that defines the training, with `system`, as JSON holds it (`to_dict`);
            saved in each checkpoint. Under "log" and "optim" it holds what `log` and `optim` are.
        processes: those that train together, this one's device among them; None: `connect()`.

    Raises:
        ValueError: batches have fewer clips than processes and micro-batches share them, or
            `optim` asks for what can't be done with this network.
    """

    def __init__(
        self,
        task: Task,
        folder: str | Path,
        *,
        recipe: Mapping[str, Any],
        optim: OptimConfig,
        log: LogConfig,
        processes: Processes | None = None,
    ) -> None:
        self.task, self.folder, self.recipe = task, Path(folder), recipe
        self.optim, self.log = optim, log
        self.processes = processes or connect(None)
        self.shares = self.processes.shares(optim.micro_batches)
        if optim.batch_size < (parts := self.processes.size * optim.micro_batches):
            raise ValueError(
                f"optim.batch_size is {optim.batch_size}, which can't be spread over {parts} "
                f"parts: use a larger one, fewer processes or fewer optim.micro_batches"
            )
        self.device = self.processes.device
        self.model = task.model.to(self.device)
        if optim.activation_checkpointing:
            checkpoint_activations(self.model)
        if optim.compile:
            compile_blocks(self.model)
        self.parameters = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        self.averages: dict[str, Tensor] = {}
        if optim.ema_decay is not None:
            self.averages = {n: p.detach().clone() for n, p in self.parameters.items()}
        self.optimizer = torch.optim.AdamW(
            self.parameters.values(),
            lr=optim.lr,
            betas=optim.betas,
            weight_decay=optim.weight_decay,
            fused=True,
        )
        self.rng = torch.Generator(self.device)
        self.step = self.epoch = self.batch = 0  # steps done; epoch, and its batches done
        self.seconds = 0.0
        self.sums: dict[str, float] = {}  # of what is logged, since the last record
        self.recorded = 0  # the step of the last record
        self.scores: dict[str, float] = {}  # of the last validation
        self.best: dict[str, float] = {}  # of the best one
        self.data: dict[str, Fingerprint] = {}  # by folder; known to the first process
        self.last_step: int | None = None  # at which `last` was written

    def run(self, on_progress: OnProgress | None = None) -> dict[str, float]:
        """Train to the end and return the best validation's scores (none but in the first process).

        Args:
            on_progress: called in the first process, before the first step and after each.

        Raises:
            ValueError: another process trains in `folder`; it holds a training of another recipe,
                one of other data or a broken checkpoint; the data have no batch; the loss, gradient
                or score isn't finite. `last` stays as it was.
            OSError: the disk is full; `last` stays as it was.
            SystemExit: status 130 after Ctrl-C, 128 and its number after another signal that asks
                to end; the training was saved and a sentence logged. Status 2 where the first
                process can't have `folder`.
        """
        with ExitStack() as stack:
            with self.processes.decided_by_first():
                if self.processes.is_first:
                    stack.enter_context(locked(self.folder))
            self._resume()
            log = None
            if self.processes.is_first:
                log = Log(self.folder, step=self.step, tensorboard=self.log.tensorboard)
                stack.callback(log.close)
            interruption = stack.enter_context(_interruptible(twice=self.processes.size == 1))
            batches = islice(self._batches(), max(0, self.optim.steps - self.step))
            self._loop(
                stack.enter_context(prefetched(batches)), log, interruption, on_progress or _ignore
            )
        return self.best

    def measure(self, steps: int) -> tuple[float, float]:
        """Train some steps without validating or writing anything.

        Returns:
            Median seconds of a step, the first one left out, and those of averaging its gradients
            over the processes.

        Raises:
            ValueError: as `run`.
        """

        def now() -> float:
            synchronize(self.device)
            return time.perf_counter()

        self.model.train()
        times = []
        with prefetched(islice(self._batches(), steps + 1)) as batches:
            for _, _, micro_batches in track(batches, "steps", unit="step", total=steps + 1):
                self._train_step(micro_batches)
                times.append(now())
        start = now()
        self.processes.average(list(self.parameters.values()), torch.zeros(2).to(self.device), 1)
        return float(np.median(np.diff(times))), now() - start

    def _loop(
        self,
        batches: "Iterator[_Positioned]",
        log: Log | None,
        interruption: "_Interruption",
        on_progress: OnProgress,
    ) -> None:
        saved_at = started_at = time.monotonic()
        already, loss = self.seconds, None
        self.model.train()
        if log is not None:
            on_progress(self.step, self.optim.steps, loss)
            if self.step >= self.optim.steps:
                _logger.info(
                    f"The training in {self.folder} is finished: all of its {self.step:,} steps "
                    "are done. More optim.steps would go on."
                )
        for self.epoch, self.batch, micro_batches in batches:
            self._train_step(micro_batches)
            self.seconds = already + time.monotonic() - started_at
            is_over = self.step == self.optim.steps
            is_interrupted = self.processes.any(interruption.is_asked)
            if log is not None:
                if self.step % self.log.log_every == 0 or is_over:
                    record = self._record()
                    log.write(self.step, record)
                    loss = record["loss"]
                on_progress(self.step, self.optim.steps, loss)
                if self.step % self.log.validate_every == 0 or is_over:
                    self._validate(log)
                is_due = self._is_checkpoint_due(time.monotonic() - saved_at)
                if is_due or is_over or is_interrupted:
                    self._save_last()
                    saved_at = time.monotonic()
            if is_interrupted and not is_over:
                if log is not None:
                    _logger.warning(
                        f"Stopped after step {self.step} of {self.optim.steps}, saved in "
                        f"{self.folder / 'last'}; run the same command again to go on."
                    )
                raise SystemExit(interruption.status)

    def _batches(self) -> "Iterator[_Positioned]":
        """This process's micro-batches without end, from the current position on."""
        epoch, done = self.epoch, self.batch
        while True:
            count = done
            shared = [
                self.task.train_batches(seed=self.optim.seed, epoch=epoch, skip=done, part=part)
                for part in self.shares
            ]
            for count, micro_batches in enumerate(zip(*shared, strict=True), done + 1):
                yield _Positioned(epoch, count, micro_batches)
            if count == 0:
                raise ValueError(
                    f"the training data give no batch of {self.optim.batch_size} clips: "
                    f"lower optim.batch_size or add data"
                )
            epoch, done = epoch + 1, 0

    def _train_step(self, micro_batches: Sequence[Any]) -> None:
        """One optimiser step with this process's micro-batches."""
        self.optimizer.zero_grad()
        names, values = self._accumulate_gradients(micro_batches)
        parameters = list(self.parameters.values())
        self.processes.average(parameters, values, sum(map(clip_count, micro_batches)))

        norm = nn.utils.clip_grad_norm_(parameters, self.optim.clip_norm or math.inf)
        measured = dict(zip(names, values.tolist(), strict=True))
        measured["gradient_norm"] = norm.item()
        self._refuse_non_finite(measured, micro_batches)
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, self.optim)
        self.optimizer.step()
        self._update_averages(self.step + 1)
        if isinstance(self.task, UpdatedAfterSteps):
            with torch.no_grad():
                self.task.after_step(self.step, self.averages)
        self.processes.copy_from_first(list(self.model.buffers()))
        self.step += 1
        for name, value in measured.items():
            self.sums[name] = self.sums.get(name, 0.0) + value

    def _accumulate_gradients(self, micro_batches: Sequence[Any]) -> tuple[Sequence[str], Tensor]:
        """Add gradients up to their mean over all clips; names and means of the loss and its parts.

        What is drawn at random belongs to a micro-batch, not to the process that computes it.
        """
        clips, found = sum(map(clip_count, micro_batches)), []
        names: Sequence[str] = ()
        first = self.processes.rank * len(micro_batches)
        for number, batch in enumerate(micro_batches, first):
            _seed(self.rng, self.optim.seed, self.step, number)
            with autocast(self.optim.precision, self.device):
                loss, parts = self.task.loss(on_device(batch, self.device), self.rng, self.step)
            weight = clip_count(batch) / clips
            (loss * weight).backward()
            values = torch.stack([v.detach().float() for v in (loss, *parts.values())])
            found.append(values * weight)
            names = ("loss", *parts)
        return names, torch.stack(found).sum(0)

    def _refuse_non_finite(self, measured: dict[str, float], micro_batches: Sequence[Any]) -> None:
        wrong = [f"{name} {value}" for name, value in measured.items() if not math.isfinite(value)]
        if not wrong:
            return
        names = [name for batch in micro_batches for name in clip_names(batch)]
        clips = f" on the clips {', '.join(names)}" if names else ""
        kept = (
            f"{self.folder / 'last'} holds step {self.last_step}"
            if self.last_step is not None
            else "nothing was saved yet"
        )
        raise ValueError(
            f"step {self.step + 1} gave {', '.join(wrong)}{clips}: check these clips or lower "
            f"optim.lr; {kept}"
        )

    def _update_averages(self, steps: int) -> None:
        """Exponential moving averages whose decay rises to `ema_decay`: min(d, (1+t)/(10+t))."""
        if self.optim.ema_decay is not None:
            decay = min(self.optim.ema_decay, (1 + steps) / (10 + steps))
            names, averages = zip(*self.averages.items(), strict=True)
            weights = tuple(self.parameters[name] for name in names)
            get_ema_multi_avg_fn(decay)(averages, weights, steps)

    def _record(self) -> dict[str, float]:
        steps = self.step - self.recorded
        means = {name: total / steps for name, total in self.sums.items()}
        self.sums, self.recorded = {}, self.step
        rate = learning_rate(self.step - 1, self.optim)
        return {**means, "lr": rate, "epoch": self.epoch, "seconds": round(self.seconds, 1)}

    def _validate(self, log: Log) -> None:
        """Score the (averaged) weights in float32 and keep them as `best` if they are."""
        _seed(self.rng, self.optim.seed, 0, 0)
        name = self.task.score_name
        with self._averaged_weights():
            self.model.eval()
            with torch.no_grad():
                self.scores = self.task.validate()
            self.model.train()
            log.write(self.step, {f"validation/{k}": v for k, v in self.scores.items()})
            if math.isnan(self.scores[name]):
                raise ValueError(f"after step {self.step} the validation's {name} is not a number")
            if not self.best or self.scores[name] < self.best[name]:
                self.best = self.scores
                self._save("best")

    @contextmanager
    def _averaged_weights(self) -> Iterator[None]:
        self._swap_averages()
        try:
            yield
        finally:
            self._swap_averages()

    def _swap_averages(self) -> None:
        for name, average in self.averages.items():
            parameter = self.parameters[name]
            parameter.data, self.averages[name] = average, parameter.data

    def _is_checkpoint_due(self, seconds: float) -> bool:
        every, every_seconds = self.log.checkpoint_every, self.log.checkpoint_seconds
        return (every is not None and self.step % every == 0) or (
            every_seconds is not None and seconds >= every_seconds
        )

    def _save(self, name: str, training: TrainingState | None = None) -> None:
        noted = self.task.provenance()
        provenance = {
            **environment(self.device),
            "step": self.step,
            "seconds": round(self.seconds, 1),
            "seed": self.optim.seed,
            "precision": resolve(self.optim.precision, self.device),
            "scores": self.scores,
            **noted,
            **composed.note(noted["data"]),
        }
        children = dict(self.task.children)
        with tempfile.TemporaryDirectory() as scratch:
            if isinstance(self.task, Learning):
                children[LEARNED] = Path(scratch) / LEARNED
                self.task.learned.save(children[LEARNED])
            save_checkpoint(
                self.folder / name,
                self.model.state_dict(),
                self.recipe,
                provenance,
                children=children,
                training=training,
            )

    def _save_last(self) -> None:
        tensors = {f"average.{name}": average for name, average in self.averages.items()}
        for name, parameter in self.parameters.items():
            for key, value in self.optimizer.state[parameter].items():
                tensors[f"optimizer.{key}.{name}"] = value
        position = Position(data=self.data, **{name: getattr(self, name) for name in _MOVING})
        self._save("last", TrainingState(tensors, to_dict(position)))
        self.last_step = self.step

    def _resume(self) -> None:
        last = self.folder / "last"
        with self.processes.decided_by_first():
            if self.processes.is_first:
                for name in ("last", "best"):
                    recover(self.folder / name)
                folders = [root for root in self.task.provenance()["data"] if Path(root).is_dir()]
                self.data = {root: fingerprint(root) for root in folders}
        if not last.exists():
            tensors = [p.data for p in self.model.parameters()] + list(self.model.buffers())
            self.processes.copy_from_first([*tensors, *self.averages.values()])
            return
        checkpoint, training = read_checkpoint(last), read_training(last)
        position = position_in(last, training)
        with self.processes.decided_by_first():
            if self.processes.is_first:
                was, now = Begun(checkpoint.recipe, position.data), Begun(self.recipe, self.data)
                check_same(self.folder, was=was, now=now)
                check_children(last, self.task.children)
        check_state(
            last,
            training,
            position,
            parameters=self.parameters,
            averages=self.averages,
            score_name=self.task.score_name,
        )
        load_weights(self.model, checkpoint)
        state: dict[str, dict[str, Tensor]] = {name: {} for name in self.parameters}
        for path, tensor in training.tensors.items():
            kind, _, rest = path.partition(".")
            if kind == "average":
                self.averages[rest].copy_(tensor)
            else:
                key, _, name = rest.partition(".")
                state[name][key] = tensor
        entries = {index: entry for index, entry in enumerate(state.values()) if entry}
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": entries, "param_groups": groups})
        for name in _MOVING:
            setattr(self, name, getattr(position, name))
        self.last_step = self.step


class _Positioned(NamedTuple):
    """Micro-batches of a step, and where the training is once they are done."""

    epoch: int
    count: int  # batches of the epoch that are done then
    micro_batches: tuple[Any, ...]


def _ignore(step: int, total: int, loss: float | None) -> None:
    """The progress that nobody asked for."""


@dataclasses.dataclass
class _Interruption:
    """Whether this process was asked to stop, and the exit status that says so."""

    is_asked: bool = False
    status: int = 128 + signal.SIGINT


@contextmanager
def _interruptible(*, twice: bool) -> Iterator[_Interruption]:
    """Within, signals that ask to end are only noted; if `twice`, a second Ctrl-C raises
    KeyboardInterrupt.

    Under torchrun one Ctrl-C arrives twice: from the terminal and from torchrun.
    """
    interruption = _Interruption()

    def note(number: int, _frame: FrameType | None) -> None:
        interruption.is_asked, interruption.status = True, 128 + number
        if number == signal.SIGINT and twice:
            _logger.warning("Finishing this step; Ctrl-C again stops without saving.")
            signal.signal(signal.SIGINT, signal.default_int_handler)

    with handled(note):
        yield interruption


def _seed(rng: torch.Generator, *key: int) -> None:
    """Seed `rng` and torch's own generators from `key`."""
    first, second = np.random.SeedSequence(key).generate_state(2, np.uint64).tolist()
    rng.manual_seed(first)
    torch.default_generator.manual_seed(second)  # `torch.manual_seed` takes 100 times longer
    if rng.device.type != "cpu":
        torch.get_device_module(rng.device).manual_seed(second)
