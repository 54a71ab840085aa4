"""MoMask's residual tokenizer against recorded outputs of the released code."""

import parity
import pytest
import torch
from parity import close

from duomotion.models.layers.quantize import perplexity
from duomotion.models.momask.config import ResidualTokenizerConfig
from duomotion.models.momask.official_tokenizer import (
    from_official,
    key_map,
    official_config,
    to_official,
)
from duomotion.models.momask.tokenizer import ResidualTokenizer

NAMES = parity.fixtures("momask_rvq*")


def build(name):
    recorded, tensors = parity.load(name)
    weights = parity.weights(name)
    growth = recorded["config"]["dilation_growth_rate"]
    config = official_config(weights, ResidualTokenizerConfig(dilation_growth=growth))
    tokenizer = ResidualTokenizer(config).eval()
    tokenizer.load_state_dict(from_official(weights, config))
    return tokenizer, recorded, tensors


@pytest.mark.parametrize("name", NAMES)
def test_sizes_are_read_from_weights(name):
    tokenizer, recorded, _ = build(name)
    config, sizes = tokenizer.config, recorded["config"]
    assert config.num_features == sizes["input_width"]
    assert (config.num_codes, config.code_dim) == (sizes["nb_code"], sizes["code_dim"])
    assert (config.width, config.depth) == (sizes["width"], sizes["depth"])
    assert config.num_levels == sizes["down_t"]
    assert config.num_layers == sizes["num_quantizers"]
    assert len(config.dilations) == sizes["depth"] and config.dilations[-1] == 1


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_outputs(name):
    tokenizer, _, tensors = build(name)
    motion, recorded = tensors["in/motion"], parity.prefixed(tensors, "out")
    output = tokenizer(motion)
    close(tokenizer.latents(motion).mT, recorded["latent"])
    assert torch.equal(output.ids, recorded["code_indices"])
    assert torch.equal(tokenizer.encode(motion), recorded["code_indices"])
    for layer, (quantizer, ids) in enumerate(
        zip(tokenizer.quantizer.layers, output.ids.unbind(-1), strict=True)
    ):
        close(quantizer.lookup(ids).mT, recorded["codes"][layer])
    close(output.reconstruction, recorded["reconstruction"])
    close(output.commitment, recorded["commit_loss"])
    close(output.perplexity, recorded["perplexity"])
    decoded = tokenizer.decode(tensors["in/indices"])
    close(decoded, recorded["decoded_from_indices"])
    base = recorded["decoded_from_base_layer"]
    close(tokenizer.decode(tensors["in/base_indices"]), base)


@pytest.mark.parametrize("name", NAMES)
@torch.no_grad()
def test_perplexity_is_that_of_each_layer(name):
    tokenizer, _, tensors = build(name)
    output = tokenizer(tensors["in/motion"])
    counts = [torch.bincount(ids.flatten()).float() for ids in output.ids.unbind(-1)]
    expected = torch.stack([perplexity(count) for count in counts]).mean()
    torch.testing.assert_close(output.perplexity, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_round_trip_of_official_weights(name):
    tokenizer, weights = build(name)[0], parity.weights(name)
    written = to_official(tokenizer.state_dict(), tokenizer.config)
    assert written.keys() == weights.keys()
    assert all(torch.equal(written[key], weights[key]) for key in weights)


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        (ResidualTokenizerConfig(), 19_436_807),
        (ResidualTokenizerConfig(layout="kit", num_features=251), 19_399_931),
    ],
    ids=["humanml3d", "kit"],
)
def test_official_sizes(config, parameters):
    with torch.device("meta"):
        tokenizer = ResidualTokenizer(config)
    assert sum(p.numel() for p in tokenizer.parameters()) == parameters
    assert len(key_map(config)) == 72
    state = tokenizer.state_dict()
    averages = {key for key in state if key.endswith(("code_sums", "code_counts"))}
    assert set(key_map(config).values()) == state.keys() - averages
