"""InterMoE: autoencoder, routing, experts, tiny trainings, what it generates, bad input."""

from dataclasses import replace

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st
from motions import off, waving
from properties import examples
from test_matching import interx_pairs

import duomotion
from duomotion.bench import table
from duomotion.body.constraints import RootPath
from duomotion.checkpoint import pack_checkpoint, read_checkpoint
from duomotion.config import apply_overrides
from duomotion.models import find_recipe, systems
from duomotion.models.intermoe.autoencoder import FRAMES, SkeletalAutoencoder, SkeletalCodec
from duomotion.models.intermoe.bench import AutoencoderBench, ExpertsBench, InterMoEBench
from duomotion.models.intermoe.config import (
    AutoencoderConfig,
    AutoencoderLossWeights,
    DenoiserConfig,
    RoutingConfig,
)
from duomotion.models.intermoe.experts import SelectiveExperts
from duomotion.models.intermoe.generate import InterMoE, adjustment
from duomotion.models.intermoe.graphs import GRAPHS, adjacency, pooling_matrix, unpooling_matrix
from duomotion.models.intermoe.network import InterMoEDenoiser
from duomotion.models.intermoe.objective import feature_losses, joint_losses
from duomotion.models.intermoe.official import import_official
from duomotion.models.intermoe.official_autoencoder import to_official as autoencoder_to_official
from duomotion.models.intermoe.official_denoiser import released, to_official
from duomotion.models.intermoe.part_code import PartCode, part_features
from duomotion.models.intermoe.recipes import autoencoder_open, denoiser_open
from duomotion.models.intermoe.reference import ReferenceDenoiser
from duomotion.models.intermoe.routing import (
    bias_moves,
    expected_counts,
    fuse,
    select,
    take_highest,
)
from duomotion.models.intermoe.streaming import StreamingDecoder, StreamingEncoder
from duomotion.models.layers.acceleration import accelerate
from duomotion.models.layers.grouped_linear import GroupedLinear, group_by_group, in_one_kernel
from duomotion.models.layers.smoothing import smooth
from duomotion.motion.interhuman import INTERHUMAN
from duomotion.motion.layouts import layout_named
from duomotion.motion.skeleton import SMPL22, SMPLX55
from duomotion.sampling.diffusion import Known
from duomotion.sampling.request import Sampling

__all__ = ["interx_pairs"]
pytestmark = pytest.mark.usefixtures("cache", "hardly_separated")

TINY = DenoiserConfig(
    num_features=14,
    width=16,
    num_heads=2,
    num_blocks=2,
    routing=RoutingConfig(num_experts=4, feedforward=8),
    text_dim=8,
    text_layers=0,
)
SIZES = {"interhuman": 262, "interx": 336}


def codec_of(layout="interhuman", width=4, **changes):
    sizes = {"layout": layout, "num_features": SIZES[layout], "width": width}
    return tiny.shaken(SkeletalCodec(AutoencoderConfig(**sizes, **changes)), 0.3)


def routed(**changes):
    return tiny.shaken(
        InterMoEDenoiser(replace(TINY, routing=replace(TINY.routing, **changes))), 0.3
    )


def predict(network, x, times, text, lengths=None):
    return network(x, network.modulate(network.embed(network.condition(text), times)), lengths)


@pytest.mark.parametrize("layout", SIZES)
def test_graphs_are_of_the_skeletons(layout):
    skeleton = {"interhuman": SMPL22, "interx": SMPLX55}[layout]
    graph, found = GRAPHS[layout], layout_named(layout)
    assert graph.num_joints == found.num_joints
    assert graph.parents[0][: skeleton.num_joints] == skeleton.parents
    assert graph.latent_joints == {"interhuman": 7, "interx": 9}[layout]
    for parents, groups in zip(graph.parents, graph.groups, strict=True):
        joints = len(parents)
        assert {joint for members in groups for joint in members} == set(range(joints))
        edges, pooled = adjacency(parents), pooling_matrix(groups, joints)
        assert torch.equal(edges, edges.T) and edges.sum() == joints + 2 * (joints - 1)
        torch.testing.assert_close(pooled.sum(1), torch.ones(len(groups)))
        assert torch.equal(unpooling_matrix(groups, joints).T > 0, pooled > 0)
        for members in groups:  # each group hangs together
            connected = torch.linalg.matrix_power(edges[list(members)][:, list(members)], joints)
            assert (connected > 0).all()


@pytest.mark.parametrize("linear_code", [False, True])
@pytest.mark.parametrize("layout", SIZES)
def test_the_stream_equals_one_pass(layout, linear_code):
    codec = codec_of(layout, linear_code=linear_code)
    x = torch.randn(2, 2, 27, SIZES[layout])
    whole = codec.encode(x)
    assert whole.mean.shape == (2, 2, 6, codec.latent_dim)
    for pieces in (1, 2, 5):
        encoder, decoder = StreamingEncoder(codec), StreamingDecoder(codec)
        found = [each for part in x.split(pieces, 2) if (each := encoder(part)) is not None]
        for name in ("mean", "log_variance"):
            streamed = torch.cat([getattr(each, name) for each in found], 2)
            torch.testing.assert_close(streamed, getattr(whole, name), atol=1e-4, rtol=1e-4)
        frames = torch.cat([decoder(z) for z in whole.mean.split(pieces, 2)], 2)
        torch.testing.assert_close(frames, codec.decode(whole.mean), atol=1e-4, rtol=1e-4)


def test_the_future_changes_nothing():
    codec = codec_of()
    x, z = torch.randn(1, 2, 24, 262), torch.randn(1, 2, 6, codec.latent_dim)
    other, later = x.clone(), z.clone()
    other[:, :, 12:], later[:, :, 3:] = 1, 1
    torch.testing.assert_close(codec.encode(x).mean[:, :, :3], codec.encode(other).mean[:, :, :3])
    torch.testing.assert_close(codec.decode(z)[:, :, :12], codec.decode(later)[:, :, :12])


def test_people_and_samples_do_not_see_each_other():
    codec = codec_of()
    x = torch.randn(3, 2, 16, 262)
    both = codec.encode(x).mean
    alone = codec.encode(x[1:2, 1:]).mean
    torch.testing.assert_close(both[1:2, 1:], alone, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(codec.decode(both)[1:2, 1:], codec.decode(alone), atol=1e-4, rtol=0)


def test_losses_of_the_autoencoder_are_switches():
    rng = torch.Generator().manual_seed(0)
    made, target = (torch.rand(2, 2, 8, 262, generator=rng) for _ in range(2))
    mask = torch.ones(2, 8, dtype=torch.bool)
    weights = AutoencoderLossWeights()
    found = feature_losses(made, target, mask, INTERHUMAN, weights)
    assert set(found) == {"reconstruction", "position", "velocity", "rotation"}
    for name in found:
        fewer = feature_losses(made, target, mask, INTERHUMAN, replace(weights, **{name: 0.0}))
        assert set(fewer) == set(found) - {name}
    same = feature_losses(target, target, mask, INTERHUMAN, weights)
    assert all(float(loss) == 0 for loss in same.values())
    joints = (torch.rand(2, 2, 8, 22, 3, generator=rng) for _ in range(2))
    names = ("joints", "steps", "bones", "contact")
    weights = AutoencoderLossWeights(**dict.fromkeys(names, 1.0))
    assert tuple(joint_losses(*joints, mask, SMPL22, weights)) == names
    made[:, :, 4:] = 100
    first = feature_losses(made, target, mask & (torch.arange(8) < 4), INTERHUMAN, weights)
    assert max(map(float, first.values())) < 1


@given(st.lists(st.integers(0, 5), min_size=1, max_size=4), st.booleans())
def test_grouped_products_are_those_of_each_group(counts, with_gradient):
    torch.manual_seed(0)
    layer, x = GroupedLinear(len(counts), 8, 16), torch.randn(sum(counts), 8)
    layer.requires_grad_(with_gradient)
    parts = zip(x.split(counts), layer.weight, strict=True)
    expected = torch.cat([rows @ weight.T for rows, weight in parts])
    given = torch.tensor(counts)
    torch.testing.assert_close(layer(x, given), expected, atol=1e-5, rtol=1e-5)
    if sum(counts):
        torch.testing.assert_close(
            in_one_kernel(x, layer.weight, given), expected, atol=1e-5, rtol=1e-5
        )


def test_grouped_products_of_a_loaded_network_are_the_same():
    layer, x, counts = GroupedLinear(3, 8, 16), torch.randn(7, 8), torch.tensor([4, 0, 3])
    with torch.no_grad():
        expected = layer(x, counts)
        fast = accelerate(layer)
        torch.testing.assert_close(fast(x, counts), expected, atol=1e-5, rtol=1e-5)
        fast.weight.mul_(2)
        torch.testing.assert_close(fast(x, counts), 2 * expected, atol=1e-5, rtol=1e-5)
        parts = group_by_group(x, fast.weight.unbind(), counts)
        torch.testing.assert_close(parts, 2 * expected, atol=1e-5, rtol=1e-5)


shapes = st.tuples(st.integers(1, 3), st.integers(1, 7), st.integers(1, 5))


@examples(50)
@given(shapes, st.integers(0, 99), st.sampled_from(["dynamic", "expert_choice", "token_choice"]))
def test_padding_is_never_selected(shape, seed, selection):
    batch, places, experts = shape
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch, 2, places, experts, generator=rng)
    lengths = torch.randint(1, places + 1, (batch,), generator=rng)
    valid = torch.arange(places) < lengths[:, None]
    config = RoutingConfig(num_experts=experts, selection=selection)
    for is_training in (False, True):
        bias = torch.full((experts,), -0.5)
        selected = select(logits, bias, valid, config, is_training=is_training)
        assert selected.shape == logits.shape
        assert not (selected & ~valid[:, None, :, None]).any()
        if selection == "token_choice":
            assert (selected.sum(-1) == valid[:, None]).all()
        if selection == "dynamic":
            expected = (logits.sigmoid() > 0.5) & valid[:, None, :, None]
            assert torch.equal(selected, expected)


@given(shapes, st.integers(0, 99), st.sampled_from([0.5, 1.0, 2.0]))
def test_experts_of_fixed_capacity_take_the_highest(shape, seed, capacity):
    batch, places, experts = shape
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch, 2, places, experts, generator=rng)
    valid = torch.ones(batch, places, dtype=torch.bool)
    config = RoutingConfig(
        num_experts=experts, selection="expert_choice", capacity=min(capacity, experts)
    )
    selected = select(logits, torch.zeros(experts), valid, config, is_training=True)
    count = max(1, int(batch * places / experts * config.capacity))
    assert (selected.sum((0, 2)) == count).all()
    for person in range(2):
        for expert in range(experts):
            taken = selected[:, person, :, expert]
            own = logits[:, person, :, expert]
            if not taken.all():
                assert own[taken].min() >= own[~taken].max()


@given(shapes, st.integers(0, 99), st.sampled_from(["dynamic", "expert_choice", "token_choice"]))
def test_outside_of_training_selection_is_that_of_a_sample_alone(shape, seed, selection):
    batch, places, experts = shape
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch, 2, places, experts, generator=rng)
    lengths = torch.randint(1, places + 1, (batch,), generator=rng)
    config = RoutingConfig(num_experts=experts, selection=selection)
    bias = -torch.rand(experts, generator=rng)
    valid = torch.arange(places) < lengths[:, None]
    both = select(logits, bias, valid, config, is_training=False)
    for row, length in enumerate(lengths.tolist()):
        alone = select(
            logits[row : row + 1, :, :length],
            bias,
            valid[row : row + 1, :length],
            config,
            is_training=False,
        )
        assert torch.equal(both[row : row + 1, :, :length], alone)


def test_the_papers_fusion_and_the_released_one():
    motion, text = torch.randn(3, 4), torch.randn(3, 4)
    torch.testing.assert_close(fuse(motion, text, 0.5), (motion + text) / 2)
    torch.testing.assert_close(fuse(motion, text, None), motion + text)
    torch.testing.assert_close(fuse(motion, text, 1.0), motion)
    assert find_recipe("intermoe/denoiser").model.routing.alpha == 0.5
    assert released(DenoiserConfig()).routing.alpha is None


def test_ranks_of_equal_logits_are_by_place():
    logits, valid = torch.zeros(1, 4, 2), torch.tensor([[True, False, True, True]])[..., None]
    taken = take_highest(logits, valid, torch.tensor([2]))
    assert taken[0, :, 0].tolist() == [True, False, True, False]


@pytest.mark.parametrize("pool", ["batch", "sample"])
def test_biases_go_against_the_surplus_of_each_person(pool):
    config = RoutingConfig(num_experts=2, pool=pool, bias_rate=0.01)
    selected = torch.zeros(2, 2, 6, 2, dtype=torch.bool)
    selected[..., 0] = True  # the first expert takes all, the second nothing
    selected[0, 0, 3:, 0] = False  # but half of the first person's in a sample
    valid = torch.ones(2, 6, dtype=torch.bool)
    counts = expected_counts(valid, config, pool)
    assert counts.tolist() == ([[6], [6]] if pool == "batch" else [[3, 3], [3, 3]])
    moves = bias_moves(selected, valid, config)
    first = -0.02 if pool == "batch" else -0.015
    torch.testing.assert_close(moves, torch.tensor([first, 0.02]))
    valid[1] = False
    assert expected_counts(valid, config, "batch").tolist() == [[3], [3]]


def test_biases_lead_to_the_wanted_share():
    """In a hundred steps a share that is far off comes near what it is to be."""
    config = replace(TINY.routing, bias_rate=0.01)
    experts = tiny.shaken(SelectiveExperts(16, config), 0.5)
    x, text = torch.randn(8, 2, 20, 16), torch.randn(8, 16)
    valid = torch.ones(8, 20, dtype=torch.bool)
    shares = []
    for _ in range(100):
        selected = experts.route(x, x, text, valid).selected
        shares.append(selected.float().mean((0, 1, 2)))
        experts.bias += bias_moves(selected, valid, config)
    assert (shares[0] - 0.25).abs().max() > 0.15
    assert (shares[-1] - 0.25).abs().max() < 0.06


def test_experts_are_the_weighted_sum_over_those_that_took_a_token():
    experts = tiny.shaken(SelectiveExperts(16, TINY.routing), 0.3)
    hidden, read, text = (torch.randn(2, 2, 5, 16) for _ in range(3))
    valid = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    routing = experts.route(hidden, read, text[:, 0, 0], valid)
    assert 0 < routing.selected.float().mean() < 1
    expected = torch.zeros_like(read)
    for expert in range(TINY.routing.num_experts):
        gate, up = (read @ experts.gate_and_up.weight[expert].T).chunk(2, -1)
        made = (torch.nn.functional.silu(gate) * up) @ experts.down.weight[expert].T
        weight = routing.gates[..., expert] * routing.selected[..., expert]
        expected += weight[..., None] * made
    torch.testing.assert_close(experts(read, routing), expected, atol=1e-5, rtol=1e-4)
    nobody = routing._replace(selected=torch.zeros_like(routing.selected))
    assert not experts(read, nobody).any()


def test_only_selected_tokens_are_computed(monkeypatch):
    experts = tiny.shaken(SelectiveExperts(16, TINY.routing), 0.3)
    x, valid = torch.randn(2, 2, 9, 16), torch.ones(2, 9, dtype=torch.bool)
    routing = experts.route(x, x, x[:, 0, 0], valid)
    rows = []
    forward = GroupedLinear.forward

    def counted(self, x_MI, counts_G):
        rows.append((len(x_MI), counts_G.tolist()))
        return forward(self, x_MI, counts_G)

    monkeypatch.setattr(GroupedLinear, "forward", counted)
    experts(x, routing)
    counts = routing.selected.sum((0, 1, 2)).tolist()
    assert rows == 2 * [(sum(counts), counts)]


@pytest.mark.parametrize("router", ["synergistic", "motion", "text", "plain"])
def test_routers_read_what_they_are_named_after(router):
    experts = tiny.shaken(SelectiveExperts(16, replace(TINY.routing, router=router)), 0.3)
    hidden, read, text = torch.randn(2, 2, 5, 16), torch.randn(2, 2, 5, 16), torch.randn(2, 16)
    valid = torch.ones(2, 5, dtype=torch.bool)
    first = experts.route(hidden, read, text, valid).logits
    changed = [
        not torch.equal(first, experts.route(*others, valid).logits)
        for others in ((hidden + 1, read, text), (hidden, read + 1, text), (hidden, read, text + 1))
    ]
    assert (
        changed
        == {
            "synergistic": [True, False, True],
            "motion": [True, False, False],
            "text": [False, False, True],
            "plain": [False, True, False],
        }[router]
    )


@pytest.mark.parametrize("selection", ["dynamic", "expert_choice", "token_choice"])
def test_a_sample_in_a_padded_batch_is_as_alone(selection):
    network = routed(selection=selection).double()  # but for the routers' logits
    x, text = torch.randn(3, 2, 9, 14).double(), torch.randn(3, 8).double()
    times, lengths = torch.tensor([3, 400, 900]), torch.tensor([9, 6, 4])
    both = predict(network, x, times, text, lengths)
    for row, length in enumerate(lengths.tolist()):
        one = slice(row, row + 1)
        alone = predict(network, x[one, :, :length], times[one], text[one])
        torch.testing.assert_close(both[one, :, :length], alone, atol=1e-5, rtol=1e-4)


def test_training_chooses_over_the_batch_and_evaluation_by_sample():
    """With a fixed capacity; dynamic selection never depends on other samples."""
    network = routed(selection="expert_choice")
    x, text, times = torch.randn(2, 2, 8, 14), torch.randn(2, 8), torch.tensor([3, 900])
    counts = []
    for mode in (True, False):
        predict(network.train(mode), x, times, text)
        counts.append(network.routes[0].selected.sum(2))
    assert (counts[1] == 2).all()
    assert (counts[0].sum(0) == 4).all() and (counts[0] != 2).any()


def test_people_are_alike_to_the_network():
    network = routed()
    x, text, times = torch.randn(2, 2, 8, 14), torch.randn(2, 8), torch.tensor([3, 900])
    swapped = predict(network, x.flip(1), times, text).flip(1)
    torch.testing.assert_close(predict(network, x, times, text), swapped, atol=1e-5, rtol=1e-4)


def test_fast_sampling_equals_the_reference():
    autoencoder = AutoencoderConfig(width=2)
    bench = InterMoEBench(replace(TINY, steps=10), autoencoder, precision="float32")
    ours = bench.generate(1, 2)
    assert ours.shape == (2, 2, 32, 262)
    torch.testing.assert_close(ours, bench.generate(1, 2, reference=True), atol=1e-3, rtol=1e-3)
    row = bench.row(1, 2, repeats=1, reference=False)
    assert "10 steps of dpmsolver++" in table([row])
    shares = torch.stack([each.selected.float().mean((0, 1, 2)) for each in bench.denoiser.routes])
    assert (shares.mean() - 1 / 4).abs() < 0.15


def test_the_autoencoder_in_one_pass_equals_the_reference():
    bench = AutoencoderBench(AutoencoderConfig(width=4))
    ours = bench.generate(2, 1)
    torch.testing.assert_close(ours, bench.generate(2, 1, reference=True), atol=1e-4, rtol=1e-4)
    streamed = bench.variants["frame by frame"](2, 1)
    torch.testing.assert_close(streamed, ours, atol=1e-4, rtol=1e-4)


def test_experts_equal_the_dense_product():
    bench = ExpertsBench(TINY, precision="float32")
    ours = bench.generate(2, 2)
    torch.testing.assert_close(ours, bench.generate(2, 2, reference=True), atol=1e-4, rtol=1e-4)
    assert {make(2, 2).shape for make in bench.variants.values()} == {ours.shape}


def test_the_reference_has_one_form():
    with pytest.raises(ValueError, match="has the paper's router and selection only"):
        ReferenceDenoiser(routed(selection="token_choice"))


def test_open_sizes_fit_into_a_package():
    """Both together, in half precision, beside a length estimator."""
    with torch.device("meta"):
        model, found = autoencoder_open().model, denoiser_open().model
        numbers = SkeletalAutoencoder(model, INTERHUMAN), InterMoEDenoiser(found)
    assert found.num_features == 7 * model.width
    assert 2 * sum(p.numel() for each in numbers for p in each.parameters()) < 7.5e6


ANY = ("optim.batch_size=4", "optim.warmup_steps=0", *tiny.FAST)


def autoencoder_recipe(pairs, *changes):
    words = [*tiny.INTERMOE_AUTOENCODER, f"data.pairs={pairs}", *ANY, *changes]
    return apply_overrides(find_recipe("intermoe/autoencoder-open"), words)


def denoiser_recipe(pairs, folder, *changes):
    words = [*tiny.INTERMOE_DENOISER, f"data.pairs={pairs}", f"data.autoencoder={folder}", *ANY]
    return apply_overrides(find_recipe("intermoe/denoiser-open"), [*words, *changes])


def losses(records, name="loss"):
    return [record[name] for record in records if name in record]


@pytest.fixture(scope="module")
def latents(pairs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "autoencoder"
    recipe = autoencoder_recipe(pairs, "optim.steps=150", "optim.lr=1e-2")
    return tiny.train(recipe, folder), folder / "last"


@pytest.fixture(scope="module")
def trained(pairs, latents, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "intermoe"
    recipe = denoiser_recipe(pairs, latents[1], "optim.steps=60", "optim.lr=1e-2")
    return tiny.train(recipe, folder), folder / "last"


@pytest.mark.parametrize("layout", SIZES)
def test_each_feature_is_of_one_part(layout):
    """Of which all joints hang together, as their rotations do."""
    features = part_features(GRAPHS[layout], layout_named(layout))
    assert len(features) == GRAPHS[layout].latent_joints
    assert sorted(each for own in features for each in own) == list(range(SIZES[layout]))
    if layout == "interhuman":
        left_leg, floor = {1, 4, 7, 10}, {258, 259}
        assert {feature // 3 for feature in features[1] if feature < 66} == left_leg
        assert floor < set(features[1])


@pytest.mark.parametrize("layout", SIZES)
def test_a_code_of_as_many_numbers_as_features_loses_nothing(layout):
    frames, x = 4, torch.randn(3, 12, SIZES[layout])
    code = PartCode(GRAPHS[layout], layout_named(layout), frames, 4 * SIZES[layout])
    z = code.encode(x)
    assert z.shape == (3, 3, GRAPHS[layout].latent_joints, 4 * SIZES[layout])
    torch.testing.assert_close(code.decode(z), x, atol=1e-5, rtol=1e-5)


def test_an_autoencoder_holds_motion_before_it_is_trained(pairs, tmp_path):
    """Convolutions alone know only the mean then."""
    features, errors = INTERHUMAN.encode(waving(frames=41)), {}
    for linear in ("true", "false"):
        recipe = autoencoder_recipe(pairs, f"model.linear_code={linear}", "optim.steps=1")
        tiny.train(recipe, tmp_path / linear)
        codec = duomotion.loading.load_reconstructor(tmp_path / linear / "last")
        errors[linear] = np.abs(codec.reconstruct(features) - features)[..., :66].mean()
    assert errors["true"] < 0.2 * errors["false"]


def test_an_autoencoder_brings_clips_back(latents):
    records, last = latents
    names = {"reconstruction", "position", "velocity", "rotation", "kl"}
    assert names | {"joints", "steps", "bones", "contact"} <= set(records[0])
    assert losses(records)[-1] < 0.5 * losses(records)[0]
    assert losses(records, "validation/mpjpe")[-1] < 0.15
    features = INTERHUMAN.encode(waving(frames=43))
    made = duomotion.loading.load_reconstructor(last).reconstruct(features)
    assert made.shape == (2, 40, 262)
    assert np.abs(made - features[:, :40])[..., :66].mean() < 0.15


def test_training_from_clips_to_motion(trained, tmp_path):
    records, last = trained
    assert losses(records)[-1] < 0.7 * losses(records)[0]
    checkpoint = read_checkpoint(last)
    assert checkpoint.recipe["system"] == "intermoe/denoiser"
    biases = checkpoint.tensors["denoiser.blocks.0.experts.bias"]
    assert ((biases + 0.5).abs() <= 60 * 2 * 0.001 + 1e-6).all() and (biases != -0.5).any()
    pack_checkpoint(last, tmp_path / "packed")
    model = duomotion.load(tmp_path / "packed")
    assert isinstance(model, InterMoE)
    clip = model.generate("two wave", seconds=1)
    assert clip.num_frames == 30 and np.isfinite(clip.positions).all()
    assert clip.reading is not None and clip.reading.known
    assert 1 < clip.positions[..., 1].max() < 2.5


def test_biases_move_once_a_step_and_never_in_validation(pairs, latents):
    task = tiny.task_of(denoiser_recipe(pairs, latents[1], "optim.steps=1"))
    batch = next(iter(task.train_batches(seed=0, epoch=0, skip=0)))
    rng = torch.Generator().manual_seed(0)
    task.model.train()
    before = {name: x.clone() for name, x in task.model.named_buffers() if name.endswith("bias")}
    task.loss(batch, rng, 0)
    (moves,) = task.moves
    expected = {name: before[name] + move for name, move in zip(before, moves, strict=True)}
    task.model.eval()
    task.loss(batch, rng, 0)
    with torch.no_grad():
        task.after_step(0, {})
    found = dict(task.model.named_buffers())
    assert any(not torch.equal(found[name], before[name]) for name in before)
    for name, bias in expected.items():
        torch.testing.assert_close(found[name], bias)


@pytest.mark.parametrize(
    "change",
    [
        "num_experts=0",
        "router=motion",
        "router=text",
        "router=plain",
        "pool=sample",
        "selection=expert_choice",
        "selection=token_choice",
        "alpha=null",
        "route_padding=true",
    ],
)
def test_each_switch_trains_and_generates(pairs, latents, tmp_path, change):
    changes = ("optim.steps=5", "optim.lr=1e-2", f"model.routing.{change}")
    records = tiny.train(denoiser_recipe(pairs, latents[1], *changes), tmp_path / "run")
    assert np.isfinite(losses(records)).all()
    clip = duomotion.load(tmp_path / "run" / "last").generate("hi", seconds=1)
    assert np.isfinite(clip.positions).all()


def test_latents_of_fresh_views_train_as_they_are_too(pairs, latents, tmp_path):
    changes = (
        "optim.steps=5",
        "model.normalise_latents=false",
        "model.code=null",
        "data.views=null",
    )
    tiny.train(denoiser_recipe(pairs, latents[1], *changes), tmp_path / "run")
    tensors = read_checkpoint(tmp_path / "run" / "last").tensors
    assert not tensors["mean"].any() and (tensors["std"] == 1).all()


def test_patches_of_latents_train_and_generate_any_length(pairs, latents, tmp_path):
    changes = ("optim.steps=5", "model.code.patch=2")
    records = tiny.train(denoiser_recipe(pairs, latents[1], *changes), tmp_path / "run")
    assert np.isfinite(losses(records)).all()
    model = duomotion.load(tmp_path / "run" / "last")
    assert model.generate("hi", seconds=1.4).num_frames == 42  # 11 latents, one more is made
    clip = waving(frames=42)
    reaction = model.react(clip.person(0))
    np.testing.assert_allclose(reaction.positions[0], clip.positions[0], atol=1e-5)


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(solver="ddim", steps=3, guidance=1)])
def test_alone_as_in_a_batch(trained, sampling):
    tiny.assert_alone_as_in_a_batch(duomotion.load(trained[1]), sampling)


def test_known_motion_comes_back(trained):
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


def test_known_motion_is_in_the_latents(trained):
    """Latents with known frames are what the encoder makes of these; others stay, in pairs."""
    model = duomotion.load(trained[1])
    config, rng = model.diffusion.config, torch.Generator().manual_seed(0)
    values = model.codec.decode(torch.randn(1, 2, 6, config.num_features, generator=rng))
    mask = torch.zeros(1, 2, 6 * FRAMES, 1, dtype=torch.bool)
    mask[:, 0], mask[:, 1, : 2 * FRAMES + 1] = True, True
    sampling = replace(model.tuned, avoid_collisions=False)
    adjust = adjustment(
        model.diffusion, model.codec, 24, sampling=sampling, known=Known(values, mask)
    )
    z = torch.randn(1, 2, 3, config.num_inputs, generator=rng)
    found = adjust(z, 0)
    expected = model.diffusion.encode(model.codec.encode(values).mean)
    torch.testing.assert_close(found[:, 0], expected[:, 0], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found[:, 1, :1], expected[:, 1, :1], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(found[:, 1, 2:], z[:, 1, 2:])
    assert not torch.equal(found[:, 1, 1], z[:, 1, 1])


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


def test_it_trains_on_inter_x_layout_too(interx_pairs, tmp_path):
    views = ("data.examples.max_frames=150", "data.examples.floor=each")
    layout = ("model.layout=interx", "model.num_features=336")
    recipe = autoencoder_recipe(interx_pairs, *layout, *views, "optim.steps=20", "optim.lr=1e-2")
    records = tiny.train(recipe, tmp_path / "autoencoder")
    assert losses(records)[-1] < losses(records)[0]
    changes = (*views, "model.num_features=144", "optim.steps=3")
    folder = tmp_path / "autoencoder" / "last"
    tiny.train(denoiser_recipe(interx_pairs, folder, *changes), tmp_path / "run")
    clip = duomotion.load(tmp_path / "run" / "last").generate("hi", seconds=1)
    assert clip.num_people == 2 and np.isfinite(clip.positions).all()


def test_rows_of_the_tables_name_recipes_and_fields():
    for name, rows in systems()["intermoe"].tables().items():
        assert name.startswith("intermoe/")
        for trainings in rows.rows.values():
            for training in trainings.in_order:
                apply_overrides(find_recipe(training.recipe), training.changes)


def test_the_command_line(run, trained, tmp_path):
    words = ("generate", "two wave", "--seconds", 1, "--model", trained[1], "--formats", "npz")
    status, printed, _ = run(*words, "--solver", "unipc", "--steps", 3, "--out", tmp_path)
    assert status == 0 and "-steps3-solverunipc-1s-0.npz" in printed
    status, printed, error = run(*words, "--resampling", 3, "--out", tmp_path)
    assert (status, printed) == (2, "") and "has no sampling setting resampling" in error


def test_bad_input(trained, latents, pairs):
    with pytest.raises(ValueError, match="multiple of num_heads"):
        DenoiserConfig(width=10, num_heads=3)
    with pytest.raises(ValueError, match="bias_start must lie between -1 and 0"):
        RoutingConfig(bias_start=0.5)
    with pytest.raises(ValueError, match="capacity 9 must be at most the number of experts, 8"):
        RoutingConfig(capacity=9)
    with pytest.raises(ValueError, match="layout must be interhuman or interx, not kit"):
        SkeletalCodec(AutoencoderConfig(layout="kit-ml", num_features=251))
    with pytest.raises(ValueError, match="num_features must be 262"):
        SkeletalCodec(AutoencoderConfig(num_features=100))
    with pytest.raises(ValueError, match="motion of 3 frames can't be encoded"):
        codec_of().encode(torch.zeros(1, 2, 3, 262))
    with pytest.raises(ValueError, match="makes latents of 112 numbers; the denoiser is for those"):
        tiny.task_of(denoiser_recipe(pairs, latents[1], "model.num_features=64"))
    with pytest.raises(ValueError, match="of 'intermoe/denoiser', not of 'intermoe/autoencoder'"):
        tiny.task_of(denoiser_recipe(pairs, trained[1]))
    with pytest.raises(ValueError, match="router"):
        apply_overrides(find_recipe("intermoe/denoiser"), ["model.routing.router=best"])


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    """Files as the authors' are, with random weights, and statistics beside them."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("official")
    autoencoder = SkeletalAutoencoder(AutoencoderConfig(width=2), INTERHUMAN)
    config = released(replace(TINY, num_heads=8, text_dim=16, text_layers=1, text_feedforward=8))
    denoiser = InterMoEDenoiser(replace(config, text_heads=8))
    latents = autoencoder_to_official(autoencoder.state_dict(), 2)
    state = {f"model.{name}": x for name, x in to_official(denoiser.state_dict()).items()}
    state |= {f"model.vae.{name}": x for name, x in latents.items()}
    state |= {"model.positional_embedding": torch.zeros(3, 4)}
    torch.save({"state_dict": state, "global_step": 7}, folder / "intermoe.ckpt")
    vae = {f"model.{name}": 2 * x if "dist" in name else x for name, x in latents.items()}
    torch.save({"state_dict": vae}, folder / "vae.ckpt")
    np.save(folder / "global_mean.npy", np.zeros(262))
    np.save(folder / "global_std.npy", np.ones(262))
    return folder, denoiser, autoencoder


def test_an_official_checkpoint_becomes_ours(official, tmp_path):
    folder, denoiser, autoencoder = official
    counts = import_official(folder / "intermoe.ckpt", tmp_path / "model")
    trained = sum(x.numel() for x in denoiser.state_dict().values())
    assert counts["denoiser"] + counts["text head"] == trained
    assert counts["autoencoder"] == sum(
        x.numel() for x in autoencoder_to_official(autoencoder.state_dict(), 2).values()
    )
    checkpoint = read_checkpoint(tmp_path / "model")
    assert checkpoint.provenance["step"] == 7
    for name, tensor in denoiser.state_dict().items():
        assert torch.equal(checkpoint.tensors[f"denoiser.{name}"], tensor)
    child = read_checkpoint(tmp_path / "model" / "autoencoder")
    for name, tensor in autoencoder.state_dict().items():
        assert torch.equal(child.tensors[f"autoencoder.{name}"], tensor)
    routing = checkpoint.recipe["model"]["routing"]
    assert routing["alpha"] is None and routing["route_padding"] is True


def test_another_autoencoder_can_be_taken(official, tmp_path):
    folder, _, autoencoder = official
    import_official(folder / "intermoe.ckpt", tmp_path / "model", autoencoder=folder / "vae.ckpt")
    child = read_checkpoint(tmp_path / "model" / "autoencoder")
    own = autoencoder.state_dict()["to_latents.weight"]
    assert torch.equal(child.tensors["autoencoder.to_latents.weight"], 2 * own)


def test_what_is_wrong_with_an_official_checkpoint_is_named(official, tmp_path):
    folder, *_ = official
    path = folder / "intermoe.ckpt"
    with pytest.raises(ValueError, match="there is no such file"):
        import_official(tmp_path / "nothing.ckpt", tmp_path / "model")
    with pytest.raises(ValueError, match=r"global_mean\.npy is not there"):
        import_official(path, tmp_path / "model", statistics=tmp_path)
    original = torch.load(path, weights_only=True)["state_dict"]
    broken = {name: x for name, x in original.items() if not name.endswith("out.linear.bias")}
    broken["model.more"] = torch.zeros(2)
    torch.save({"state_dict": broken}, tmp_path / "broken.ckpt")
    with pytest.raises(ValueError, match=r"lacks denoiser\.net\.out\.linear\.bias; .*unknown more"):
        import_official(tmp_path / "broken.ckpt", tmp_path / "model", statistics=folder)
    name = "model.vae.conv_enc.layers.0.2.skeleton_pool"
    torch.save({"state_dict": original | {name: torch.ones(12, 22)}}, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match="is not that of InterHuman's skeleton"):
        import_official(tmp_path / "other.ckpt", tmp_path / "model", statistics=folder)
    without = {name: x for name, x in original.items() if "vae.dist" not in name}
    torch.save({"state_dict": without}, tmp_path / "without.ckpt")
    with pytest.raises(ValueError, match=r"lacks dist\.weight, dist\.bias"):
        import_official(tmp_path / "without.ckpt", tmp_path / "model", statistics=folder)
    assert not (tmp_path / "model").exists()


def test_decoded_motion_is_smoothed_where_it_is_asked_for():
    torch.manual_seed(0)
    plain = SkeletalCodec(AutoencoderConfig(width=4)).eval()
    smoothed = SkeletalCodec(AutoencoderConfig(width=4, smoothing=1.0)).eval()
    smoothed.load_state_dict(plain.state_dict())
    z_BPNL = torch.randn(2, 2, 5, plain.latent_dim)
    with torch.no_grad():
        made, expected = smoothed.decode(z_BPNL), smooth(plain.decode(z_BPNL).flatten(0, 1), 1.0)
    torch.testing.assert_close(made.flatten(0, 1), expected)
    assert smoothed.train().decode(z_BPNL).diff(dim=2).abs().mean() > made.diff(dim=2).abs().mean()
