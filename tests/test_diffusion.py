"""Noise schedules and solvers: fixtures, closed forms on a Gaussian, imposed values."""

import subprocess
import sys

import numpy as np
import parity
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from duomotion.sampling.diffusion import LCM_STEPS, NoiseSchedule, Solver, draw_noise
from duomotion.sampling.request import SOLVERS, Sampling

DETERMINISTIC = [name for name in SOLVERS if name != "lcm"]
COSINE = NoiseSchedule()


def rngs(count, seed=0):
    return [torch.Generator().manual_seed(seed + row) for row in range(count)]


def test_schedules_are_the_recorded_ones():
    _, tensors = parity.load(parity.one_of("diffusion_schedules*"))
    linear = NoiseSchedule(kind="linear", num_steps=len(tensors["out/linear_betas"]))
    np.testing.assert_allclose(linear.betas, tensors["out/linear_betas"], rtol=1e-12)
    cosine = NoiseSchedule(num_steps=len(tensors["out/betas"]))
    np.testing.assert_allclose(cosine.betas, tensors["out/betas"], rtol=1e-12)
    np.testing.assert_allclose(
        cosine.alphas_cumprod, tensors["out/full/alphas_cumprod"], rtol=1e-10
    )
    noisy = cosine.add_noise(tensors["in/x0"], tensors["in/eps"], tensors["in/q_t"])
    parity.close(noisy, tensors["out/q_sample"])


def test_ddim_visits_the_recorded_steps():
    description, tensors = parity.load(parity.one_of("diffusion_schedules*"))
    for strategy in description["config"]["strategies"]:
        steps = int(strategy.removeprefix("ddim"))
        visited = Solver("ddim", COSINE, steps).times
        assert visited[::-1] == tensors[f"out/{strategy}/timesteps"].tolist()
        np.testing.assert_allclose(
            COSINE.alphas_cumprod[visited[::-1]],
            tensors[f"out/{strategy}/alphas_cumprod"],
            rtol=1e-10,
        )


def test_scaled_linear_is_linear_in_the_square_root():
    schedule = NoiseSchedule(kind="scaled_linear", beta_start=0.00085, beta_end=0.012)
    assert schedule.betas[[0, -1]] == pytest.approx([0.00085, 0.012])
    assert np.diff(np.sqrt(schedule.betas)) == pytest.approx(np.diff(np.sqrt(schedule.betas))[0])


class Gaussian:
    """The best possible network for samples of N(mean, deviation²)."""

    def __init__(self, schedule, mean, deviation):
        self.schedule, self.mean, self.deviation = schedule, mean, deviation

    def clean(self, x, time):
        kept, variance = self.schedule.alphas_cumprod[time], self.deviation**2
        gain = kept**0.5 * variance / (kept * variance + 1 - kept)
        return self.mean + gain * (x - kept**0.5 * self.mean)

    def predict(self, x, time):
        clean = self.clean(x, time)
        if self.schedule.prediction == "sample":
            return clean
        kept = self.schedule.alphas_cumprod[time]
        noise = (x - kept**0.5 * clean) / (1 - kept) ** 0.5
        if self.schedule.prediction == "velocity":
            return kept**0.5 * noise - (1 - kept) ** 0.5 * clean
        return noise

    def flow(self, x, time):
        """Where the probability flow leads from a time to no noise at all."""
        kept = self.schedule.alphas_cumprod[time]
        scale = self.deviation / (kept * self.deviation**2 + 1 - kept) ** 0.5
        return self.mean + scale * (x - kept**0.5 * self.mean)


def error(name, steps, ideal, count=200):
    """Of a run against the flow from where it starts, in deviations."""
    solver = Solver(name, ideal.schedule, steps)
    noise = draw_noise((count,), rngs(1))
    made = solver.run(lambda x, step: ideal.predict(x, solver.times[step]), noise, rngs=rngs(1))
    off = made - ideal.flow(noise, solver.times[0])
    return float(off.square().mean().sqrt()) / ideal.deviation


@examples(20)
@given(
    st.sampled_from(["cosine", "linear", "scaled_linear"]),
    st.sampled_from(["sample", "epsilon", "velocity"]),
    st.floats(-2, 2),
    st.floats(0.3, 2),
    st.sampled_from(DETERMINISTIC),
)
def test_solvers_follow_the_probability_flow(kind, prediction, mean, deviation, name):
    ideal = Gaussian(NoiseSchedule(kind=kind, prediction=prediction), mean, deviation)
    few, many = (error(name, steps, ideal) for steps in (10, 200))
    assert many < 0.05 and many < few + 0.01


@pytest.mark.parametrize("prediction", ["sample", "epsilon", "velocity"])
def test_what_a_network_should_predict_gives_the_clean_sample(prediction):
    schedule, times = NoiseSchedule(prediction=prediction), torch.tensor([0, 300, 990])
    clean, noise = torch.randn(3, 5), torch.randn(3, 5)
    target = schedule.target(clean, noise, times)
    found = schedule.clean(target, schedule.add_noise(clean, noise, times), times)
    torch.testing.assert_close(found, clean, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["dpmsolver++", "deis", "unipc"])
def test_second_order_needs_fewer_steps(name):
    ideal = Gaussian(COSINE, 0.5, 0.7)
    assert error(name, 10, ideal) < 0.5 * error("ddim", 10, ideal)


def test_lcm_draws_the_distribution():
    ideal = Gaussian(COSINE, 0.5, 0.7)
    solver = Solver("lcm", COSINE, 4)
    noise = draw_noise((4000,), rngs(1))
    made = solver.run(lambda x, step: ideal.predict(x, solver.times[step]), noise, rngs=rngs(1))
    assert float(made.mean()) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("resampling", [1, 3])
def test_known_values_come_back_exactly(name, resampling):
    """And what is generated beside them is drawn to them by a network that makes all alike."""
    solver = Solver(name, COSINE, 8)
    values, mask = torch.full((2, 6), 0.3), torch.zeros(2, 6, dtype=torch.bool)
    mask[:, :3] = True

    def predict(x, step):
        return x.mean(1, keepdim=True).expand_as(x)

    made = solver.run(
        predict,
        draw_noise((6,), rngs(2)),
        rngs=rngs(2),
        resampling=resampling,
        adjust=lambda clean, _: torch.where(mask, values, clean),
    )
    assert torch.equal(made[mask], values[mask])
    assert (made[~mask] - 0.3).abs().max() < 1.2


@pytest.mark.parametrize("name", SOLVERS)
def test_a_sample_is_the_same_alone_and_beside_others(name):
    def run(rows):
        solver = Solver(name, COSINE, 5)
        own = [torch.Generator().manual_seed(row) for row in rows]
        return solver.run(
            lambda x, _: 0.8 * x.tanh(), draw_noise((3, 4), own), rngs=own, resampling=2
        )

    torch.testing.assert_close(run([0, 1, 2])[1:2], run([1]))


def test_each_step_is_reported():
    seen = []
    Solver("unipc", COSINE, 6).run(
        lambda x, _: x, torch.zeros(1, 2), rngs=rngs(1), on_step=lambda *step: seen.append(step)
    )
    assert seen == [(step, 6) for step in range(1, 7)]


@pytest.mark.parametrize("name", SOLVERS)
def test_too_many_steps(name):
    most = LCM_STEPS if name == "lcm" else 100
    with pytest.raises(ValueError, match=f"{name.replace('+', '.')} takes at most {most} steps"):
        Solver(name, NoiseSchedule(num_steps=100), 101)


def test_solvers_that_do_not_exist():
    with pytest.raises(ValueError, match="no solver 'euler'; choose ddim, dpmsolver"):
        Sampling(solver="euler")
    with pytest.raises(ValueError, match="resampling has to be 1 to"):
        Sampling(resampling=0)
    assert str(Sampling(steps=5, solver="deis")) == "steps 5, solver deis"


def test_diffusers_is_not_imported_before_something_is_sampled():
    code = "import sys, duomotion.models.pair_diffusion; assert 'diffusers' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
