"""FILD: consistency, distribution matching, tiny distillations, what students generate."""

import math
from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st
from motions import waving
from properties import examples
from test_diffusion import Gaussian
from test_ild import ANY, TINY, latents, losses, trained

import duomotion
from duomotion.config import apply_overrides
from duomotion.models import find_recipe
from duomotion.models.ild.bench import FildBench
from duomotion.models.ild.config import (
    SCALED_LINEAR,
    AutoencoderConfig,
    DistillationConfig,
    StudentConfig,
)
from duomotion.models.ild.distillation import (
    boundary_scalings,
    consistent,
    distance,
    end_of_chain,
    matching_loss,
    one_interval,
)
from duomotion.models.ild.generate import Fild, denoise
from duomotion.models.ild.network import LatentDenoiser
from duomotion.sampling.diffusion import Solver
from duomotion.sampling.request import Sampling

__all__ = ["latents", "trained"]
pytestmark = pytest.mark.usefixtures("cache", "hardly_separated")

LEVELS = StudentConfig().distilled_steps


def full(count, time):
    return torch.full((count,), time)


def test_a_sample_without_noise_stays_as_it_is():
    skip, out = boundary_scalings(torch.arange(1000))
    assert (skip[0], out[0]) == (1, 0)
    assert (skip.diff() < 0).all() and (out.diff() >= 0).all() and out[-1] > 0.999
    x, noise = torch.randn(5, 3), 1e6 * torch.randn(5, 3)
    torch.testing.assert_close(consistent(SCALED_LINEAR, noise, x, full(5, 0)), x)


@examples(20)
@given(
    st.integers(0, LEVELS - 1),
    st.sampled_from(["unipc", "deis", "dpmsolver++"]),
    st.floats(-2, 2),
    st.floats(0.5, 2),
)
def test_the_chain_ends_where_the_flow_leads(begin, solver, mean, deviation):
    ideal = Gaussian(SCALED_LINEAR, mean, deviation)
    chain = Solver(solver, SCALED_LINEAR, LEVELS, begin=begin)
    assert chain.times == Solver(solver, SCALED_LINEAR, LEVELS).times[begin:]
    assert chain.times[0] == (LEVELS - begin) * StudentConfig().interval - 1
    noisy = torch.randn(200, 1, generator=torch.Generator().manual_seed(0)) + 0.1
    made = end_of_chain(lambda x, times: ideal.predict(x, int(times[0])), noisy, chain)
    off = made - ideal.flow(noisy, chain.times[0])
    assert float(off.square().mean().sqrt()) < 0.12 * deviation


def test_an_interval_is_a_step_of_ddim():
    ideal = Gaussian(SCALED_LINEAR, 0.5, 0.7)
    solver, x = Solver("ddim", SCALED_LINEAR, LEVELS), torch.randn(50)
    time = solver.times[3]
    noise = ideal.predict(x, time)
    stepped = solver.scheduler.step(ideal.clean(x, time), time, x).prev_sample
    made = one_interval(SCALED_LINEAR, noise, x, level=time, interval=50)
    torch.testing.assert_close(made, stepped)
    last = one_interval(SCALED_LINEAR, ideal.predict(x, 49), x, level=49, interval=50)
    torch.testing.assert_close(last, ideal.clean(x, 49))


def test_metrics():
    made, target = torch.tensor([0.0, 3.0]), torch.tensor([0.0, 0.0])
    assert float(distance(made, target, DistillationConfig(metric="l2"))) == 4.5
    huber = float(distance(made, target, DistillationConfig()))
    assert huber == pytest.approx((math.hypot(3, 0.5) - 0.5) / 2)


@examples(10)
@given(st.integers(20, 980), st.floats(-1, 1), st.floats(0.4, 1.6))
def test_matching_has_the_gradient_of_the_divergence(time, mean, deviation):
    """Against finite differences of the divergence of two Gaussians, noised to one time."""
    teacher, count = Gaussian(SCALED_LINEAR, 0.3, 0.8), 40_000
    kept = SCALED_LINEAR.alphas_cumprod[time]

    def divergence(mean, deviation):
        ours, theirs = (kept * each**2 + 1 - kept for each in (deviation, teacher.deviation))
        off = kept * (mean - teacher.mean) ** 2
        return 0.5 * (ours / theirs - 1 - math.log(ours / theirs) + off / theirs)

    step = 1e-4
    slopes = [
        (divergence(mean + step, deviation) - divergence(mean - step, deviation)) / (2 * step),
        (divergence(mean, deviation + step) - divergence(mean, deviation - step)) / (2 * step),
    ]
    rng = torch.Generator().manual_seed(0)
    own, noise = torch.randn(2, count, generator=rng).split(1)
    own, noise = torch.cat((own, -own), 1)[0], torch.cat((noise, noise), 1)[0]
    at = torch.tensor([mean, deviation], requires_grad=True)
    loss = matching_loss(
        at[0] + at[1] * own,
        noise,
        full(2 * count, time),
        schedule=SCALED_LINEAR,
        student=lambda x, times: Gaussian(SCALED_LINEAR, mean, deviation).predict(x, time),
        teacher=lambda x, times: teacher.predict(x, time),
    )
    (2 * count * loss).backward()
    found = at.grad / (2 * count)
    np.testing.assert_allclose(found.numpy(), slopes, atol=0.02, rtol=0.05)


class Mixture:
    """The best possible network for a mixture of small Gaussians in the plane."""

    CENTRES = torch.tensor([[1.2, 0.0], [-0.6, 1.0], [-0.6, -1.0]])
    DEVIATION = 0.3

    def draw(self, count, rng):
        which = torch.randint(len(self.CENTRES), (count,), generator=rng)
        return self.CENTRES[which] + self.DEVIATION * torch.randn(count, 2, generator=rng)

    def noise(self, x, times):
        signal, deviation = SCALED_LINEAR.levels(times, x)
        variance = (signal * self.DEVIATION) ** 2 + deviation**2
        away = x[:, None] - signal[..., None] * self.CENTRES
        weights = (-0.5 * away.square().sum(-1) / variance).softmax(1)
        return deviation / variance * (weights[..., None] * away).sum(1)


class Residual(torch.nn.Module):
    """A student that starts as its teacher."""

    def __init__(self, teacher):
        super().__init__()
        self.teacher = teacher
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(3, 128),
            torch.nn.SiLU(),
            torch.nn.Linear(128, 128),
            torch.nn.SiLU(),
            torch.nn.Linear(128, 2),
        )
        torch.nn.init.zeros_(self.layers[-1].weight)

    def forward(self, x, times):
        level = times[:, None] / 500 - 1
        signal, _ = SCALED_LINEAR.levels(times, x)  # changes of the sample are that much smaller
        return self.teacher.noise(x, times) + signal * self.layers(torch.cat((x, level), 1))


def energy(one, other):
    """Squared energy distance of two sets of points."""
    return 2 * torch.cdist(one, other).mean() - sum(torch.cdist(x, x).mean() for x in (one, other))


def p_value(one, other, rng, permutations=300):
    """Of a permutation test that both are of one distribution."""
    both, found = torch.cat((one, other)), energy(one, other)
    larger = 0
    for _ in range(permutations):
        order = torch.randperm(len(both), generator=rng)
        larger += energy(*both[order].split(len(one))) >= found
    return (1 + int(larger)) / (1 + permutations)


STEPS = 800


@pytest.mark.slow
def test_a_student_makes_in_one_step_what_its_teacher_makes_in_many():
    torch.manual_seed(0)
    rng, teacher = torch.Generator().manual_seed(0), Mixture()
    student, how = Residual(teacher), DistillationConfig()
    optimizer = torch.optim.Adam(student.parameters(), lr=3e-3)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    noise = torch.randn(400, 2, generator=rng)
    last = full(len(noise), 999)

    def made():
        with torch.no_grad():
            return consistent(SCALED_LINEAR, student(noise, last), noise, last)

    theirs = end_of_chain(teacher.noise, torch.randn(400, 2, generator=rng), chain_from(0))
    assert p_value(made(), theirs, rng) < 0.01  # the teacher itself in one step
    for step in range(STEPS):
        begin = step % LEVELS
        clean, drawn = teacher.draw(256, rng), torch.randn(256, 2, generator=rng)
        times = full(256, chain_from(begin).times[0])
        noisy = SCALED_LINEAR.add_noise(clean, drawn, times)
        target = end_of_chain(teacher.noise, noisy, chain_from(begin))
        loss = distance(consistent(SCALED_LINEAR, student(noisy, times), noisy, times), target, how)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        rate.step()
    assert p_value(made(), theirs, rng) > 0.01


def chain_from(begin):
    return Solver("unipc", SCALED_LINEAR, LEVELS, begin=begin)


def student_recipe(pairs, teacher, *changes):
    words = [*tiny.ILD_STUDENT, f"data.pairs={pairs}", f"data.teacher={teacher}", *ANY]
    return apply_overrides(find_recipe("ild/student-open"), [*words, *changes])


@pytest.fixture(scope="module")
def student(pairs, trained, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "fild"
    recipe = student_recipe(pairs, trained[1], "optim.steps=80", "optim.lr=1e-2")
    return tiny.train(recipe, folder), folder / "last"


def test_a_distillation_brings_the_student_to_its_teacher(student):
    records, last = student
    scores = losses(records, "distillation")
    assert np.mean(scores[-4:]) < 0.8 * np.mean(scores[:4])
    model = duomotion.load(last)
    assert isinstance(model, Fild) and model.tuned.steps == 1
    clip = model.generate("two wave", seconds=1)
    assert clip.num_frames == 30 and np.isfinite(clip.positions).all()


@pytest.mark.parametrize(
    "changes",
    [
        ("distillation.full_chain=false",),
        ("model.guidance_dim=8", "model.guidance=9"),
        ("distillation.scores=fake", "distillation.matching=0.01"),
        ("distillation.matching=0", "distillation.metric=l2", "distillation.solver=deis"),
    ],
    ids=str,
)
def test_switches_of_a_distillation(pairs, trained, tmp_path, changes):
    recipe = student_recipe(pairs, trained[1], *changes, "optim.steps=10")
    records = tiny.train(recipe, tmp_path / "run")
    assert np.isfinite(losses(records)).all()
    assert ("fake" in records[0]) == ("distillation.scores=fake" in changes)
    model = duomotion.load(tmp_path / "run" / "last")
    told = "model.guidance_dim=8" in changes
    assert model.tuned.guidance == (9 if told else None)
    clips = [
        model.generate("hi", seconds=1, sampling=Sampling(guidance=scale)).positions
        for scale in ((3, 9) if told else (None, None))
    ]
    assert np.array_equal(*clips) != told


def test_a_distillation_that_was_stopped_goes_on_as_if_it_had_not_been(pairs, trained, tmp_path):
    changes = ("distillation.full_chain=false", "distillation.scores=fake")
    whole = student_recipe(pairs, trained[1], *changes, "optim.steps=4", "optim.schedule=constant")
    tiny.train(whole, tmp_path / "whole")
    tiny.train(apply_overrides(whole, ["optim.steps=2"]), tmp_path / "parts")
    tiny.train(whole, tmp_path / "parts")
    one, other = (
        duomotion.checkpoint.read_checkpoint(tmp_path / name / "last").tensors
        for name in ("whole", "parts")
    )
    assert any(name.startswith("target.") for name in one)
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], rtol=0, atol=0)


@pytest.mark.parametrize("steps", [1, 4])
def test_alone_as_in_a_batch(student, steps):
    model = duomotion.load(student[1])
    sampling = Sampling(steps=steps, avoid_collisions=False)
    texts = ["two wave 1", "hi", "two wave 5"]
    for text, clip in zip(
        texts, model.generate_many(texts, seconds=1, seed=2, sampling=sampling), strict=True
    ):
        alone = model.generate(text, seconds=1, seed=2, sampling=sampling)
        np.testing.assert_allclose(clip.positions, alone.positions, atol=1e-4)


def test_known_motion_comes_back(student):
    clip, model = waving(frames=30), duomotion.load(student[1])
    reaction = model.react(clip.person(1), "two wave")
    np.testing.assert_allclose(reaction.positions[0], clip.positions[1], atol=1e-5)


@pytest.mark.parametrize(("sampling", "steps"), [(Sampling(), (1, 4)), (Sampling(steps=2), (2, 2))])
def test_beside_known_motion_more_steps_are_taken(student, sampling, steps):
    clip, model, seen = waving(frames=30), duomotion.load(student[1]), []
    model.react(clip.person(1), "two wave", sampling=sampling, callback=seen.append)
    model.inpaint(clip, unknown=(0.3, 0.6), sampling=sampling, callback=seen.append)
    assert {each.steps for each in seen} == {steps[1]}
    seen.clear()
    model.generate("two wave", seconds=1, sampling=sampling, callback=seen.append)
    assert {each.steps for each in seen} == {steps[0]}


def test_what_is_known_of_one_clip_changes_no_other(student):
    clip, model = waving(frames=30), duomotion.load(student[1])
    free = model.request("two wave", seconds=1, seed=3)
    beside = model.request("hi", seconds=1, seed=4)
    mask = np.zeros((2, 30), bool)
    mask[:, :10] = True
    beside = replace(beside, known=clip, known_mask=mask)
    both = model.fulfil([free, beside])
    for made, request in zip(both, (free, beside), strict=True):
        (alone,) = model.fulfil([request])
        np.testing.assert_allclose(made.positions, alone.positions, atol=1e-4)


def test_settings_that_a_student_has_not_are_refused(student):
    model = duomotion.load(student[1])
    with pytest.raises(ValueError, match="lcm takes at most 20 steps of this model, not 21"):
        model.generate("hi", seconds=1, sampling=Sampling(steps=21))
    for name, value in (("solver", "deis"), ("guidance", 3)):
        with pytest.raises(ValueError, match=f"no sampling setting {name}; it has steps"):
            model.generate("hi", seconds=1, sampling=replace(Sampling(), **{name: value}))


def test_a_teacher_that_does_not_fit_is_refused(pairs, trained, latents, student):
    recipe = student_recipe(pairs, trained[1])
    with pytest.raises(ValueError, match="has latent_dim 16; the student's, 8, must be the same"):
        tiny.task_of(apply_overrides(recipe, ["model.latent_dim=8"]))
    with pytest.raises(ValueError, match="reads the text vectors of 'sentence'; the student's"):
        tiny.task_of(apply_overrides(recipe, ["data.text_encoder=clip"]))
    for folder, kind in ((latents[1], "autoencoder"), (student[1], "student")):
        with pytest.raises(ValueError, match=f"'ild/{kind}', not of 'ild/denoiser'"):
            tiny.task_of(apply_overrides(recipe, [f"data.teacher={folder}"]))


def test_settings_of_a_student_are_checked():
    with pytest.raises(ValueError, match="interval 30 must divide the 1000 noise levels"):
        StudentConfig(interval=30)
    with pytest.raises(ValueError, match="steps must be at most 20, not 21"):
        StudentConfig(steps=21)
    with pytest.raises(ValueError, match="guidance_dim must be even, not 9"):
        StudentConfig(guidance_dim=9)


def test_the_scale_that_a_student_is_told_is_not_rounded(monkeypatch):
    config = StudentConfig(transformer=TINY, latent_dim=8, text_dim=16, guidance_dim=4)
    network, told = LatentDenoiser(config).to(torch.bfloat16), []
    embed = network.embed_times
    monkeypatch.setattr(
        network, "embed_times", lambda times, scale: told.append(scale) or embed(times, scale)
    )
    sampling = Sampling(solver="lcm", steps=1, guidance=8.1)
    denoise(network, torch.zeros(1, 4, 8), None, 20, rngs=[torch.Generator()], sampling=sampling)
    assert told[0].tolist() == pytest.approx([8.1])


def test_fast_sampling_equals_the_reference():
    torch.manual_seed(0)
    bench = FildBench(
        StudentConfig(transformer=TINY, latent_dim=8, text_dim=16),
        AutoencoderConfig(transformer=TINY, latent_dim=8),
        precision="float32",
    )
    ours = bench.generate(1, 2)
    torch.testing.assert_close(ours, bench.generate(1, 2, reference=True), atol=1e-4, rtol=1e-4)
    assert list(bench.variants) == ["ILD in 10 steps", "with collision guidance"]
    assert bench.variants["ILD in 10 steps"](1, 2).shape == ours.shape == (2, 2, 30, 262)
