"""The InterMask tokenizer against recorded outputs of the released code."""

import copy

import parity
import pytest
import torch
from parity import close

from duomotion.models.intermask.config import INTERX_TOKENIZER, TokenizerConfig
from duomotion.models.intermask.official_tokenizer import (
    from_official,
    key_map,
    official_config,
    to_official,
)
from duomotion.models.intermask.tokenizer import GraphLayer, MotionTokenizer
from duomotion.models.layers.quantize import perplexity
from duomotion.motion.interhuman import INTERHUMAN

NAMES = parity.fixtures("intermask_vqvae*")


def batches(name):
    """Names of the batches that a fixture holds: b1 of one motion, b2 of two."""
    found = {key.split("/")[1] for key in parity.load(name)[1] if key.startswith("in/")}
    return sorted(found)


CASES = [(name, batch) for name in NAMES for batch in batches(name)]


def build(name):
    recorded, tensors = parity.load(name)
    weights = parity.weights(name)
    config = official_config(weights, recorded["config"]["dilation_growth_rate"])
    tokenizer = MotionTokenizer(config).eval()
    tokenizer.load_state_dict(from_official(weights, config))
    return tokenizer, recorded, tensors


def without_messages(tokenizer):
    """Joints that do not hear each other, as in the released code for all but a batch's first."""
    silent = copy.deepcopy(tokenizer)
    for module in silent.modules():
        if isinstance(module, GraphLayer):
            module.adjacency.zero_()
    return silent


def to_map(motion):
    return INTERHUMAN.to_joint_map(motion) if motion.ndim == 3 else motion


def from_map(motion, like):
    return INTERHUMAN.from_joint_map(motion) if like.ndim == 3 else motion


@pytest.mark.parametrize("name", NAMES)
def test_sizes_are_read_from_weights(name):
    tokenizer, recorded, _ = build(name)
    config, sizes = tokenizer.config, recorded["config"]
    assert config.num_joints == sizes["joints_num"]
    assert config.joint_dim == sizes["input_dim"]
    assert config.num_codes == sizes["nb_code"]
    assert config.code_dim == sizes["code_dim"]
    assert set(config.widths) == {sizes["width"]}
    assert len(config.dilations) == sizes["depth"]
    assert config.num_levels == sizes["down_t"]
    assert (config.input_layer == "graph") == sizes["gcn"]


@pytest.mark.parametrize(("name", "batch"), CASES)
@torch.no_grad()
def test_outputs(name, batch):
    tokenizer, _, tensors = build(name)
    given = parity.prefixed(tensors, f"in/{batch}")
    recorded = parity.prefixed(tensors, f"out/{batch}")
    motion, ids = given["motion"], given["indices"].squeeze(-1)
    silent = without_messages(tokenizer)
    counts = torch.zeros(tokenizer.config.num_codes)
    commitments = []
    for sample in range(len(motion)):
        model = silent if sample else tokenizer
        one = slice(sample, sample + 1)
        joint_map = to_map(motion[one])
        output = model(joint_map)
        latents = model.latents(joint_map).permute(0, 3, 1, 2)
        close(latents, recorded["latent"][one])
        assert torch.equal(output.ids, recorded["code_indices"][one].squeeze(-1))
        assert torch.equal(model.encode(joint_map), output.ids)
        codes = model.quantizer.lookup(output.ids).mT
        close(codes, recorded["codes"][0, one])
        reconstruction = from_map(output.reconstruction, motion)
        close(reconstruction, recorded["reconstruction"][one])
        decoded = from_map(model.decode(ids[one]), motion)
        close(decoded, recorded["decoded_from_indices"][one])
        counts += torch.bincount(output.ids.flatten(), minlength=len(counts))
        commitments.append(output.commitment)
    close(torch.stack(commitments).mean(), recorded["commit_loss"])
    close(perplexity(counts), recorded["perplexity"])
    if len(motion) == 1:
        close(output.perplexity, recorded["perplexity"])


@pytest.mark.parametrize(("name", "batch"), CASES)
@torch.no_grad()
def test_a_motion_does_not_depend_on_its_batch(name, batch):
    tokenizer, _, tensors = build(name)
    motion = to_map(tensors[f"in/{batch}/motion"])
    together = tokenizer(motion)
    for sample in range(len(motion)):
        alone = tokenizer(motion[sample : sample + 1])
        assert torch.equal(alone.ids[0], together.ids[sample])
        close(alone.reconstruction[0], together.reconstruction[sample])


@pytest.mark.parametrize("name", NAMES)
def test_round_trip_of_official_weights(name):
    tokenizer, weights = build(name)[0], parity.weights(name)
    written = to_official(tokenizer.state_dict(), tokenizer.config)
    assert written.keys() == weights.keys()
    assert all(torch.equal(written[key], weights[key]) for key in weights)


@pytest.mark.parametrize("name", NAMES)
def test_imported_codebook_statistics(name):
    quantizer = build(name)[0].quantizer
    assert torch.equal(quantizer.code_sums, quantizer.codebook)
    assert torch.equal(quantizer.code_counts, torch.ones(quantizer.num_codes))


def test_foreign_weights_are_refused():
    with pytest.raises(ValueError, match="no InterMask tokenizer"):
        official_config({"encoder.weight": torch.zeros(1)})
    weights = parity.weights(parity.one_of("intermask_vqvae_*"))
    config = official_config(weights)
    dropped = weights.popitem()[0]
    with pytest.raises(ValueError, match=dropped.replace(".", r"\.")):
        from_official(weights, config)


@pytest.mark.parametrize(
    ("config", "encoder", "decoder"),
    [
        (TokenizerConfig(), 22_039_708, 20_991_500),
        (INTERX_TOKENIZER, 25_461_760, 19_956_742),
    ],
    ids=["interhuman", "interx"],
)
def test_official_sizes(config, encoder, decoder):
    with torch.device("meta"):
        tokenizer = MotionTokenizer(config)
    assert sum(p.numel() for p in tokenizer.encoder.parameters()) == encoder
    assert sum(p.numel() for p in tokenizer.decoder.parameters()) == decoder
    assert tokenizer.quantizer.codebook.numel() == 524_288
    state = tokenizer.state_dict()
    averages = {"quantizer.code_sums", "quantizer.code_counts"}
    assert set(key_map(config).values()) == state.keys() - averages


def test_number_of_tokens():
    for config in (TokenizerConfig(widths=(8, 8, 8), code_dim=4), INTERX_TOKENIZER):
        assert config.num_parts == 5
        assert config.downsampling == 4
    tokenizer = MotionTokenizer(TokenizerConfig(widths=(8, 8, 8), code_dim=4, num_codes=16)).eval()
    ids = tokenizer.encode(torch.randn(2, 64, 22, 12))
    assert ids.shape == (2, 80)
    assert tokenizer.decode(ids).shape == (2, 64, 22, 12)


@pytest.mark.parametrize("shape", [(1, 6, 22, 12), (1, 8, 21, 12), (1, 8, 22, 6), (1, 0, 22, 12)])
def test_wrong_motion_is_refused(shape):
    tokenizer = MotionTokenizer(TokenizerConfig(widths=(8, 8, 8), code_dim=4, num_codes=16))
    with pytest.raises(ValueError, match="multiple of 4"):
        tokenizer.encode(torch.zeros(shape))


def test_wrong_number_of_tokens_is_refused():
    tokenizer = MotionTokenizer(TokenizerConfig(widths=(8, 8, 8), code_dim=4, num_codes=16))
    with pytest.raises(ValueError, match="multiple of 5"):
        tokenizer.decode(torch.zeros(1, 12, dtype=torch.long))


@pytest.mark.parametrize(
    "sizes",
    [
        {"kernel": (4, 3)},
        {"stride": (2, 4)},
        {"decoder_joints": (11, 23)},
        {"num_joints": 3, "decoder_joints": (2, 3), "bones": ()},
        {"bones": ((22, 0),)},
    ],
)
def test_impossible_sizes_are_refused(sizes):
    with pytest.raises(ValueError, match=r"kernel|joints"):
        TokenizerConfig(**sizes)
