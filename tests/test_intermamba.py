"""InterMamba: the scan, padding, its reference, its switches, a tiny training, what it makes."""

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st
from motions import waving
from properties import examples
from test_matching import interx_pairs

import duomotion
from duomotion.checkpoint import pack_checkpoint, read_checkpoint
from duomotion.config import apply_overrides
from duomotion.models import find_recipe
from duomotion.models.intermamba.config import InterMambaConfig
from duomotion.models.intermamba.generate import InterMamba
from duomotion.models.intermamba.network import InterMambaDenoiser, InterMambaDiffusion
from duomotion.models.intermamba.objective import fusion_weights
from duomotion.models.intermamba.reference import ReferenceDenoiser, recurrence
from duomotion.models.layers import selective_scan as scans
from duomotion.models.layers.patch_code import PatchCodeConfig
from duomotion.models.layers.selective_scan import selective_scan
from duomotion.models.pair_diffusion import denoise
from duomotion.sampling.request import Sampling

__all__ = ["interx_pairs"]
pytestmark = pytest.mark.usefixtures("cache", "hardly_separated")

SIZES = {"width": 16, "state_size": 4, "head_width": 8, "num_heads": 2, "max_frames": 24}
SIZES |= {"text_dim": 8, "text_layers": 0, "num_joints": 5}
APART_OR_NOT = Sampling(avoid_collisions=False)  # so small models leave much to move apart
BOTH_AXES = pytest.mark.parametrize("axis", ["channels", "joints"])


def scanned(seed, batch, length, heads, channels, states, dtype=torch.float64):
    """Random arguments of the scan; step sizes and decays are as wide apart as in training."""
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=rng, dtype=torch.float64)

    found = (
        normal(batch, length, heads, channels),
        (2 * normal(batch, length, heads) - 4).exp(),
        -(1.5 * normal(heads)).exp(),
        normal(batch, length, states),
        normal(batch, length, states),
    )
    return tuple(x.to(dtype).requires_grad_() for x in found)


@examples(25)
@given(
    seed=st.integers(0, 99),
    length=st.integers(1, 70),
    shape=st.tuples(*[st.integers(1, 3)] * 3),
    states=st.integers(1, 5),
    chunk=st.sampled_from([1, 7, 16, 64]),
)
def test_the_scan_is_the_recurrence_forward_and_backward(seed, length, shape, states, chunk):
    batch, heads, channels = shape
    exact = scanned(seed, batch, length, heads, channels, states)
    expected = recurrence(*exact)
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(seed))
    wanted = torch.autograd.grad((expected * weights).sum(), exact)
    for dtype, tolerance in ((torch.float64, 1e-10), (torch.float32, 1e-5)):
        given = scanned(seed, batch, length, heads, channels, states, dtype)
        made = selective_scan(*given, chunk=chunk)
        gradients = torch.autograd.grad((made * weights.to(dtype)).sum(), given)
        for ours, theirs in zip((made, *gradients), (expected, *wanted), strict=True):
            scale = max(1.0, float(theirs.detach().abs().max()))
            # Gradients of decays and states are sums over places, whose terms cancel.
            allowed = tolerance if ours is made else 3 * tolerance
            torch.testing.assert_close(ours.double() / scale, theirs / scale, atol=allowed, rtol=0)


def test_nothing_overflows_where_much_is_forgotten():
    x, step, _, into, out = scanned(0, 1, 300, 2, 2, 3, torch.float32)
    made = selective_scan(x, 50 * step + 1, torch.tensor([-100.0, -1e-6]), into, out)
    assert made.isfinite().all()
    gradients = torch.autograd.grad(made.sum(), (x, step, into, out))
    assert all(gradient.isfinite().all() for gradient in gradients)


@torch.no_grad()
def test_in_bfloat16_only_products_are_rounded():
    exact = scanned(4, 2, 300, 2, 8, 4, torch.float32)
    halves = exact[0].bfloat16(), *exact[1:]
    made = selective_scan(*halves)
    expected = recurrence(halves[0].float(), *exact[1:])
    assert made.dtype == torch.bfloat16
    assert float((made - expected).norm() / expected.norm()) < 0.01


def test_the_kernel_would_get_inputs_that_make_up_for_its_rule(monkeypatch):
    """mamba-ssm's kernel takes B D x for what is added; a stand-in for it shows the same result."""

    def kernel(x, step, decay, into, out, chunk):
        kept, length = (step * decay).exp(), x.shape[1]
        state, made = torch.zeros(*x[:, 0].shape, into.shape[-1]), []
        for place in range(length):
            added = (step[:, place, :, None] * x[:, place])[..., None] * into[:, place, :, None]
            state = kept[:, place, :, None, None] * state + added
            made.append((state * out[:, place, :, None]).sum(-1))
        return torch.stack(made, 1)

    exact = scanned(3, 2, 9, 2, 3, 4, torch.float32)
    monkeypatch.setattr(scans, "_kernel_for", lambda x: kernel)
    torch.testing.assert_close(selective_scan(*exact), recurrence(*exact), atol=1e-5, rtol=1e-5)


def network_of(**changes):
    torch.manual_seed(0)
    network = InterMambaDenoiser(InterMambaConfig(**{**SIZES, **changes})).eval()
    for name, parameter in network.named_parameters():
        if not name.endswith(("step_bias", "log_decay", "fusion")):
            torch.nn.init.normal_(parameter, std=0.2)
    return network.requires_grad_(False)


def predict(network, x, times, text, lengths=None, drop=None):
    norms = network.modulate(network.embed(network.condition(text, drop), times))
    return network(x, norms, lengths)


SWITCHES = {
    "plain": {},
    "shared": {"share_weights": True, "person_embedding": True},
    "both ways": {"bidirectional": True},
    "patches": {"code": PatchCodeConfig(patch=4, size=20), "max_frames": 96},
    "without temporal": {"temporal": False},
    "without spatial": {"spatial": False},
    "without liia": {"liia": False},
    "without self-astm": {"self_astm": False},
    "without cross-astm": {"cross_astm": False, "share_weights": True},
    "ultralight": {"num_modules": 1},
}


@BOTH_AXES
@pytest.mark.parametrize("changes", SWITCHES.values(), ids=SWITCHES)
def test_padding_changes_nothing(axis, changes):
    network = network_of(spatial_axis=axis, **changes)
    x, text = torch.randn(2, 2, 24, network.config.num_inputs), torch.randn(2, 8)
    times = torch.tensor([3, 700])
    padded = predict(network, x, times, text, torch.tensor([24, 16]))
    alone = predict(network, x[1:, :, :16], times[1:], text[1:])
    torch.testing.assert_close(padded[1:, :, :16], alone, atol=1e-5, rtol=1e-4)


@BOTH_AXES
def test_90_frames_are_the_same_alone_and_beside_300(axis):
    network = network_of(spatial_axis=axis, max_frames=300, bidirectional=True)
    x, text, times = torch.randn(2, 2, 300, 262), torch.randn(2, 8), torch.tensor([500, 500])
    padded = predict(network, x, times, text, torch.tensor([300, 90]))
    alone = predict(network, x[1:, :, :90], times[1:], text[1:])
    torch.testing.assert_close(padded[1:, :, :90], alone, atol=1e-5, rtol=1e-4)


@torch.no_grad()
@BOTH_AXES
@pytest.mark.parametrize("changes", SWITCHES.values(), ids=SWITCHES)
def test_fast_equals_reference(axis, changes):
    network = network_of(spatial_axis=axis, **changes)
    rng = torch.Generator().manual_seed(5)
    noise = torch.randn(2, 2, 16, network.config.num_inputs, generator=rng)
    text = torch.randn(2, 8, generator=rng)
    sampling = Sampling(solver="ddim", steps=4, guidance=3.5, resampling=1)
    fast = denoise(network, noise, text, rngs=[rng] * 2, sampling=sampling)
    expected = ReferenceDenoiser(network).sample(noise, text, 4, 3.5)
    scale = float(expected.abs().max())
    torch.testing.assert_close(fast / scale, expected / scale, atol=1e-4, rtol=0)


def test_longer_motion_is_another_only_where_the_axis_is_time():
    x, text, times = torch.randn(1, 2, 40, 262), torch.randn(1, 8), torch.tensor([9])
    joints = network_of(spatial_axis="joints")
    assert predict(joints, x, times, text).shape == x.shape
    channels = network_of(spatial_axis="channels")
    with pytest.raises(AssertionError):
        predict(channels, x, times, text)


@pytest.mark.parametrize(("modules", "published"), [(2, 117e6), (1, 66e6)])
@pytest.mark.parametrize(
    ("axis", "found"),
    [("channels", {2: 119_099_606, 1: 66_776_814}), ("joints", {2: 116_133_854, 1: 65_293_938})],
)
def test_the_published_size_has_its_count(modules, published, axis, found):
    """Denoiser and text head, without CLIP, as InterGen's 182 M are counted."""
    with torch.device("meta"):
        network = InterMambaDenoiser(InterMambaConfig(num_modules=modules, spatial_axis=axis))
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == found[modules] and count == pytest.approx(published, rel=0.05)


def test_the_open_model_has_at_most_8_mb():
    with torch.device("meta"):
        network = InterMambaDenoiser(find_recipe("intermamba/denoiser-open").model)
    assert 2 * sum(parameter.numel() for parameter in network.parameters()) < 8e6


def recipe(pairs, *changes):
    return apply_overrides(
        find_recipe("intermamba/denoiser-open"),
        [
            *tiny.INTERMAMBA,
            f"data.pairs={pairs}",
            "optim.batch_size=4",
            "optim.warmup_steps=0",
            *changes,
        ],
    )


@pytest.fixture(scope="module")
def trained(pairs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    changes = ("optim.steps=60", "optim.lr=1e-2", *tiny.FAST)
    records = tiny.train(recipe(pairs, *changes), folder / "intermamba")
    return records, folder / "intermamba" / "last"


def test_training_from_clips_to_motion(trained, tmp_path):
    records, last = trained
    losses = [record["loss"] for record in records if "loss" in record]
    assert losses[-1] < 0.7 * losses[0]
    assert {"simple", "velocity", "bone", "contact", "orientation", "distance"} <= set(records[0])
    assert read_checkpoint(last).recipe["system"] == "intermamba/denoiser"
    pack_checkpoint(last, tmp_path / "packed")
    model = duomotion.load(tmp_path / "packed")
    assert isinstance(model, InterMamba)
    clip = model.generate("two wave", seconds=1)
    assert clip.num_frames == 30 and np.isfinite(clip.positions).all()
    assert clip.reading is not None and clip.reading.known
    height = clip.positions[..., 1].max()
    assert 1 < height < 2.5  # its mean pose is known from the statistics


def test_fusion_weights_are_logged_on_their_way(trained):
    paths = {name: [record[name] for record in trained[0] if name in record] for name in ALPHAS}
    assert all(len(path) > 2 and path[0] != path[-1] for path in paths.values())
    assert paths["alpha"][0] == pytest.approx(0.5, abs=0.1)
    assert fusion_weights(network_of(self_astm=False, cross_astm=False)) == {}


ALPHAS = ("alpha", "beta", "alpha/1/own", "beta/1/own", "alpha/1/cross", "beta/1/cross")


@pytest.mark.parametrize(
    "changes",
    [
        ("spatial_axis=channels",),
        ("temporal=false",),
        ("spatial=false", "bidirectional=false"),
        ("adaptive=false", "share_weights=false"),
        ("self_astm=false",),
        ("cross_astm=false", "liia=false"),
        ("liia=false", 'code={"patch": 4, "size": 32}'),
    ],
    ids=str,
)
def test_switches_train_and_generate(pairs, tmp_path, changes):
    model = (f"model.{change}" for change in changes)
    records = tiny.train(recipe(pairs, *model, "optim.steps=5", *tiny.FAST), tmp_path / "run")
    assert np.isfinite([record["loss"] for record in records if "loss" in record]).all()
    alphas = [record["alpha"] for record in records if "alpha" in record]
    if "adaptive=false" in changes:
        assert set(alphas) == {0.5}
    model = duomotion.load(tmp_path / "run" / "last")
    clip = model.generate("hi", seconds=1, sampling=APART_OR_NOT)
    assert clip.num_frames == 30 and np.isfinite(clip.positions).all()


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(solver="lcm", resampling=2, guidance=1)])
def test_alone_as_in_a_batch(trained, sampling):
    tiny.assert_alone_as_in_a_batch(duomotion.load(trained[1]), sampling)


def test_known_motion_comes_back(trained):
    model = duomotion.load(trained[1])
    clip = waving(frames=30)
    reaction = model.react(clip.person(1), "two wave")
    np.testing.assert_allclose(reaction.positions[0], clip.positions[1], atol=1e-5)
    between = model.inpaint(clip, unknown=(0.3, 0.6), sampling=Sampling(resampling=3))
    kept = [*range(9), *range(18, 30)]
    np.testing.assert_allclose(between.positions[:, kept], clip.positions[:, kept], atol=1e-5)
    longer = model.extend(clip, seconds=2)
    assert longer.num_frames == 60
    np.testing.assert_allclose(longer.positions[:, :30], clip.positions, atol=1e-5)


def test_long_motion_in_one_piece(trained, pairs, tmp_path):
    model = duomotion.load(trained[1])
    steps = []
    clip = model.in_one_piece(450).generate(
        "two wave", seconds=12, sampling=APART_OR_NOT, callback=steps.append
    )
    assert clip.num_frames == 360 and np.isfinite(clip.positions).all()
    assert {step.windows for step in steps} == {1}
    assert model.any_length and model.in_one_piece(60).max_frames == 450
    changes = ("model.spatial_axis=channels", "optim.steps=1", *tiny.FAST)
    tiny.train(recipe(pairs, *changes), tmp_path / "run")
    bound = duomotion.load(tmp_path / "run" / "last")
    with pytest.raises(ValueError, match="last is bound to 300 frames by its spatial axis"):
        bound.in_one_piece(450)
    assert not bound.any_length


def test_it_trains_on_inter_x_layout_too(interx_pairs, tmp_path):
    changes = ("model.layout=interx", "model.num_features=336", "data.examples.max_frames=150")
    changes += ("model.max_frames=150", "data.examples.floor=each")
    changes += ("optim.steps=30", "optim.lr=1e-2", *tiny.FAST)
    records = tiny.train(recipe(interx_pairs, *changes), tmp_path / "run")
    losses = [record["loss"] for record in records if "loss" in record]
    assert losses[-1] < 0.9 * losses[0]
    clip = duomotion.load(tmp_path / "run" / "last").generate("hi", seconds=1)
    assert clip.num_people == 2 and np.isfinite(clip.positions).all()


def test_the_command_line(run, trained, tmp_path):
    words = ("generate", "two wave", "--seconds", 1, "--model", trained[1], "--formats", "npz")
    status, printed, _ = run(*words, "--solver", "unipc", "--steps", 3, "--out", tmp_path)
    assert status == 0 and "-steps3-solverunipc-1s-0.npz" in printed
    status, printed, error = run(*words, "--solver", "lcm", "--steps", 99)
    assert (status, printed) == (2, "") and "lcm takes at most 50 steps" in error


def test_bad_input(trained, pairs):
    model = duomotion.load(trained[1])
    with pytest.raises(ValueError, match="has no sampling setting reaction_steps"):
        model.generate("hi", seconds=1, sampling=Sampling(reaction_steps=3))
    with pytest.raises(ValueError, match=r"data\.examples\.max_frames must be at most .* 200, not"):
        tiny.task_of(recipe(pairs, "model.max_frames=200"))
    with pytest.raises(ValueError, match="layout must be interhuman or interx, not kit"):
        InterMambaDiffusion(InterMambaConfig(layout="kit-ml", num_features=251))
    for changes, reason in (
        ({"temporal": False, "spatial": False}, "one branch is needed"),
        ({"kernel": 4}, "kernel must be odd"),
        ({"width": 16}, "num_joints must be at most the width 16, not 22"),
        (
            {"max_frames": 30, "code": PatchCodeConfig(), "spatial_axis": "channels"},
            "max_frames 30 must be a multiple of patch 8",
        ),
        ({"width": 1022, "self_astm": False}, "multiple of num_heads"),
        ({"width": 1023}, "width must be even"),
    ):
        with pytest.raises(ValueError, match=reason):
            InterMambaConfig(**changes)
    with pytest.raises(ValueError, match="spatial_axis"):
        apply_overrides(find_recipe("intermamba/denoiser"), ["model.spatial_axis=bones"])
