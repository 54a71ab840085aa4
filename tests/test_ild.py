"""ILD: latents, alignment, solver, guidance, tiny trainings, what it generates."""

import itertools
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st
from motions import off, waving
from test_matching import interx_pairs

import duomotion
from duomotion.bench import table
from duomotion.body.constraints import Contact, RootPath
from duomotion.body.pair_bodies import CapsuleBodies
from duomotion.checkpoint import read_checkpoint
from duomotion.config import apply_overrides
from duomotion.models import find_recipe
from duomotion.models.ild.alignment import Alignment, interpolation, pooling
from duomotion.models.ild.autoencoder import InteractionAutoencoder, InteractionCodec
from duomotion.models.ild.bench import IldBench
from duomotion.models.ild.config import (
    AutoencoderConfig,
    AutoencoderLossWeights,
    LatentDenoiserConfig,
    LinearCodeConfig,
    SkipTransformerConfig,
)
from duomotion.models.ild.generate import Ild, adjustment
from duomotion.models.ild.linear_code import LinearCode, cosines
from duomotion.models.ild.network import LatentDenoiser
from duomotion.models.ild.objective import joint_losses, kl_loss
from duomotion.models.ild.reference import ReferenceSampler, deis_change
from duomotion.models.ild.tables import TABLES
from duomotion.models.layers.attention import Attention
from duomotion.models.layers.latents import Latents
from duomotion.models.pair_guidance import GuidanceConfig, PairGuidance
from duomotion.motion.skeleton import SMPL22
from duomotion.sampling.diffusion import Known, NoiseSchedule, Solver
from duomotion.sampling.request import Sampling

__all__ = ["interx_pairs"]
pytestmark = pytest.mark.usefixtures("cache", "hardly_separated")

TINY = SkipTransformerConfig(width=16, num_layers=3, num_heads=2, feedforward=16)


def autoencoder(**changes):
    sizes = {"latent_dim": 8, "transformer": TINY, "alignment": None, "max_frames": 40}
    return tiny.shaken(InteractionAutoencoder(AutoencoderConfig(**{**sizes, **changes})))


def test_few_keys_meet_queries_as_many_do():
    attention = tiny.shaken(Attention(32, 4), 0.3)
    x, memory = torch.randn(3, 10, 32), torch.randn(3, 4, 32)
    torch.testing.assert_close(
        attention.cross_to_few(x, memory), attention.cross(x, memory), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("patch", [1, 4])
@pytest.mark.parametrize("code", [None, LinearCodeConfig(harmonics=8, components=8)])
def test_padding_changes_nothing(patch, code):
    network = autoencoder(patch=patch, linear_code=code)
    x, lengths = torch.randn(2, 2, 24, 262), torch.tensor([24, 16])
    x[1, :, 16:] = 0
    both, alone = network.encode(x, lengths), network.encode(x[1:, :, :16])
    for name in Latents._fields:
        torch.testing.assert_close(
            getattr(both, name)[1:], getattr(alone, name), atol=1e-4, rtol=1e-4
        )
    made = network.decode(both.mean, 24, lengths)[1:, :, :16]
    torch.testing.assert_close(made, network.decode(alone.mean, 16), atol=1e-4, rtol=1e-4)


def test_motion_of_another_length_is_refused():
    network = autoencoder(patch=4)
    for frames in (44, 10, 0):
        with pytest.raises(ValueError, match=f"motion of {frames} frames can't be encoded"):
            network.encode(torch.zeros(1, 2, frames, 262))
        with pytest.raises(ValueError, match=f"motion of {frames} frames can't be encoded"):
            network.decode(torch.zeros(1, 4, 8), frames)


@pytest.mark.parametrize("patch", [1, 2])
def test_some_patches_are_decoded_about_as_all_are(patch):
    network = autoencoder(patch=patch, linear_code=LinearCodeConfig(harmonics=8, components=8))
    z_BLK = torch.randn(2, 4, 8, generator=torch.Generator().manual_seed(0))
    kept = [frame for frame in range(40) if frame // patch % 3 == 0]
    with torch.no_grad():
        some, all_ = network.decode(z_BLK, 40, every=3), network.decode(z_BLK, 40)[:, :, kept]
        assert some.shape == all_.shape
        assert (some - all_).std() < 0.5 * all_.std()  # patches see fewer others
        network.output_projection.weight.zero_()
        torch.testing.assert_close(
            network.decode(z_BLK, 40, every=3), network.decode(z_BLK, 40)[:, :, kept]
        )


@given(st.integers(1, 30), st.integers(1, 12))
def test_cosines_are_orthonormal_over_each_length(length, more):
    frames = length + more
    waves = cosines(frames, 16, torch.tensor([length]), like=torch.zeros(1))[0].double()
    kept = min(length, 16)
    products = waves.T @ waves / length
    assert not waves[length:].any() and not products[kept:].any()
    torch.testing.assert_close(
        products[:kept, :kept], torch.eye(kept, dtype=torch.float64), atol=1e-5, rtol=0
    )


def test_a_linear_code_that_is_large_enough_gives_clips_back():
    rng = np.random.default_rng(0)
    basis = rng.normal(size=(3, 10))
    clips = []
    for length in (20, 24, 31, 40):
        slow = np.cos(np.pi * (np.arange(length)[:, None] + 0.5) / length * np.arange(4))
        clips.append((slow @ rng.normal(size=(4, 3)) @ basis).astype(np.float32))
    config = LinearCodeConfig(harmonics=8, components=3)
    code = LinearCode(config, features=10, num_latents=2, latent_dim=6)
    code.fit(clips, np.linspace(0.5, 2, 10).astype(np.float32))
    for clip in clips:
        x = torch.from_numpy(clip)[None]
        torch.testing.assert_close(code.decode(code.encode(x), len(clip)), x, atol=1e-3, rtol=1e-3)
    smaller = LinearCode(config, features=10, num_latents=1, latent_dim=6)
    smaller.fit(clips, np.ones(10, np.float32))
    x = torch.from_numpy(clips[0])[None]
    error = (smaller.decode(smaller.encode(x), 20) - x).square().mean()
    assert 0 < float(error) < float(x.square().mean())
    with pytest.raises(ValueError, match="30 numbers of latents are more than the 8 x 3"):
        LinearCode(config, features=10, num_latents=3, latent_dim=10)


@given(st.integers(1, 12), st.integers(1, 8))
def test_weights_of_alignment_are_means(count, latents):
    counts = torch.tensor([count])
    for weights in (interpolation(counts, count, latents), pooling(counts, count, latents)):
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:2]))
        assert (weights >= 0).all()


@pytest.mark.parametrize("kind", ["linear", "interpolation", "pooling"])
@pytest.mark.parametrize("latent_dim", [6, 8])
def test_alignment_can_be_learned_and_stops_at_the_margin(kind, latent_dim):
    torch.manual_seed(0)
    config = AutoencoderConfig(
        latent_dim=latent_dim, alignment=kind, code_dim=6, max_frames=40, transformer=TINY
    )
    alignment, counts = Alignment(config), torch.tensor([10, 7])
    z, codes = torch.randn(2, 4, latent_dim, requires_grad=True), torch.randn(2, 10, 6)
    optimizer = torch.optim.Adam([z, *alignment.parameters()], lr=0.05)
    first = alignment.loss(z, codes, counts, 0.5).item()
    for _ in range(150):
        optimizer.zero_grad()
        loss = alignment.loss(z, codes, counts, 0.5)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.5 * first
    behind = codes.clone()
    behind[1, 7:] = 100
    torch.testing.assert_close(
        alignment.loss(z, behind, counts, 0.5), alignment.loss(z, codes, counts, 0.5)
    )
    assert alignment.loss(z, codes, counts, 1.0).item() < loss.item() + 1e-6


def test_the_kl_is_that_of_torch():
    latents = Latents(torch.randn(3, 4, 8), torch.randn(3, 4, 8))
    own = torch.distributions.Normal(latents.mean, (0.5 * latents.log_variance).exp())
    standard = torch.distributions.Normal(0.0, 1.0)
    torch.testing.assert_close(
        kl_loss(latents), torch.distributions.kl_divergence(own, standard).mean()
    )


def test_each_loss_is_a_switch():
    rng = torch.Generator().manual_seed(0)
    made, target = (torch.rand(2, 2, 6, 22, 3, generator=rng) for _ in range(2))
    mask = torch.ones(2, 6, dtype=torch.bool)
    names = ("bone", "contact", "distance", "orientation")
    assert set(joint_losses(made, target, mask, SMPL22, AutoencoderLossWeights())) == set(names)
    for name in names:
        found = joint_losses(made, target, mask, SMPL22, AutoencoderLossWeights(**{name: 0.0}))
        assert set(found) == set(names) - {name}
    same = joint_losses(target, target, mask, SMPL22, AutoencoderLossWeights(contact=0.0))
    assert all(float(loss) < 1e-9 for loss in same.values())


@pytest.mark.parametrize("steps", [5, 10, 25])
def test_equation_6_is_the_step_of_diffusers(steps):
    """On a network whose noise changes with the time and the sample."""
    schedule = LatentDenoiserConfig().noise
    solver = Solver("deis", schedule, steps)
    kept = schedule.alphas_cumprod
    rho = np.sqrt(1 - kept) / np.sqrt(kept)

    def noise_at(z, time):
        return torch.sin(3 * z) + 0.3 * np.log(rho[time])

    start = torch.randn(2, 4, 8, generator=torch.Generator().manual_seed(1))
    found = solver.run(lambda z, step: noise_at(z, solver.times[step]), start, rngs=[])
    z, before = start.double(), None
    for time, after in itertools.pairwise(solver.times):
        noise = noise_at(z, time)
        change = (
            (rho[after] - rho[time]) * noise
            if before is None
            else deis_change(rho[after], rho[time], rho[before[0]], noise, before[1])
        )
        z = np.sqrt(kept[after]) * (z / np.sqrt(kept[time]) + change)
        before = time, noise
    last = solver.times[-1]
    clean = (z - np.sqrt(1 - kept[last]) * noise_at(z, last)) / np.sqrt(kept[last])
    torch.testing.assert_close(found.double(), clean, atol=2e-4, rtol=2e-4)


def test_a_constant_noise_is_removed_by_the_step_and_not_as_equation_6_is_printed():
    rho_after, rho, rho_before = 1.0, 2.0, 4.0
    one = torch.ones(1)
    change = deis_change(rho_after, rho, rho_before, one, one)
    torch.testing.assert_close(change, torch.tensor([rho_after - rho]))
    weights = np.log(rho) - np.log(rho_after), -(np.log(rho) - np.log(rho_before))
    printed = rho / (np.log(rho_after) - np.log(rho_before)) * sum(weights)
    assert abs(printed - (rho_after - rho)) > 0.5


def test_the_schedule_is_scaled_linear_and_the_printed_one_can_be_had():
    noise = LatentDenoiserConfig().noise
    assert noise.betas[0] == pytest.approx(0.00085) and noise.betas[-1] == pytest.approx(0.012)
    middle = ((0.00085**0.5 + 0.012**0.5) / 2) ** 2
    assert noise.betas[499:501].mean() == pytest.approx(middle, rel=1e-3)
    printed = apply_overrides(find_recipe("ild/denoiser"), ["model.noise.beta_start=0.000085"])
    assert printed.model.noise == NoiseSchedule(
        kind="scaled_linear", beta_start=0.000085, beta_end=0.012, prediction="epsilon"
    )


def test_the_papers_size_has_its_count():
    with torch.device("meta"):
        network = LatentDenoiser(LatentDenoiserConfig())
    assert sum(p.numel() for p in network.parameters()) == 38_230_528


def test_fast_sampling_equals_the_reference():
    torch.manual_seed(0)
    bench = IldBench(
        LatentDenoiserConfig(transformer=TINY, latent_dim=8, text_dim=16),
        AutoencoderConfig(transformer=TINY, latent_dim=8),
        precision="float32",
    )
    ours = bench.generate(1, 2)
    torch.testing.assert_close(ours, bench.generate(1, 2, reference=True), atol=1e-4, rtol=1e-4)
    assert ours.shape == (2, 2, 30, 262)
    row = bench.row(1, 2, repeats=1, reference=False)
    assert set(row.variants) == {"with collision guidance"}
    assert f"1 s, batch 2: {row.variants['with collision guidance']:.3f} s/batch" in table([row])
    guided = bench.variants["with collision guidance"](1, 2)
    assert guided.shape == ours.shape and not torch.equal(guided, ours)


def test_a_denoiser_predicts_the_same_in_the_reference():
    denoiser = tiny.shaken(LatentDenoiser(LatentDenoiserConfig(transformer=TINY, text_dim=16)))
    reference = ReferenceSampler(denoiser, autoencoder())
    z, text = torch.randn(2, 4, 512), torch.randn(2, 16)
    ours = denoiser(z, denoiser.embed_times(torch.tensor([7, 7])), denoiser.condition(text))
    torch.testing.assert_close(reference.predict(z, text, 7), ours, atol=1e-4, rtol=1e-4)


ANY = ("optim.batch_size=4", "optim.warmup_steps=0", *tiny.FAST)


def autoencoder_recipe(pairs, *changes):
    words = [*tiny.ILD_AUTOENCODER, f"data.pairs={pairs}", *ANY, *changes]
    return apply_overrides(find_recipe("ild/autoencoder-open"), words)


def denoiser_recipe(pairs, folder, *changes):
    words = [*tiny.ILD_DENOISER, f"data.pairs={pairs}", f"data.autoencoder={folder}", *ANY]
    return apply_overrides(find_recipe("ild/denoiser-open"), [*words, *changes])


LINEAR = ("model.linear_code.harmonics=8", "model.linear_code.components=16")


@pytest.fixture(scope="module")
def latents(pairs, tmp_path_factory):
    """An autoencoder that begins as a linear code."""
    folder = tmp_path_factory.mktemp("run") / "autoencoder"
    recipe = autoencoder_recipe(
        pairs, "optim.steps=20", "model.linear_code={}", *LINEAR, "model.patch=2"
    )
    records = tiny.train(recipe, folder)
    return records, folder / "last"


@pytest.fixture(scope="module")
def trained(pairs, latents, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "ild"
    records = tiny.train(
        denoiser_recipe(pairs, latents[1], "optim.steps=60", "optim.lr=1e-2"), folder
    )
    return records, folder / "last"


def losses(records, name="loss"):
    return [record[name] for record in records if name in record]


def test_a_transformer_alone_learns_too(pairs, tmp_path):
    recipe = autoencoder_recipe(pairs, "optim.steps=60", "optim.lr=1e-2")
    records = tiny.train(recipe, tmp_path / "run")
    assert losses(records)[-1] < 0.7 * losses(records)[0]


def test_an_autoencoder_brings_clips_back(latents, pairs):
    records, last = latents
    assert {"reconstruction", "kl", "bone", "contact", "distance"} <= set(records[0])
    assert losses(records, "validation/mpjpe")[-1] < 0.1
    reconstructor = duomotion.loading.load_reconstructor(last)
    features = InteractionCodec(AutoencoderConfig(alignment=None)).layout.encode(waving(frames=42))
    made = reconstructor.reconstruct(features)
    assert made.shape == (2, 40, 262)
    assert np.abs(made - features[:, :40])[..., :66].mean() < 0.1


@pytest.fixture(scope="module")
def tokenizer(pairs, tmp_path_factory):
    sizes = ("model.width=8", "model.depth=1", "model.code_dim=8", "model.num_codes=16")
    recipe = apply_overrides(
        find_recipe("momask/tokenizer-pairs-open"),
        [*sizes, f"data.clips={pairs}", "data.window=40", "optim.steps=2", *ANY],
    )
    folder = tmp_path_factory.mktemp("run") / "tokenizer"
    tiny.train(recipe, folder)
    return folder / "last"


@pytest.mark.parametrize("kind", ["linear", "interpolation", "pooling"])
def test_latents_are_aligned_with_a_tokenizer(pairs, tokenizer, tmp_path, kind):
    changes = (f"data.tokenizer={tokenizer}", f"model.alignment={kind}", "model.code_dim=8")
    recipe = autoencoder_recipe(
        pairs, *changes, "losses.alignment=1", "losses.margin=0", "optim.steps=40", "optim.lr=1e-2"
    )
    records = tiny.train(recipe, tmp_path / "run")
    assert losses(records, "alignment")[-1] < 0.9 * losses(records, "alignment")[0]


def test_a_tokenizer_that_does_not_fit_is_refused(pairs, tokenizer):
    changes = (f"data.tokenizer={tokenizer}", "model.alignment=linear", "model.code_dim=8")
    recipe = autoencoder_recipe(pairs, *changes)
    with pytest.raises(ValueError, match="has layout, people, code_dim and frames of a code"):
        tiny.task_of(apply_overrides(recipe, ["model.code_dim=9"]))
    with pytest.raises(ValueError, match=r"give both data\.tokenizer and model\.alignment"):
        tiny.task_of(apply_overrides(recipe, ["model.alignment=null"]))


def test_training_from_clips_to_motion(trained):
    records, last = trained
    assert losses(records)[-1] < 0.8 * losses(records)[0]
    assert read_checkpoint(last).recipe["system"] == "ild/denoiser"
    model = duomotion.load(last)
    assert isinstance(model, Ild)
    clip = model.generate("two wave", seconds=1)
    assert clip.num_frames == 30 and np.isfinite(clip.positions).all()


@pytest.mark.parametrize("change", ["model.conditioning=adaptive", "data.views=null"])
def test_switches_train(pairs, latents, tmp_path, change):
    recipe = denoiser_recipe(pairs, latents[1], change, "optim.steps=5")
    assert np.isfinite(losses(tiny.train(recipe, tmp_path / "run"))).all()
    clip = duomotion.load(tmp_path / "run" / "last").generate("hi", seconds=1)
    assert np.isfinite(clip.positions).all()


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(solver="ddim", steps=3, guidance=1)])
def test_alone_as_in_a_batch(trained, sampling):
    tiny.assert_alone_as_in_a_batch(duomotion.load(trained[1]), sampling)


def test_guidance_alone_as_in_a_batch(trained):
    """One inner step: where bodies are deep in each other, rounding grows from step to step."""
    model = duomotion.load(trained[1])
    model.diffusion.config = replace(
        model.diffusion.config,
        latent_guidance=GuidanceConfig(collision_inner=1, goal_last=5),
    )
    rng = torch.Generator().manual_seed(0)
    z = torch.randn(3, 4, 16, generator=rng)
    contact = Contact(("right_hand", "left_hand"), 0.3, 0.7)
    for contacts in ((), (contact,)):
        guide = guidance_of(model, contacts=contacts, avoid_collisions=True)
        decode = partial(decoded, model)
        both = guide(z, 3, decode)
        for row in range(3):
            alone = guide(z[row : row + 1], 3, decode)
            torch.testing.assert_close(both[row : row + 1], alone, atol=1e-4, rtol=1e-4)


def test_known_motion_comes_back_and_draws_the_rest(trained):
    model = duomotion.load(trained[1])
    clip = waving(frames=30)
    reaction = model.react(clip.person(1), "two wave")
    np.testing.assert_allclose(reaction.positions[0], clip.positions[1], atol=1e-5)
    between = model.inpaint(clip, unknown=(0.3, 0.6))
    kept = [*range(9), *range(18, 30)]
    np.testing.assert_allclose(between.positions[:, kept], clip.positions[:, kept], atol=1e-5)
    longer = model.extend(clip, seconds=2)
    assert longer.num_frames == 60
    np.testing.assert_allclose(longer.positions[:, :30], clip.positions, atol=1e-5)


def guidance_of(model, *, contacts=(), avoid_collisions=False):
    codec = model.codec
    return PairGuidance(
        model.diffusion.config.latent_guidance,
        codec.layout,
        codec.normaliser,
        bodies=CapsuleBodies(codec.layout, SMPL22) if avoid_collisions else None,
        contacts=contacts,
        steps=4,
        collision_steps=2,
    )


def decoded(model, z_BLK, every=1):
    return model.codec.autoencoder.decode(model.diffusion.denormalise(z_BLK), 30, every=every)


def test_guidance_moves_bodies_apart(trained):
    """In the latents alone, without what is done to bodies in the end."""
    model = duomotion.load(trained[1])
    guidance, decode = guidance_of(model, avoid_collisions=True), partial(decoded, model)
    rng = torch.Generator().manual_seed(0)
    candidates = 3 * torch.randn(64, 4, 16, generator=rng)
    deep_B = guidance.collisions(decoded(model, candidates))
    z = candidates[deep_B.argsort(descending=True)[:4]]
    before_B = guidance.collisions(decoded(model, z))
    assert before_B.min() > 0.02
    torch.testing.assert_close(guidance(z, 0, decode), z)  # in the last steps only
    torch.testing.assert_close(guidance_of(model)(z, 3, decode), z)
    after_B = guidance.collisions(decode(guidance(z, 3, decode)))
    assert after_B.mean() < 0.7 * before_B.mean()


def test_guidance_takes_as_many_steps_as_it_is_told(trained, monkeypatch):
    model = duomotion.load(trained[1])
    assert model.tuned.collision_steps == model.diffusion.config.latent_guidance.collision_steps
    measured = []

    def depths(self, features_BPTF):
        measured.append(len(features_BPTF))
        return features_BPTF.square().mean((1, 2, 3))

    monkeypatch.setattr(CapsuleBodies, "depths", depths)
    inner = model.diffusion.config.latent_guidance.collision_inner
    for steps, more in ((0, {}), (3, {}), (0, {"avoid_collisions": False})):
        measured.clear()
        sampling = Sampling(steps=5, collision_steps=steps, attempts=1, **more)
        model.generate("two wave", seconds=1, sampling=sampling)
        assert len(measured) == steps * inner


def test_rows_that_sample_in_their_own_ways_have_their_own_clips(trained):
    model = duomotion.load(trained[1])
    rows = TABLES["ild/table2c"].rows.values()
    made = [row.adapt(model).fingerprint for row in rows if row.adapt]
    assert len({model.fingerprint, *made}) == 3
    assert model.retuned(model.tuned).fingerprint == model.fingerprint


def test_known_motion_takes_its_place_in_what_latents_decode_to(trained):
    model = duomotion.load(trained[1])
    rng = torch.Generator().manual_seed(0)
    z, other = torch.randn(2, 1, 4, 16, generator=rng)
    values = decoded(model, other)
    mask = torch.zeros(1, 2, 30, 1, dtype=torch.bool)
    mask[:, 0], mask[:, 1, :10] = True, True
    sampling = replace(model.tuned, avoid_collisions=False)
    known = Known(values, mask)
    adjust = adjustment(model.diffusion, model.codec, 30, sampling=sampling, known=known)
    both = torch.cat([values[:, :1], decoded(model, z)[:, 1:]], 1)
    both[:, 1, :10] = values[:, 1, :10]
    encoded = model.codec.autoencoder.encode(both).mean
    torch.testing.assert_close(adjust(z, 0), model.diffusion.normalise(encoded))


def test_touches_draw_latents(trained):
    model = duomotion.load(trained[1])
    z = torch.randn(2, 4, 16, generator=torch.Generator().manual_seed(0))
    contact = Contact(("right_hand", "left_hand"), 0.3, 0.7)
    guidance, decode = guidance_of(model, contacts=(contact,)), partial(decoded, model)
    before, after = (guidance.goals(decode(each)) for each in (z, guidance(z, 3, decode)))
    assert before.min() > 0.1 and (after < 0.3 * before).all()


def test_people_are_led_along_paths(trained):
    model = duomotion.load(trained[1])
    path = RootPath(1, ((0.2, 0.4, 1.0), (0.8, -0.5, 1.5)))
    clips = [
        model.generate("two wave", seconds=1, sampling=sampling)
        for sampling in (Sampling(), Sampling(paths=(path,)))
    ]
    missing = [
        off(path, torch.from_numpy(clip.positions[1, :, 0, ::2]))[6:24].norm(dim=-1).mean()
        for clip in clips
    ]
    assert missing[1] < 0.5 * missing[0]
    with pytest.raises(ValueError, match="paths can't be given beside known motion"):
        model.react(clips[0].person(0), sampling=Sampling(paths=(path,)))


def test_it_trains_on_inter_x_layout_too(interx_pairs, tmp_path):
    layout = ("model.layout=interx", "model.num_features=336", "data.examples.max_frames=150")
    recipe = autoencoder_recipe(
        interx_pairs, *layout, "data.examples.floor=each", "optim.steps=20", "optim.lr=1e-2"
    )
    records = tiny.train(recipe, tmp_path / "autoencoder")
    assert losses(records)[-1] < losses(records)[0]
    changes = ("data.examples.max_frames=150", "data.examples.floor=each", "optim.steps=3")
    folder = tmp_path / "autoencoder" / "last"
    tiny.train(denoiser_recipe(interx_pairs, folder, *changes), tmp_path / "run")
    clip = duomotion.load(tmp_path / "run" / "last").generate("hi", seconds=1)
    assert clip.num_people == 2 and np.isfinite(clip.positions).all()


def test_the_command_line(run, trained, tmp_path):
    words = ("generate", "two wave", "--seconds", 1, "--model", trained[1], "--formats", "npz")
    status, printed, _ = run(*words, "--solver", "unipc", "--steps", 3, "--out", tmp_path)
    assert status == 0 and "-steps3-solverunipc-1s-0.npz" in printed
    status, printed, error = run(*words, "--resampling", 3, "--out", tmp_path)
    assert (status, printed) == (2, "") and "has no sampling setting resampling" in error
    led = ("--path", "A 0:0,0 1:0,1", "B 0:1,0 1:1,1", "--out", tmp_path)
    status, printed, error = run(*words, *led)
    assert status == 0, error
    body = ("--body-model", tmp_path / "none.npz")
    status, printed, error = run(*words, *led, *body)
    assert (status, printed) == (2, "") and "no use without collision_steps" in error
    status, printed, error = run(*words, *led, *body, "--collision-steps", 2)
    assert (status, printed) == (2, "") and "a body model needs the packages" in error


def test_bad_input(trained, latents, pairs, tmp_path):
    with pytest.raises(ValueError, match="collision steps have to be 0 to 1,000, not -1"):
        Sampling(collision_steps=-1)
    with pytest.raises(ValueError, match="num_layers must be odd, not 4"):
        SkipTransformerConfig(num_layers=4)
    with pytest.raises(ValueError, match="multiple of num_heads"):
        SkipTransformerConfig(width=10, num_heads=3)
    with pytest.raises(ValueError, match="layout must be interhuman or interx, not kit"):
        InteractionCodec(AutoencoderConfig(layout="kit-ml", num_features=251))
    with pytest.raises(ValueError, match="num_features must be 262"):
        InteractionCodec(AutoencoderConfig(num_features=100))
    with pytest.raises(ValueError, match=r"makes 4 latents of 16 numbers; the denoiser is for 2"):
        tiny.task_of(denoiser_recipe(pairs, latents[1], "model.num_latents=2"))
    with pytest.raises(ValueError, match="is a checkpoint of 'ild/denoiser', not of 'ild/auto"):
        tiny.task_of(denoiser_recipe(pairs, trained[1]))
    with pytest.raises(ValueError, match="is a checkpoint of 'ild/autoencoder', not of 'momask"):
        changes = (f"data.tokenizer={latents[1]}", "model.alignment=linear")
        tiny.task_of(autoencoder_recipe(pairs, *changes))
    model = duomotion.load(trained[1])
    with pytest.raises(ValueError, match="has no sampling setting resampling"):
        model.generate("hi", seconds=1, sampling=Sampling(resampling=2))
