"""InterMoE beside what the authors' code computes: autoencoder, routing, sampling, loss, biases."""

from dataclasses import replace

import parity
import pytest
import torch

from duomotion.models.intermoe.autoencoder import FRAMES, SkeletalAutoencoder, SkeletalCodec
from duomotion.models.intermoe.config import AutoencoderConfig, DenoiserConfig
from duomotion.models.intermoe.network import InterMoEDenoiser
from duomotion.models.intermoe.objective import denoising_loss, kl_loss
from duomotion.models.intermoe.official_autoencoder import (
    from_official as autoencoder_from_official,
)
from duomotion.models.intermoe.official_autoencoder import official_config as autoencoder_config
from duomotion.models.intermoe.official_autoencoder import to_official as autoencoder_to_official
from duomotion.models.intermoe.official_denoiser import (
    TABLES,
    UNUSED,
    from_official,
    official_config,
    to_official,
)
from duomotion.models.intermoe.reference import ReferenceAutoencoder, ReferenceDenoiser
from duomotion.models.intermoe.routing import bias_moves
from duomotion.models.intermoe.streaming import StreamingDecoder, StreamingEncoder
from duomotion.models.layers.latents import Latents
from duomotion.models.pair_diffusion import denoise
from duomotion.motion.interhuman import INTERHUMAN
from duomotion.sampling.diffusion import Solver
from duomotion.sampling.guidance import GuidedNetwork
from duomotion.sampling.request import Sampling


@pytest.fixture(scope="module")
def codec():
    """The autoencoder with the recorded weights."""
    weights = parity.weights(parity.one_of("intermoe_vae*"))
    config = autoencoder_config(weights)
    codec = SkeletalCodec(config)
    codec.autoencoder.load_state_dict(autoencoder_from_official(weights, config.num_blocks))
    return codec.eval().requires_grad_(False)


def recorded_motion():
    """For each recorded length: motion (B, 1, T, F), latents (B, 1, N, L), and what came out."""
    description, tensors = parity.load(parity.one_of("intermoe_vae*"))
    for length in description["config"]["lengths"]:
        inputs, outputs = f"in/T{length}/", f"out/T{length}/"
        made = {key.removeprefix(outputs): tensors[key] for key in tensors if outputs in key}
        latents = tensors[f"{inputs}latents"][:, None].flatten(3)
        yield tensors[f"{inputs}motion"][:, None], latents, made


def test_parity_of_the_autoencoder_in_one_pass(codec):
    for motion, latents, made in recorded_motion():
        found = codec.encode(motion)
        parity.close(found.mean[:, 0], made["mu"].flatten(2))
        parity.close(found.log_variance[:, 0], made["logvar"].flatten(2))
        mask = torch.ones(len(motion), found.mean.shape[2], dtype=torch.bool)
        parity.close(kl_loss(found, mask), made["loss_kl"])
        parity.close(codec.decode(latents)[:, 0], made["decoded"])
        if "joint_embedding" in made:
            frames = made["joint_embedding"].shape[1]
            own = motion[:, 0, :frames]
            contacts = own[..., INTERHUMAN.blocks.contacts]
            embedded = codec.autoencoder.joint_encoder(INTERHUMAN.to_joint_map(own), contacts)
            parity.close(embedded, made["joint_embedding"])


def test_parity_of_the_reference_piece_by_piece(codec):
    reference = ReferenceAutoencoder(codec.autoencoder)
    for motion, latents, made in recorded_motion():
        mean, log_variance = reference.encode(motion[:, 0])
        parity.close(mean, made["mu"].flatten(2))
        parity.close(log_variance, made["logvar"].flatten(2))
        parity.close(reference.decode(latents[:, 0]), made["decoded"])


@pytest.mark.parametrize("pieces", [1, 3, 8])
def test_parity_of_the_stream(codec, pieces):
    """Frames and latents one by one, and some at a time."""
    for motion, latents, made in recorded_motion():
        encoder, decoder = StreamingEncoder(codec), StreamingDecoder(codec)
        found = [each for x in motion.split(pieces, 2) if (each := encoder(x)) is not None]
        parity.close(torch.cat([each.mean for each in found], 2)[:, 0], made["mu"].flatten(2))
        frames = [decoder(z) for z in latents.split(pieces, 2)]
        parity.close(torch.cat(frames, 2)[:, 0], made["decoded"])


def test_a_frame_alone_ends_no_latent(codec):
    motion, _, _ = next(recorded_motion())
    encoder = StreamingEncoder(codec)
    ends = [encoder(x) is not None for x in motion[:, :, : 2 * FRAMES].split(1, 2)]
    assert ends == 2 * [False, False, False, True]


def test_an_official_autoencoder_there_and_back(codec):
    weights = parity.weights(parity.one_of("intermoe_vae*"))
    again = autoencoder_to_official(codec.autoencoder.state_dict(), codec.config.num_blocks)
    assert set(again) == set(weights)
    for name, tensor in weights.items():
        torch.testing.assert_close(again[name], tensor, atol=1e-6, rtol=0)


def apart(x_BT2F):
    """(B, T, 2 F), as recorded -> (B, 2, T, F)."""
    return x_BT2F.unflatten(-1, (2, -1)).transpose(1, 2)


def together(x_BPTF):
    return x_BPTF.transpose(1, 2).flatten(2)


@pytest.fixture(scope="module")
def recorded():
    """Description, tensors, and the network with the recorded weights."""
    name = parity.one_of("intermoe_denoiser*")
    description, tensors = parity.load(name)
    sizes, weights = description["config"], parity.weights(name)
    config = DenoiserConfig(num_heads=sizes["NUM_HEADS"], text_dim=sizes["text_dim"], text_layers=0)
    config = replace(
        config, routing=replace(config.routing, capacity=sizes["MoE_config"]["capacity"])
    )
    network = InterMoEDenoiser(official_config(weights, config))
    network.load_state_dict(from_official(weights))
    return description, tensors, network.eval().requires_grad_(False)


def predict(network, x, times, text, lengths=None):
    return network(x, network.modulate(network.embed(network.condition(text), times)), lengths)


def lengths_of(tensors):
    return tensors["in/mask"][..., 0].sum(1).long()


def test_parity_of_the_network_and_its_routing(recorded):
    _, tensors, network = recorded
    given = apart(tensors["in/x_t"]), tensors["in/t"], tensors["in/cond"], lengths_of(tensors)
    parity.close(together(predict(network, *given)), tensors["out/forward/out"])
    pooled = [
        [getattr(each, name).transpose(0, 1).flatten(1, 2) for each in network.routes]
        for name in ("logits", "gates", "selected")
    ]
    logits, gates, selected = map(torch.stack, pooled)
    parity.close(logits, tensors["out/forward/routing_logits"])
    parity.close(gates.mT, tensors["out/forward/routing_scores"])
    assert torch.equal(selected.mT.float(), tensors["out/forward/routing_mask"])


def test_padding_that_is_not_routed_changes_no_frame(recorded):
    """What the released code makes of padding is seen by nobody but the counts."""
    _, tensors, network = recorded
    routing = replace(network.config.routing, route_padding=False)
    own = InterMoEDenoiser(replace(network.config, routing=routing))
    own.load_state_dict(network.state_dict())
    lengths = lengths_of(tensors)
    given = apart(tensors["in/x_t"]), tensors["in/t"], tensors["in/cond"], lengths
    both = [predict(each.eval(), *given) for each in (network, own)]
    for row, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(both[0][row, :, :length], both[1][row, :, :length])
        assert not any(each.selected[row, :, length:].any() for each in own.routes)


def test_parity_of_sampling(recorded):
    """The released code tells the network where samples end."""
    description, tensors, network = recorded
    noise, text = apart(tensors["in/sample_noise"]), tensors["in/sample_cond"]
    solver = Solver("ddim", network.config.noise, 50)
    guided = GuidedNetwork(network, text, lengths_of(tensors), description["config"]["CFG_WEIGHT"])

    def network_at(x, step):
        times = torch.full((len(guided.condition),), solver.times[step])
        norms = network.modulate(network.embed(guided.condition, times))
        return guided(lambda x, _, lengths: network(x, norms, lengths), x)

    made = solver.run(network_at, noise, rngs=[])
    parity.close(together(made), tensors["out/ddim/final"])
    parity.close(together(network_at(noise, 0)), tensors["out/ddim/first_pred_xstart"])


def test_fast_sampling_equals_the_reference(recorded):
    description, tensors, network = recorded
    scale, noise = description["config"]["CFG_WEIGHT"], apart(tensors["in/sample_noise"])
    sampling = Sampling(solver="ddim", steps=50, guidance=scale, resampling=1)
    given = noise, tensors["in/sample_cond"]
    made = denoise(network, *given, rngs=[torch.Generator()] * len(noise), sampling=sampling)
    literal = ReferenceDenoiser(network).sample(*given, 50, scale)
    torch.testing.assert_close(made, literal, atol=1e-4, rtol=1e-4)


def test_parity_of_the_loss(recorded):
    _, tensors, network = recorded
    clean, times = apart(tensors["in/loss_x_start"]), tensors["in/loss_t"]
    noisy = network.config.noise.add_noise(clean, apart(tensors["in/loss_noise"]), times)
    made = predict(network, noisy, times, tensors["in/cond"], lengths_of(tensors))
    mask = tensors["in/mask"][..., 0] > 0
    parity.close(denoising_loss(made, clean, mask), tensors["out/loss/total"])


def test_parity_of_the_biases_updates(recorded):
    """The released code moves biases at the start of each block's call, by the call before.

    Ours moves them after the step by both people's counts: its biases are those of the released
    code with the last move, which is still to come there.
    """
    _, tensors, network = recorded
    sizes = network.config.routing
    counts, biases = tensors["out/train/selected_counts"], tensors["out/train/aux_bias"][..., 0]
    pending = tensors["out/train/his_moment"][..., 0]
    tokens = tensors["in/mask"][..., 0].numel()
    valid = torch.ones(1, tokens, dtype=torch.bool)
    for layer, block in enumerate(network.blocks):
        ours = block.experts.bias.clone()
        for forward in range(len(counts)):
            taken = torch.arange(tokens)[None, :, None] < counts[forward, layer][:, None]
            ours += bias_moves(taken[None], valid, sizes)
            torch.testing.assert_close(
                ours, biases[forward, layer] - sizes.bias_rate * pending[forward, layer]
            )


def test_parity_of_the_counts(recorded):
    _, tensors, network = recorded
    predict(
        network, apart(tensors["in/x_t"]), tensors["in/t"], tensors["in/cond"], lengths_of(tensors)
    )
    counts = torch.stack([each.selected.sum((0, 2)) for each in network.routes])
    assert torch.equal(counts.float(), tensors["out/train/selected_counts"][0])


def test_an_official_denoiser_there_and_back(recorded):
    *_, network = recorded
    weights = parity.weights(parity.one_of("intermoe_denoiser*"))
    again = to_official(network.state_dict())
    assert set(again) == set(weights)
    unread = (*TABLES, *(name for name in weights if name.endswith(tuple(UNUSED))))
    for name in set(weights) - set(unread):
        assert torch.equal(again[name], weights[name])


def test_the_released_sizes_have_their_counts():
    """The released code counts matrices of the skeleton and biases of experts, too."""
    with torch.device("meta"):
        autoencoder = SkeletalAutoencoder(AutoencoderConfig(), INTERHUMAN)
        denoiser = InterMoEDenoiser(DenoiserConfig())
    trained = sum(p.numel() for p in autoencoder.parameters())
    official = autoencoder_to_official(autoencoder.state_dict(), AutoencoderConfig().num_blocks)
    assert trained == 1_001_228
    assert sum(tensor.numel() for tensor in official.values()) == 1_006_948
    stored = {name: tensor.numel() for name, tensor in denoiser.state_dict().items()}
    head = sum(count for name, count in stored.items() if name.startswith("text_head."))
    biases = sum(count for name, count in stored.items() if name.endswith("experts.bias"))
    assert head == 11_029_504 and biases == 64
    assert sum(stored.values()) - head == 229_150_208
    assert 1_006_948 + 229_150_208 + head == 241_186_660


def test_a_sample_of_latents_has_their_mean_and_deviation():
    mean, log_variance = torch.full((1, 20_000), 2.0), torch.full((1, 20_000), -2.0)
    drawn = Latents(mean, log_variance).sample(torch.Generator().manual_seed(0))
    assert drawn.mean() == pytest.approx(2, abs=0.02)
    assert drawn.std() == pytest.approx(float(torch.tensor(-1.0).exp()), abs=0.02)
