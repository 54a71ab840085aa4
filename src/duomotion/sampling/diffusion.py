"""Diffusion (Ho et al. 2020): noise schedules, solvers that take few of their steps, known motion.

The solvers are diffusers', imported when something is sampled. All of them get the clean sample
that the network predicts (`NoiseSchedule.clean`), so known values are imposed in one place: they
replace that prediction at every step (Tevet et al. 2023, section 4, editing), by `adjust`. From
there the solver takes them to the next noise level itself, along the way that joins them to the
noise that sampling began with; RePaint (Lugmayr et al. 2022) draws new noise for them at each level
instead. Its other half, resampling, is a setting: each step is noised back and predicted again, so
that what is generated comes to fit what is known.

Axes: B samples, any others behind it. Times count from 0, the least noise.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from inspect import signature
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from duomotion.config import Factor, Length

LCM_STEPS = 50  # among which a consistency model's are chosen, if not told (Luo et al. 2023)
Predict = Callable[[Tensor, int], Tensor]
"""Noisy samples, and the number of the step, to the network's predictions."""


@dataclass(frozen=True, kw_only=True)
class NoiseSchedule:
    """How clean samples are noised, and what a network predicts of them.

    Attributes:
        kind: "cosine" (Nichol & Dhariwal 2021); "linear": the variances between `beta_start` and
            `beta_end` (Ho et al. 2020); "scaled_linear": their square roots (Rombach et al. 2022).
        prediction: the clean sample; the noise ("epsilon"); or "velocity", how the noisy sample
            turns with time (Salimans & Ho 2022): then errors are the smaller the less noise there
            is, and there is something to learn at all levels.
    """

    kind: Literal["cosine", "linear", "scaled_linear"] = "cosine"
    num_steps: Length = 1000
    beta_start: Factor = 1e-4
    beta_end: Factor = 0.02
    prediction: Literal["sample", "epsilon", "velocity"] = "sample"

    @cached_property
    def betas(self) -> np.ndarray:
        """(num_steps,) float64: the variance that each step adds."""
        if self.kind == "cosine":
            time = np.linspace(0, 1, self.num_steps + 1)
            kept = np.cos((time + 0.008) / 1.008 * np.pi / 2) ** 2
            return np.minimum(1 - kept[1:] / kept[:-1], 0.999)
        power = 2 if self.kind == "scaled_linear" else 1
        ends = self.beta_start ** (1 / power), self.beta_end ** (1 / power)
        return np.linspace(*ends, self.num_steps) ** power

    @cached_property
    def alphas_cumprod(self) -> np.ndarray:
        """(num_steps,) float64: the share of a clean sample's variance that is left."""
        return np.cumprod(1 - self.betas)

    def levels(self, times_B: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """Factors of the clean sample and of the noise at these times, to multiply `like` with."""
        shape = (-1, *[1] * (like.ndim - 1))
        kept = self.alphas_cumprod
        signal, noise = (torch.from_numpy(np.sqrt(each)).to(like) for each in (kept, 1 - kept))
        return signal[times_B].view(shape), noise[times_B].view(shape)

    def add_noise(self, clean_B: Tensor, noise_B: Tensor, times_B: Tensor) -> Tensor:
        """Noisy samples."""
        signal, noise = self.levels(times_B, clean_B)
        return signal * clean_B + noise * noise_B

    def target(self, clean_B: Tensor, noise_B: Tensor, times_B: Tensor) -> Tensor:
        """What a network is to predict."""
        if self.prediction == "velocity":
            signal, noise = self.levels(times_B, clean_B)
            return signal * noise_B - noise * clean_B
        return clean_B if self.prediction == "sample" else noise_B

    def clean(self, prediction_B: Tensor, noisy_B: Tensor, times_B: Tensor) -> Tensor:
        """Clean samples from a network's predictions."""
        if self.prediction == "sample":
            return prediction_B
        signal, noise = self.levels(times_B, noisy_B)
        if self.prediction == "velocity":
            return signal * noisy_B - noise * prediction_B
        return (noisy_B - noise * prediction_B) / signal


@dataclass(frozen=True)
class Known:
    """What samples have to have: `values` (B, ...) where `mask`, which broadcasts, is True."""

    values: Tensor
    mask: Tensor


class Solver:
    """A solver for one run: the times that it visits, and the way through them.

    Attributes:
        times: from the noisiest on.
    """

    def __init__(
        self,
        name: str,
        schedule: NoiseSchedule,
        steps: int,
        *,
        begin: int = 0,
        distilled_steps: int = LCM_STEPS,
    ) -> None:
        """Prepare `steps` steps.

        Args:
            name: one of `request.SOLVERS`.
            begin: steps that are left out, for samples that are as noisy as those behind them.
            distilled_steps: of "lcm", among which its own are chosen.

        Raises:
            ValueError: it can't take so many steps.
        """
        most = distilled_steps if name == "lcm" else schedule.num_steps
        if steps > most:
            raise ValueError(f"{name} takes at most {most:,} steps of this model, not {steps:,}")
        self.schedule = schedule
        self.scheduler = _scheduler(name, schedule, distilled_steps)
        self.scheduler.set_timesteps(steps)
        if begin:
            self.scheduler.set_begin_index(begin)
        self.takes_rngs = "generator" in signature(self.scheduler.step).parameters
        self.times: list[int] = self.scheduler.timesteps.tolist()[begin:]

    @torch.no_grad()
    def run(
        self,
        predict: Predict,
        noise_B: Tensor,
        *,
        rngs: Sequence[torch.Generator],
        resampling: int = 1,
        adjust: Callable[[Tensor, int], Tensor] | None = None,
        on_step: Callable[[int, int], None] | None = None,
    ) -> Tensor:
        """Clean samples: the last prediction, as in the released codes.

        Args:
            predict: the network, guidance included.
            noise_B: standard normal.
            rngs: the source of each sample's randomness, on the CPU.
            resampling: how often each step's prediction is made in all.
            adjust: clean samples and the number of the step -> those to go on with.
            on_step: called after each step.
        """
        x_B, clean_B = noise_B, noise_B
        for step, time in enumerate(self.times):
            for repeat in range(resampling):
                if repeat:
                    x_B = self._noised_again(clean_B, x_B, step, draw_noise(x_B.shape[1:], rngs))
                clean_B = self._clean(predict(x_B, step).float(), x_B, time)
                if adjust is not None:
                    clean_B = adjust(clean_B, step)
            x_B = self._next(clean_B, time, x_B, rngs)
            if on_step is not None:
                on_step(step + 1, len(self.times))
        return clean_B

    def _clean(self, prediction_B: Tensor, noisy_B: Tensor, time: int) -> Tensor:
        return self.schedule.clean(prediction_B, noisy_B, torch.full((len(noisy_B),), time))

    def _next(
        self, clean_B: Tensor, time: int, x_B: Tensor, rngs: Sequence[torch.Generator]
    ) -> Tensor:
        extra = {"generator": list(rngs)} if self.takes_rngs else {}
        return self.scheduler.step(clean_B, time, x_B, **extra).prev_sample

    def _noised_again(self, clean_B: Tensor, x_B: Tensor, step: int, noise_B: Tensor) -> Tensor:
        """A DDIM step to the next level, and noise from there back to this one."""
        kept = self.schedule.alphas_cumprod
        here = float(kept[self.times[step]])
        after = float(kept[self.times[step + 1]]) if step + 1 < len(self.times) else 1.0
        noise = (x_B - here**0.5 * clean_B) / (1 - here) ** 0.5
        less_B = after**0.5 * clean_B + (1 - after) ** 0.5 * noise
        share = here / after
        return share**0.5 * less_B + (1 - share) ** 0.5 * noise_B.to(x_B)


def draw_noise(shape: Sequence[int], rngs: Sequence[torch.Generator]) -> Tensor:
    """(B, *shape) standard normal, each sample from its own generator."""
    return torch.stack([torch.randn(*shape, generator=rng) for rng in rngs])


def _scheduler(name: str, schedule: NoiseSchedule, distilled_steps: int) -> Any:
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler
    from diffusers.schedulers.scheduling_deis_multistep import DEISMultistepScheduler
    from diffusers.schedulers.scheduling_dpmsolver_multistep import DPMSolverMultistepScheduler
    from diffusers.schedulers.scheduling_lcm import LCMScheduler
    from diffusers.schedulers.scheduling_unipc_multistep import UniPCMultistepScheduler

    # InterGen's released code visits every so manieth step from 0 on, "leading".
    makers: Mapping[str, Callable[..., Any]] = {
        "ddim": partial(DDIMScheduler, timestep_spacing="leading", clip_sample=False),
        "dpmsolver++": partial(DPMSolverMultistepScheduler, timestep_spacing="trailing"),
        "deis": partial(DEISMultistepScheduler, timestep_spacing="trailing"),
        "unipc": partial(UniPCMultistepScheduler, timestep_spacing="trailing"),
        "lcm": partial(LCMScheduler, original_inference_steps=distilled_steps),
    }
    return makers[name](
        num_train_timesteps=schedule.num_steps,
        trained_betas=schedule.betas,
        prediction_type="sample",
    )
