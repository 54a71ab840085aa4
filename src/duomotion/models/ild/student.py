"""Training of the one-step student (section 3.3, appendix E).

Axes: B samples, L latents, K their width, C of text vectors.
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from duomotion.checkpoint import read_checkpoint
from duomotion.models.captioned_pairs import PairData
from duomotion.models.ild.config import DistillationConfig, LatentDenoiserConfig, StudentConfig
from duomotion.models.ild.distillation import (
    PredictNoise,
    consistent,
    distance,
    end_of_chain,
    matching_loss,
    one_interval,
)
from duomotion.models.ild.generate import Fild, diffusion_from
from duomotion.models.ild.network import LatentDenoiser, LatentDiffusion, without_training
from duomotion.models.ild.objective import latent_loss
from duomotion.models.ild.training import LatentTask
from duomotion.sampling.diffusion import Solver
from duomotion.sampling.guidance import apply_cfg, draw_text_drop, duplicate_batch
from duomotion.training.config import LogConfig, OptimConfig

# Settings of a network by which it is sampled or trained, in which a student may differ.
FREE = {
    *("solver", "steps", "guidance", "guidance_dim", "latent_guidance", "attempts"),
    *("interval", "cond_drop", "text_dropout"),
}


@dataclass(frozen=True, kw_only=True)
class StudentData(PairData):
    """Pairs with captions, and the teacher, whose autoencoder the student takes along."""

    teacher: str = "runs/ild/denoiser/last"


@dataclass(frozen=True, kw_only=True)
class StudentRecipe:
    """One distillation; defaults are the paper's on InterHuman."""

    optim: OptimConfig
    system: str = "ild/student"
    model: StudentConfig = field(default_factory=StudentConfig)
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    data: StudentData = field(default_factory=StudentData)
    log: LogConfig = field(default_factory=LogConfig)


class Distilled(LatentDiffusion):
    """A student that starts as its teacher, with the networks that only its training needs.

    Attributes:
        target: an average of the student, which says what it should make (MotionLCM).
        fake: a denoiser of what the student makes (Yin et al. 2024).
    """

    def __init__(
        self, config: StudentConfig, distillation: DistillationConfig, teacher: LatentDiffusion
    ) -> None:
        super().__init__(config)
        found = self.load_state_dict(teacher.state_dict(), strict=False)
        assert not found.unexpected_keys
        self.denoiser.text_head.requires_grad_(False)  # the teacher's is read
        self.target: LatentDenoiser | None = None
        self.fake: LatentDenoiser | None = None
        if not distillation.full_chain:
            self.target = copy.deepcopy(self.denoiser).requires_grad_(False)
        if distillation.matching and distillation.scores == "fake":
            self.fake = copy.deepcopy(teacher.denoiser).requires_grad_(True)
            self.fake.text_head.requires_grad_(False)


class StudentTask(LatentTask):
    """The student learns to make at once what its teacher makes in many steps.

    A batch has one noise level, since the teacher goes all its way from there.

    Raises:
        ValueError: the teacher is no denoiser of ILD, or its network is not the student's.
    """

    recipe: StudentRecipe
    model: Distilled
    reported = ("distillation",)

    def __init__(self, recipe: StudentRecipe, device: torch.device) -> None:
        folder = Path(recipe.data.teacher)
        self.teacher = _teacher(recipe, folder).to(device)
        super().__init__(recipe, device, autoencoder=folder / "autoencoder")
        torch.manual_seed(recipe.optim.seed)
        self.model = Distilled(recipe.model, recipe.distillation, self.teacher)

    def generator(self) -> Fild:
        student = LatentDiffusion(self.recipe.model).to(self.device).eval()
        student.load_state_dict(without_training(self.model.state_dict()))
        return Fild(student, copy.deepcopy(self.codec), self.pairs.encoder)

    def loss(
        self, batch: dict[str, Any], rng: torch.Generator, step: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        model, config, how = self.model, self.recipe.model, self.recipe.distillation
        schedule, frames_B, device = config.noise, batch["frames_B"], rng.device
        clean_BLK = self.clean_latents(batch, rng)
        size = len(clean_BLK)
        text_BC = self.pairs.text_vectors(
            batch, rng, text_head=self.teacher.denoiser.text_head, is_training=model.training
        )
        drop_B = draw_text_drop(model.denoiser, size, rng)
        text_BC = text_BC.masked_fill(drop_B[:, None], 0)
        told_B, scale = None, torch.full((size,), how.guidance, device=device)
        if config.guidance_dim is not None:
            low, high = how.guidance_range
            told_B = scale = low + (high - low) * torch.rand(size, generator=rng, device=device)
        student = told(model.denoiser, text_BC, frames_B, told_B)
        teacher = guided(self.teacher.denoiser, text_BC, frames_B, scale)

        number = int(torch.randint(config.distilled_steps, (), generator=rng, device=device))
        level = (number + 1) * config.interval - 1
        times_B = torch.full((size,), level, device=device)
        noise_BLK = torch.randn(clean_BLK.shape, generator=rng, device=device)
        noisy_BLK = schedule.add_noise(clean_BLK, noise_BLK, times_B)
        made_BLK = consistent(schedule, student(noisy_BLK, times_B), noisy_BLK, times_B)
        if model.target is None:
            begin = config.distilled_steps - 1 - number
            solver = Solver(how.solver, schedule, config.distilled_steps, begin=begin)
            target_BLK = end_of_chain(teacher, noisy_BLK, solver)
        else:
            target = told(model.target, text_BC, frames_B, told_B)
            target_BLK = self._next_made(target, teacher, noisy_BLK, level)
        losses = {"distillation": distance(made_BLK, target_BLK, how)}

        if how.matching and model.training:
            again_B = torch.randint(schedule.num_steps, (size,), generator=rng, device=device)
            noise_BLK = torch.randn(clean_BLK.shape, generator=rng, device=device)
            fake = model.fake and told(model.fake, text_BC, frames_B, None)
            losses["matching"] = how.matching * matching_loss(
                made_BLK,
                noise_BLK,
                again_B,
                schedule=schedule,
                student=fake or student,
                teacher=teacher,
            )
            if fake is not None:
                fakes_BLK = schedule.add_noise(made_BLK.detach(), noise_BLK, again_B)
                losses["fake"] = latent_loss(fake(fakes_BLK, again_B), noise_BLK)
        return torch.stack(list(losses.values())).sum(), losses

    def _next_made(
        self, target: PredictNoise, teacher: PredictNoise, noisy_BLK: Tensor, level: int
    ) -> Tensor:
        """What the average makes an interval further down the teacher's way."""
        schedule, interval = self.recipe.model.noise, self.recipe.model.interval
        times_B = torch.full((len(noisy_BLK),), level, device=noisy_BLK.device)
        with torch.no_grad():
            next_BLK = one_interval(
                schedule, teacher(noisy_BLK, times_B), noisy_BLK, level=level, interval=interval
            )
            if level < interval:
                return next_BLK
            times_B = times_B - interval
            return consistent(schedule, target(next_BLK, times_B), next_BLK, times_B)

    def after_step(self, step: int, averages: Mapping[str, Tensor]) -> None:
        if (target := self.model.target) is not None:
            share = 1 - self.recipe.distillation.target_decay
            both = zip(target.parameters(), self.model.denoiser.parameters(), strict=True)
            for average, parameter in both:
                average.lerp_(parameter, share)


def told(
    denoiser: LatentDenoiser, text_BC: Tensor, frames_B: Tensor, guidance_B: Tensor | None
) -> PredictNoise:
    """The network with its texts and lengths, and with the scale of guidance if it is told one."""
    text_BD, length_BD = denoiser.condition(text_BC), denoiser.embed_lengths(frames_B)

    def predict(z_BLK: Tensor, times_B: Tensor) -> Tensor:
        time_BD = denoiser.embed_times(times_B, guidance_B)
        return denoiser(z_BLK, time_BD, text_BD, length_BD).float()

    return predict


def guided(
    denoiser: LatentDenoiser, text_BC: Tensor, frames_B: Tensor, scale_B: Tensor
) -> PredictNoise:
    """The network with guidance, each sample with its own scale."""
    texts = torch.cat((text_BC, torch.zeros_like(text_BC)))
    both = told(denoiser, texts, duplicate_batch(frames_B), None)

    def predict(z_BLK: Tensor, times_B: Tensor) -> Tensor:
        with torch.no_grad():
            made = both(duplicate_batch(z_BLK), duplicate_batch(times_B))
        return apply_cfg(made, scale_B[:, None, None])

    return predict


def _teacher(recipe: StudentRecipe, folder: Path) -> LatentDiffusion:
    checkpoint = read_checkpoint(folder, "ild/denoiser")
    teacher = diffusion_from(checkpoint)
    for each in fields(LatentDenoiserConfig):
        found, wanted = getattr(teacher.config, each.name), getattr(recipe.model, each.name)
        if each.name not in FREE and found != wanted:
            raise ValueError(
                f"{folder} has {each.name} {found}; the student's, {wanted}, must be the same"
            )
    if checkpoint.text_encoder != recipe.data.text_encoder:
        raise ValueError(
            f"{folder} reads the text vectors of {checkpoint.text_encoder!r}; the student's "
            f"data.text_encoder is {recipe.data.text_encoder!r} and must be the same"
        )
    return teacher.eval().requires_grad_(False)
