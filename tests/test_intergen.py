"""InterGen: parity of network, losses and sampling, a tiny training, what it generates."""

from dataclasses import replace

import numpy as np
import parity
import pytest
import tiny
import torch
from motions import off, waving
from test_matching import interx_pairs

import duomotion
from duomotion.body.constraints import RootPath
from duomotion.checkpoint import pack_checkpoint, read_checkpoint
from duomotion.config import apply_overrides
from duomotion.losses import interaction
from duomotion.losses.interaction import simple_loss
from duomotion.models import find_recipe
from duomotion.models.intergen.config import DenoiserConfig
from duomotion.models.intergen.generate import InterGen
from duomotion.models.intergen.network import InterGenDenoiser, MotionDiffusion
from duomotion.models.intergen.objective import LossWeights, interaction_losses
from duomotion.models.intergen.official import import_official
from duomotion.models.intergen.official_denoiser import (
    CLIP,
    TABLES,
    from_official,
    official_config,
    to_official,
)
from duomotion.models.intergen.reference import ReferenceDenoiser
from duomotion.models.pair_diffusion import denoise
from duomotion.motion.interhuman import INTERHUMAN
from duomotion.motion.skeleton import SMPL22
from duomotion.sampling.request import Sampling
from duomotion.text.official_clip import tower_state

__all__ = ["interx_pairs"]
pytestmark = pytest.mark.usefixtures("cache", "hardly_separated")


def apart(x_BT2F):
    """(B, T, 2 F), as recorded -> (B, 2, T, F)."""
    return x_BT2F.unflatten(-1, (2, -1)).transpose(1, 2)


def together(x_BPTF):
    return x_BPTF.transpose(1, 2).flatten(2)


@pytest.fixture(scope="module")
def recorded():
    """Description, tensors, and the network with the recorded weights."""
    name = parity.one_of("intergen_denoiser*")
    description, tensors = parity.load(name)
    sizes = description["config"]
    weights = parity.weights(name)
    heads = {"num_heads": sizes["NUM_HEADS"], "text_heads": sizes["text_heads"]}
    config = DenoiserConfig(width=2 * sizes["NUM_HEADS"], text_dim=8 * sizes["text_heads"], **heads)
    network = InterGenDenoiser(official_config(weights, config))
    network.load_state_dict(from_official(weights))
    return description, tensors, network.eval().requires_grad_(False)


def predict(network, x, times, text, lengths=None, drop=None):
    norms = network.modulate(network.embed(network.condition(text, drop), times))
    return network(x, norms, lengths)


def test_parity_of_the_network(recorded):
    _, tensors, network = recorded
    x, times, text = apart(tensors["in/x_t"]), tensors["in/t"], tensors["in/cond"]
    parity.close(network.embed(network.condition(text), times), tensors["out/emb"])
    plain = predict(network, x, times, text)
    parity.close(together(plain), tensors["out/denoiser/out_no_mask"])
    masked = predict(network, x, times, text, tensors["in/lengths"])
    parity.close(together(masked), tensors["out/denoiser/out_masked"])
    without = predict(network, x, times, text, drop=torch.ones(len(x), dtype=torch.bool))
    guided = 3.5 * plain - 2.5 * without
    parity.close(together(guided), tensors["out/denoiser/cfg"])


@torch.no_grad()
def test_parity_of_the_text_head(recorded):
    """The head sees all 77 positions, of which ten are recorded: the tower gives the others."""
    from transformers import CLIPTextConfig, CLIPTextModel

    description, tensors, network = recorded
    sizes = description["config"]
    tower = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=sizes["vocab"],
            hidden_size=sizes["text_dim"],
            intermediate_size=4 * sizes["text_dim"],
            num_hidden_layers=sizes["clip_layers"],
            num_attention_heads=sizes["clip_heads"],
            hidden_act="quick_gelu",
        )
    ).eval()
    state = tower_state(parity.weights(parity.one_of("intergen_denoiser*")), "the fixture")
    tower.load_state_dict({name.removeprefix("text_model."): state[name] for name in state})
    ids_BS = tensors["in/token_ids"]
    hidden_BSC = tower(input_ids=ids_BS).last_hidden_state
    parity.close(network.text_head(hidden_BSC, ids_BS.argmax(-1)), tensors["out/text/cond"])


def test_parity_of_sampling(recorded):
    _, tensors, network = recorded
    sampling = Sampling(solver="ddim", steps=50, guidance=3.5, resampling=1)
    made = denoise(
        network,
        apart(tensors["in/sample_noise"]),
        tensors["in/sample_cond"],
        rngs=[torch.Generator()] * 2,
        sampling=sampling,
    )
    parity.close(together(made), tensors["out/ddim/final"])
    reference = ReferenceDenoiser(network)
    literal = reference.sample(
        apart(tensors["in/sample_noise"]), tensors["in/sample_cond"], 50, 3.5
    )
    parity.close(together(literal), tensors["out/ddim/final"])


def test_parity_of_the_losses(recorded):
    _, tensors, network = recorded
    mean, std = tensors["in/global_mean"], tensors["in/global_std"]
    target, times = apart(tensors["in/loss_x_start"]), tensors["in/loss_t"]
    mask = tensors["in/mask"][..., 0] > 0
    clean = (target - mean) / std
    noisy = network.config.noise.add_noise(clean, apart(tensors["in/loss_noise"]), times)
    parity.close(together(noisy), tensors["out/loss_x_t"])
    made = predict(network, noisy, times, tensors["in/cond"], mask.sum(1))
    positions = map(INTERHUMAN.positions, (made * std + mean, target))
    found = interaction_losses(*positions, mask, times <= 700, SMPL22, LossWeights())
    found |= {"simple": simple_loss(made, clean, mask)}
    people = {"velocity": "VEL", "bone": "BL", "contact": "FC"}
    both = {"orientation": "RO", "distance": "DM", "affinity": "JA", "simple": "simple"}
    for ours, official in people.items():
        expected = sum(tensors[f"out/loss/{official}_{person}"] for person in "AB")
        parity.close(found[ours], expected)
    for ours, official in both.items():
        parity.close(found[ours], tensors[f"out/loss/{official}"])
    parity.close(torch.stack(list(found.values())).sum(), tensors["out/loss/total"])


def pair(seed=0, frames=12):
    """(1, 2, T, 22, 3) people who stand near each other and move a little."""
    rng = torch.Generator().manual_seed(seed)
    start = torch.rand(1, 2, 1, 22, 3, generator=rng)
    return start + 0.01 * torch.randn(1, 2, frames, 22, 3, generator=rng).cumsum(2)


def test_padding_changes_nothing():
    torch.manual_seed(0)
    sizes = {"width": 16, "num_heads": 2, "num_blocks": 2, "feedforward": 16}
    network = InterGenDenoiser(DenoiserConfig(**sizes, text_dim=8, text_layers=0))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    x, text, times = torch.randn(2, 2, 24, 262), torch.randn(2, 8), torch.tensor([3, 700])
    with torch.no_grad():
        padded = predict(network.eval(), x, times, text, torch.tensor([24, 16]))
        alone = predict(network, x[1:, :, :16], times[1:], text[1:])
    torch.testing.assert_close(padded[1:, :, :16], alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("form", ["released", "papers"])
def test_losses_are_zero_for_what_was_recorded_and_only_for_that(form):
    weights = replace(LossWeights(), form=form, affinity=0.0, contact=0.0)
    target, mask, clean = pair(), torch.ones(1, 12, dtype=torch.bool), torch.ones(1)
    same = interaction_losses(target, target, mask, clean, SMPL22, weights)
    assert all(float(loss) == pytest.approx(0, abs=1e-8) for loss in same.values())
    other = interaction_losses(pair(1), target, mask, clean, SMPL22, weights)
    names = ("velocity", "bone", "orientation", "distance")
    assert all(float(other[name]) > 1e-6 for name in names)
    noisy = interaction_losses(pair(1), target, mask, 0 * clean, SMPL22, weights)
    assert [name for name in names if float(noisy[name]) > 0] == (
        ["orientation"] if form == "released" else []
    )


def test_forms_of_losses_differ_as_named():
    target = torch.zeros(1, 2, 4, 22, 3)
    target[:, 1, :, :, 1] = 5  # one above the other: near over the floor, far in space
    moved = target.clone()
    moved[:, 1, ..., 1] = 6
    distances = [interaction.joint_distances(x) for x in (moved, target)]
    errors = [
        interaction.distance_map_error(
            *distances, interaction.masking_distances(distances[0], target, form), 1.0
        )
        for form in ("released", "papers")
    ]
    assert float(errors[0].max()) == 0 and float(errors[1].min()) == pytest.approx(1)
    feet = torch.zeros(1, 4, 4, 3)
    sliding = feet.clone()
    sliding[..., 0] = torch.arange(4)[:, None] * 0.2  # faster than what counts as standing
    errors = [
        interaction.foot_contact_error(sliding, feet, form) for form in ("released", "papers")
    ]
    assert float(errors[0].max()) == 0 and float(errors[1].min()) == pytest.approx(0.04 / 3)


def test_turns_are_told_from_each_other_by_their_sign_in_both_forms():
    people = torch.zeros(2, 2, 1, 22, 3)
    right, left = SMPL22.index("right_hip"), SMPL22.index("left_hip")
    for sample, angle in enumerate([0.5, -0.5]):
        for person, turn in enumerate([0.0, angle]):
            across = torch.tensor([np.cos(turn), 0, np.sin(turn)])
            people[sample, person, :, right], people[sample, person, :, left] = across, -across
    for form in ("released", "papers"):
        error = interaction.relative_orientation_error(people[:1], people[1:], (right, left), form)
        assert float(error) > 0.05


def recipe(pairs, *changes):
    return apply_overrides(
        find_recipe("intergen/denoiser-open"),
        [
            *tiny.INTERGEN,
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
    records = tiny.train(recipe(pairs, *changes), folder / "intergen")
    return records, folder / "intergen" / "last"


def test_training_from_clips_to_motion(trained, tmp_path):
    records, last = trained
    losses = [record["loss"] for record in records if "loss" in record]
    assert losses[-1] < 0.7 * losses[0]
    assert {"simple", "velocity", "bone", "contact", "orientation", "distance", "affinity"} <= set(
        records[0]
    )
    assert read_checkpoint(last).recipe["system"] == "intergen/denoiser"
    pack_checkpoint(last, tmp_path / "packed")
    model = duomotion.load(tmp_path / "packed")
    assert isinstance(model, InterGen)
    clip = model.generate("two wave", seconds=1)
    assert clip.num_frames == 30 and np.isfinite(clip.positions).all()
    assert clip.reading is not None and clip.reading.known
    height = clip.positions[..., 1].max()
    assert 1 < height < 2.5  # its mean pose is known from the statistics


def test_patches_train_and_generate_any_length(pairs, tmp_path):
    changes = ('model.code={"patch": 4, "size": 32}', "optim.steps=5", *tiny.FAST)
    tiny.train(recipe(pairs, *changes), tmp_path / "run")
    model = duomotion.load(tmp_path / "run" / "last")
    assert model.generate("hi", seconds=1).num_frames == 30
    clip = waving(frames=31)
    reaction = model.react(clip.person(0))
    np.testing.assert_allclose(reaction.positions[0], clip.positions[0], atol=1e-5)
    features = INTERHUMAN.encode(clip)
    made = model.reconstruct(features)
    assert made.shape == (2, 28, 262)
    assert np.abs(made - features[:, :28])[..., :66].mean() < 0.05


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


def test_it_trains_on_inter_x_layout_too(interx_pairs, tmp_path):
    changes = ("model.layout=interx", "model.num_features=336", "data.examples.max_frames=150")
    changes += ("data.examples.floor=each", "optim.steps=30", "optim.lr=1e-2", *tiny.FAST)
    records = tiny.train(recipe(interx_pairs, *changes), tmp_path / "run")
    losses = [record["loss"] for record in records if "loss" in record]
    assert losses[-1] < 0.9 * losses[0]
    clip = duomotion.load(tmp_path / "run" / "last").generate("hi", seconds=1)
    assert clip.num_people == 2 and np.isfinite(clip.positions).all()


@pytest.mark.parametrize("frames", [30, 31])
def test_people_are_led_along_paths(trained, frames):
    path = RootPath(1, ((0.2, 0.4, 1.0), (0.8, -0.5, 1.5)))
    model = duomotion.load(trained[1])
    clips = [
        model.generate("two wave", seconds=frames / 30, sampling=sampling)
        for sampling in (Sampling(), Sampling(paths=(path,)))
    ]
    plain, led = (
        off(path, torch.from_numpy(clip.positions[1, :, 0, ::2]))[6:24].mean(0).norm()
        for clip in clips
    )
    assert led < 0.1 < plain  # on average: so small a network leaves noise


@pytest.mark.parametrize("prediction", ["epsilon", "velocity"])
def test_other_predictions_train_too(pairs, tmp_path, prediction):
    noise = (f"model.noise.prediction={prediction}", "model.noise.kind=scaled_linear")
    changes = (*noise, *tiny.FAST)
    records = tiny.train(recipe(pairs, "optim.steps=5", *changes), tmp_path / "run")
    assert np.isfinite([record["loss"] for record in records if "loss" in record]).all()
    clip = duomotion.load(tmp_path / "run" / "last").generate("hi", seconds=1)
    assert np.isfinite(clip.positions).all()


def test_the_command_line(run, trained, tmp_path):
    words = ("generate", "two wave", "--seconds", 1, "--model", trained[1], "--formats", "npz")
    status, printed, _ = run(*words, "--solver", "unipc", "--steps", 3, "--out", tmp_path)
    assert status == 0 and "-steps3-solverunipc-1s-0.npz" in printed
    status, printed, error = run(*words, "--solver", "lcm", "--steps", 99)
    assert (status, printed) == (2, "") and "lcm takes at most 50 steps" in error


def test_bad_input(trained, pairs):
    model = duomotion.load(trained[1])
    with pytest.raises(ValueError, match="lcm takes at most 50 steps of this model, not 51"):
        model.generate("hi", seconds=1, sampling=Sampling(solver="lcm", steps=51))
    with pytest.raises(ValueError, match="has no sampling setting reaction_steps"):
        model.generate("hi", seconds=1, sampling=Sampling(reaction_steps=3))
    with pytest.raises(ValueError, match="layout must be interhuman or interx, not kit"):
        MotionDiffusion(DenoiserConfig(layout="kit-ml", num_features=251))
    with pytest.raises(ValueError, match="num_features must be 262"):
        MotionDiffusion(DenoiserConfig(num_features=100))
    with pytest.raises(ValueError, match="multiple of num_heads"):
        DenoiserConfig(width=10, num_heads=3)


@pytest.fixture(scope="module")
def official(recorded, tmp_path_factory):
    """A file as the authors' is, with the statistics beside it."""
    _, tensors, _ = recorded
    folder = tmp_path_factory.mktemp("official")
    weights = parity.weights(parity.one_of("intergen_denoiser*"))
    torch.save(
        {"state_dict": {f"model.{name}": weights[name] for name in weights}, "global_step": 7},
        folder / "intergen.ckpt",
    )
    for name in ("global_mean", "global_std"):
        np.save(folder / f"{name}.npy", tensors[f"in/{name}"].numpy())
    return folder / "intergen.ckpt"


def test_an_official_checkpoint_becomes_ours(official, recorded, tmp_path):
    _, tensors, network = recorded
    counts = import_official(official, tmp_path / "model")
    assert sum(counts.values()) == sum(p.numel() for p in network.parameters())
    checkpoint = read_checkpoint(tmp_path / "model")
    assert checkpoint.provenance["step"] == 7
    assert torch.equal(checkpoint.tensors["mean"], tensors["in/global_mean"])
    ours = {
        name.removeprefix("denoiser."): tensor
        for name, tensor in checkpoint.tensors.items()
        if name.startswith("denoiser.")
    }
    weights = parity.weights(parity.one_of("intergen_denoiser*"))
    again = to_official(ours)
    assert set(again) == {name for name in weights if not name.startswith(CLIP)}
    for name in set(again) - set(TABLES):
        assert torch.equal(again[name], weights[name])


def test_what_is_wrong_with_an_official_checkpoint_is_named(official, tmp_path):
    with pytest.raises(ValueError, match="there is no such file"):
        import_official(tmp_path / "nothing.ckpt", tmp_path / "model")
    with pytest.raises(ValueError, match=r"global_mean\.npy is not there"):
        import_official(official, tmp_path / "model", statistics=tmp_path)
    state = torch.load(official, weights_only=True)["state_dict"]
    del state["model.decoder.net.out.linear.bias"]
    state["model.more"] = torch.zeros(2)
    torch.save({"state_dict": state}, tmp_path / "broken.ckpt")
    with pytest.raises(ValueError, match=r"lacks decoder\.net\.out\.linear\.bias; .*unknown more"):
        import_official(tmp_path / "broken.ckpt", tmp_path / "model", statistics=official.parent)
    assert not (tmp_path / "model").exists()


def test_the_released_size_has_its_count():
    with torch.device("meta"):
        network = InterGenDenoiser(DenoiserConfig())
    parameters = {name: p.numel() for name, p in network.named_parameters()}
    head = sum(count for name, count in parameters.items() if name.startswith("text_head."))
    assert sum(parameters.values()) - head == 171_352_326
    assert head == 11_029_504
