"""How one-step students learn of their teachers (section 3.3): consistency, distribution matching.

Functions of any samples and of any network that predicts their noise.

Axes: B samples, any others behind it. Times count from 0, the least noise.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from duomotion.models.ild.config import DistillationConfig
from duomotion.sampling.diffusion import NoiseSchedule, Solver

DATA_DEVIATION = 0.5  # of samples, as consistency models have it (Song et al. 2023)
TIME_SCALE = 10.0  # of the boundary scalings (Luo et al. 2023)

PredictNoise = Callable[[Tensor, Tensor], Tensor]
"""Noisy samples and the time of each -> the noise in them."""


def boundary_scalings(times_B: Tensor) -> tuple[Tensor, Tensor]:
    """c_skip and c_out; 1 and 0 at time 0, where a sample stays as it is."""
    scaled_B = TIME_SCALE * times_B.double()
    size_B = (scaled_B.square() + DATA_DEVIATION**2).sqrt()
    return (DATA_DEVIATION / size_B).square().float(), (scaled_B / size_B).float()


def consistent(
    schedule: NoiseSchedule, noise_B: Tensor, noisy_B: Tensor, times_B: Tensor
) -> Tensor:
    """f(z_t, t), what a student makes of noisy samples at once.

    Args:
        noise_B: that it predicts in them, F(z_t, t).
    """
    skip_B, out_B = (
        factor_B.to(noisy_B).view(-1, *[1] * (noisy_B.ndim - 1))
        for factor_B in boundary_scalings(times_B)
    )
    return skip_B * noisy_B + out_B * schedule.clean(noise_B, noisy_B, times_B)


@torch.no_grad()
def end_of_chain(predict: PredictNoise, noisy_B: Tensor, solver: Solver) -> Tensor:
    """Where the teacher's way ends on which samples are (equation 8).

    Args:
        noisy_B: at the first time that the solver visits.
    """

    def at(x_B: Tensor, step: int) -> Tensor:
        return predict(x_B, torch.full((len(x_B),), solver.times[step], device=x_B.device))

    return solver.run(at, noisy_B, rngs=[])


@torch.no_grad()
def one_interval(
    schedule: NoiseSchedule, noise_B: Tensor, noisy_B: Tensor, *, level: int, interval: int
) -> Tensor:
    """Samples an interval further down the teacher's way, by a step of DDIM.

    Below the last noise level they are clean.
    """
    times_B = torch.full((len(noisy_B),), level)
    clean_B = schedule.clean(noise_B, noisy_B, times_B)
    if level < interval:
        return clean_B
    return schedule.add_noise(clean_B, noise_B, times_B - interval)


def distance(made_B: Tensor, target_B: Tensor, config: DistillationConfig) -> Tensor:
    """d of equation 7, a mean over all numbers."""
    squared_B = (made_B.float() - target_B.float()).square()
    if config.metric == "l2":
        return squared_B.mean()
    return ((squared_B + config.huber**2).sqrt() - config.huber).mean()


def matching_loss(
    made_B: Tensor,
    noise_B: Tensor,
    times_B: Tensor,
    *,
    schedule: NoiseSchedule,
    student: PredictNoise,
    teacher: PredictNoise,
) -> Tensor:
    """A value whose gradient by samples is that of the divergence from the teacher's (equation 9).

    Both distributions are those of samples that are noised to some time, where neither vanishes.
    Scores are minus the predicted noise over its deviation; the share of a sample that is left at
    the time is the inner derivative.

    Args:
        made_B: clean samples of the student, with gradients.
        noise_B, times_B: with which they are noised again.
        student, teacher: predict the noise in samples of each.
    """
    with torch.no_grad():
        noisy_B = schedule.add_noise(made_B, noise_B, times_B)
        signal, deviation = schedule.levels(times_B, noisy_B)
        difference = teacher(noisy_B, times_B).float() - student(noisy_B, times_B).float()
        aim_B = made_B - signal / deviation * difference
    return 0.5 * (made_B - aim_B).square().mean()
