"""Guidance of two people's motion while it is sampled: bodies apart, touches, paths, known motion.

What is moved are clean samples, as a network predicts them in each step of a solver, which the
solver then carries on: latents, by what they decode to, or features, whose people are shifted along
smooth paths, limbs being left to the network (`ShiftGuidance`).

Bodies: ILD, algorithm 1 (section 3.2), steps of one length along the gradient of how deep bodies
are in each other; shorter ones where that is little, or bodies that only touch would be thrown
apart. The paper takes them from the noisy latents between two steps of the solver; what these
decode to says little of the bodies while there is much noise. In the last step both are the same.

Touches: samples are optimised so that they decode to these (hard data consistency, Song et al.
2024), at every step and longer at the last.

Known motion of latents: it takes its place in what they decode to, which is encoded again, so that
who is not known remains a person as the autoencoder knows them. (Latents optimised to decode to
known motion made a partner who leans and bends: nothing held them where motion is likely.)

Paths over the floor: whole people are shifted to where they should be, in features, at every step;
the network then lets them walk. (To optimise latents to a path that is far away bends the bodies.)

Axes: B samples, P the 2 people, T frames, F features, K knots of a spline, J joints.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from duomotion.body.constraints import Contact, RootPath
from duomotion.body.pair_bodies import CAPSULES, PairBodies, pair_bodies
from duomotion.config import Count, Factor, ZeroOrMore
from duomotion.models.layers.pair_features import NUM_PEOPLE, SKELETONS
from duomotion.motion.contacts import ease_mask
from duomotion.motion.layout import MapLayout
from duomotion.motion.normaliser import Normaliser
from duomotion.motion.splines import spline_basis
from duomotion.sampling.diffusion import Known
from duomotion.sampling.request import Sampling

KNOT_SECONDS = 0.5  # people are shifted no faster
SWAY_SECONDS = 1.0  # the same on a path, which leaves how people sway
BLEND = 10  # frames from known ones on over which shifts fade in
Decode = Callable[[Tensor, int], Tensor]
"""What is moved (B, ...), and n -> normalised features (B, P, T, F) of about every nth frame."""


@dataclass(frozen=True, kw_only=True)
class GuidanceConfig:
    """How samples are guided by what they decode to; ILD gives no numbers. Defaults: for latents.

    Attributes:
        collision_steps: the last ones of the solver, in which bodies are moved apart unless
            `Sampling.collision_steps` says otherwise.
        collision_inner: K of algorithm 1, gradient steps in each.
        collision_rate: eta, their length, in the unit of what is moved.
        collision_every: n: every nth frame is looked at, or patch of frames.
        goal_inner, goal_last: steps of Adam towards touches, in each step of the solver but the
            last, and in the last.
        goal_rate: of Adam.
        near: weight of how far samples may get from those that the network predicts.
        contacts: weight of what touches miss, in squared metres, next to the same.
    """

    collision_steps: ZeroOrMore = 2
    collision_inner: Count = 4
    collision_rate: Factor = 0.5
    collision_every: Count = 4
    goal_inner: ZeroOrMore = 5
    goal_last: ZeroOrMore = 50
    goal_rate: Factor = 0.05
    near: Factor = 0.001
    contacts: Factor = 20.0


class SampledConfig(Protocol):
    """Of a network, how it samples unless told otherwise."""

    @property
    def steps(self) -> int: ...

    @property
    def solver(self) -> str: ...

    @property
    def guidance(self) -> float: ...

    @property
    def attempts(self) -> int: ...


def guided_sampling(config: SampledConfig, guidance: GuidanceConfig) -> Sampling:
    """The settings of a model that is guided while it samples."""
    return Sampling(
        steps=config.steps,
        solver=config.solver,
        guidance=config.guidance,
        attempts=config.attempts,
        avoid_collisions=True,
        join_hands=True,
        collision_steps=guidance.collision_steps,
        contacts=(),
        paths=(),
        body_model=CAPSULES,
    )


class PairGuidance:
    """What is done to clean samples in each step."""

    def __init__(
        self,
        config: GuidanceConfig,
        layout: MapLayout,
        normaliser: Normaliser,
        *,
        bodies: PairBodies | None,
        contacts: Sequence[Contact] = (),
        steps: int,
        collision_steps: int,
    ) -> None:
        """Set what guides.

        Args:
            normaliser: of features, in torch.
            bodies: that are kept apart; None where they may be in each other.
            contacts: of all samples, in the world of the features.
            steps: of the solver.
            collision_steps: the last ones, in which bodies are moved apart.
        """
        self.config, self.layout, self.normaliser = config, layout, normaliser
        self.skeleton = SKELETONS[layout.name]
        self.bodies, self.contacts = bodies, contacts
        self.steps, self.collision_steps = steps, collision_steps

    @classmethod
    def of(
        cls,
        config: GuidanceConfig,
        layout: MapLayout,
        normaliser: Normaliser,
        *,
        sampling: Sampling,
        is_given: bool,
    ) -> "PairGuidance | None":
        """As settings say; None where nothing guides.

        Args:
            is_given: whether there is known motion, beside which people may be in the other order:
                contacts are met in the end.

        Raises:
            ValueError: there is no such body model, or there are no steps for it.
        """
        contacts = () if is_given else sampling.contacts or ()
        moves_apart = bool(sampling.avoid_collisions and sampling.collision_steps)
        if sampling.body_model not in (None, CAPSULES) and not moves_apart:
            raise ValueError(
                f"body_model {sampling.body_model} has no use without collision_steps, in which "
                "bodies are led apart"
            )
        if not contacts and not moves_apart:
            return None
        assert sampling.steps is not None and sampling.body_model is not None
        bodies = None
        if moves_apart:
            bodies = pair_bodies(sampling.body_model, layout, SKELETONS[layout.name])
        return cls(
            config,
            layout,
            normaliser,
            bodies=bodies,
            contacts=contacts,
            steps=sampling.steps,
            collision_steps=sampling.collision_steps or 0,
        )

    def acts(self, step: int) -> bool:
        """Whether anything is done in the step of this number."""
        return bool(self.contacts or self._moves_apart(step))

    def _moves_apart(self, step: int) -> bool:
        """Whether bodies are moved apart in the step of this number."""
        return self.bodies is not None and self.steps - step <= self.collision_steps

    def __call__(self, x_B: Tensor, step: int, decode: Decode) -> Tensor:
        """What is moved, after the step of this number."""
        config = self.config
        if self.contacts:
            count = config.goal_last if step == self.steps - 1 else config.goal_inner
            x_B = self._optimised(x_B, decode, count)
        if self._moves_apart(step):
            assert self.bodies is not None
            for _ in range(config.collision_inner):
                depth_B, gradient_B = self._depth_gradient(x_B, decode)
                norm_B = gradient_B.flatten(1).norm(dim=1).clamp_min(1e-12)
                rate_B = config.collision_rate * (depth_B / self.bodies.shallow).clamp_max(1)
                x_B = x_B - _each(rate_B / norm_B, x_B) * gradient_B
        return x_B

    def goals(self, features_BPTF: Tensor) -> Tensor:
        """(B,) how far normalised features miss touches."""
        total_B = features_BPTF.new_zeros(len(features_BPTF))
        skeleton, fps = self.skeleton, self.layout.fps
        joints_BPTJ3 = self.layout.positions(self.normaliser.denormalise(features_BPTF))
        for each in self.contacts:
            missed = [each.energy(joints, skeleton, fps) for joints in joints_BPTJ3]
            total_B = total_B + self.config.contacts * torch.stack(missed)
        return total_B

    def collisions(self, features_BPTF: Tensor) -> Tensor:
        """(B,) how deep bodies are in each other, see `PairBodies.depths`."""
        assert self.bodies is not None
        return self.bodies.depths(self.normaliser.denormalise(features_BPTF))

    @torch.enable_grad()
    def _depth_gradient(self, x_B: Tensor, decode: Decode) -> tuple[Tensor, Tensor]:
        """Depths (B,), and their gradients."""
        x_B = x_B.detach().requires_grad_()
        depth_B = self.collisions(decode(x_B, self.config.collision_every).float())
        return depth_B.detach(), torch.autograd.grad(depth_B.sum(), x_B)[0]

    @torch.enable_grad()
    def _optimised(self, x_B: Tensor, decode: Decode, count: int) -> Tensor:
        """What is nearer to the goals, by Adam; each sample as if it were alone."""
        start_B, x_B = x_B.detach(), x_B.detach().clone().requires_grad_()
        optimizer = torch.optim.Adam([x_B], lr=self.config.goal_rate)
        for _ in range(count):
            optimizer.zero_grad()
            far_B = (x_B - start_B).square().flatten(1).mean(1)
            goals_B = self.goals(decode(x_B, 1).float())
            (goals_B + self.config.near * far_B).sum().backward()
            optimizer.step()
        return x_B.detach()


class ShiftGuidance:
    """Guidance of features: people are shifted over the floor, each by a cubic spline."""

    def __init__(
        self, guidance: PairGuidance, frames: int, like: Tensor, known: Known | None = None
    ) -> None:
        """Set how long the motion is.

        Args:
            like: a tensor of the device and type of the features.
            known: where people stay; its mask is (B, P, T, 1).
        """
        self.guidance = guidance
        basis_TK = spline_basis(frames + 1, guidance.layout.fps, KNOT_SECONDS)
        free_BPT1: np.ndarray | float = 1.0
        if known is not None:
            fixed_BPT = known.mask[..., 0].cpu().numpy()
            eased = np.apply_along_axis(ease_mask, -1, fixed_BPT, BLEND)
            free_BPT1 = np.concatenate([eased, eased[..., -1:]], -1)[..., None]
        self.basis = torch.from_numpy(free_BPT1 * basis_TK).to(like)

    def __call__(self, clean_BPTF: Tensor, step: int) -> Tensor:
        """Normalised features after the step of this number."""
        guidance = self.guidance
        if not guidance.acts(step):
            return clean_BPTF
        knots = self.basis.shape[-1]
        shift_BPK2 = clean_BPTF.new_zeros(len(clean_BPTF), NUM_PEOPLE, knots, 2)

        def decode(shift_BPK2: Tensor, every: int = 1) -> Tensor:
            flat = self.basis @ shift_BPK2
            moved = over_floor(clean_BPTF, flat, guidance.layout, guidance.normaliser)
            return moved[:, :, ::every]

        return decode(guidance(shift_BPK2, step, decode))


class Paths:
    """People shifted to the paths that are given for them, along smooth curves."""

    def __init__(
        self,
        paths: Sequence[RootPath],
        layout: MapLayout,
        normaliser: Normaliser,
        frames: int,
        like: Tensor,
    ) -> None:
        """Set where people should be; `like` has the features' device and type."""
        self.layout, self.normaliser = layout, normaliser
        self.places = []
        for path in paths:
            frames_T, path_T2 = path.places(frames, layout.fps)
            self.places.append((path.person, frames_T, torch.from_numpy(path_T2).to(like)))
        basis_TK = spline_basis(frames + 1, layout.fps, SWAY_SECONDS)
        smooth = basis_TK @ np.linalg.pinv(basis_TK[:-1])
        self.smooth = torch.from_numpy(smooth).to(like)  # (T + 1, T)

    def __call__(self, clean_BPTF: Tensor) -> Tensor:
        """Normalised features of people who are where they should be."""
        features_BPTF = self.normaliser.denormalise(clean_BPTF)
        roots_BPT2 = self.layout.positions(features_BPTF)[..., 0, ::2]
        missing_BPT2 = torch.zeros_like(roots_BPT2)
        for person, frames_T, path_T2 in self.places:
            missing_BPT2[:, person] = path_T2 - roots_BPT2[:, person, frames_T]
        return over_floor(clean_BPTF, self.smooth @ missing_BPT2, self.layout, self.normaliser)


def latent_adjustment(
    config: GuidanceConfig,
    layout: MapLayout,
    normaliser: Normaliser,
    frames: int,
    *,
    sampling: Sampling,
    known: Known | None,
    encode: Callable[[Tensor], Tensor],
    decode: Decode,
    known_latents: Tensor | None = None,
) -> Callable[[Tensor, int], Tensor] | None:
    """What is done to clean latents in each step, for `Solver.run`; None where nothing is.

    Args:
        config, layout, normaliser, sampling: as of `PairGuidance.of`.
        known: normalised features, and a mask (B, P, T, 1).
        encode: normalised features -> latents.
        decode: latents -> normalised features.
        known_latents: True for latents that stand for known frames; None where all do.

    Raises:
        ValueError: there is no such body model.
    """
    is_given = known is not None
    guidance = PairGuidance.of(config, layout, normaliser, sampling=sampling, is_given=is_given)
    paths = None
    if sampling.paths:
        paths = Paths(sampling.paths, layout, normaliser, frames, normaliser.mean)
    if guidance is None and paths is None and known is None:
        return None

    def adjust(z_B: Tensor, step: int) -> Tensor:
        if paths is not None:
            made_BPTF = decode(z_B, 1)
            led_B, as_made_B = encode(torch.cat([paths(made_BPTF), made_BPTF])).chunk(2)
            z_B = z_B + led_B - as_made_B
        if guidance is not None:
            z_B = guidance(z_B, step, decode)
        if known is None:
            return z_B
        led_B = encode(torch.where(known.mask, known.values, decode(z_B, 1)))
        return led_B if known_latents is None else torch.where(known_latents, led_B, z_B)

    return adjust


def over_floor(
    clean_BPTF: Tensor, shift_BPT2: Tensor, layout: MapLayout, normaliser: Normaliser
) -> Tensor:
    """Normalised features of people shifted along x and z.

    Args:
        shift_BPT2: metres; of T + 1 frames, since velocities are to the next one.
    """
    x, z = shift_BPT2.unbind(-1)
    shift = torch.stack([x, torch.zeros_like(x), z], -1)
    features_BPTF = normaliser.denormalise(clean_BPTF)
    moved = layout.shifted(features_BPTF, shift[..., :-1, :], shift.diff(dim=-2))
    return normaliser.normalise(moved)


def _each(values_B: Tensor, like_B: Tensor) -> Tensor:
    """One number a sample, to multiply `like_B` with."""
    return values_B.view(-1, *[1] * (like_B.ndim - 1))
