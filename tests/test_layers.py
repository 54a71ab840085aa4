"""Layers that take a shorter way without gradients give the same by it."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from duomotion import precision
from duomotion.models.intermask.config import InterMConfig
from duomotion.models.intermask.network import InterMTransformer
from duomotion.models.layers import attention, linear
from duomotion.models.layers.acceleration import accelerate
from duomotion.models.layers.convolution import UpsamplingConv
from duomotion.models.layers.local_conv import MixedConv


@pytest.fixture
def numbers():
    torch.manual_seed(0)
    return torch.randn(2, 5, 12)


@torch.no_grad()
def test_accelerated_linear_layers_equal_torch_s(numbers):
    layer = nn.Linear(12, 20)
    expected = layer(numbers)
    torch.testing.assert_close(
        linear.linear(numbers, layer.weight, layer.bias), expected, atol=1e-6, rtol=1e-5
    )
    accelerate(layer)
    torch.testing.assert_close(layer(numbers), expected, atol=1e-6, rtol=1e-5)
    layer, halves = layer.bfloat16(), numbers.bfloat16()
    assert layer(halves).dtype == torch.bfloat16
    torch.testing.assert_close(layer(halves).float(), expected, atol=0.05, rtol=0.02)
    torch.testing.assert_close(
        layer.double()(numbers.double()), expected.double(), atol=0.05, rtol=0.02
    )


@torch.no_grad()
def test_an_accelerated_layer_sees_that_its_weights_change(numbers):
    layer = accelerate(nn.Linear(12, 20, bias=False))
    before = layer(numbers)
    layer.weight.mul_(2)
    torch.testing.assert_close(layer(numbers), 2 * before)
    layer.load_state_dict({"weight": torch.zeros(20, 12)})
    assert not layer(numbers).any()
    for factor in range(20):
        layer.weight.data = factor * torch.ones(20, 12)
        layer.weight.data = factor * torch.eye(20, 12)
        torch.testing.assert_close(layer(numbers)[..., :12], factor * numbers)


@torch.no_grad()
def test_a_joined_convolution_equals_the_two_that_it_joins(numbers):
    layer = MixedConv(12)
    expected = layer(numbers)
    joined = accelerate(copy.deepcopy(layer))
    assert type(joined) is not MixedConv
    torch.testing.assert_close(joined(numbers), expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(
        joined.double()(numbers.double()), layer.double()(numbers.double()), atol=1e-5, rtol=1e-5
    )
    joined = accelerate(copy.deepcopy(layer.float()))
    joined(numbers)
    for one in (joined, layer):
        one.mix.weight.mul_(2)
    torch.testing.assert_close(joined(numbers), layer(numbers), atol=1e-6, rtol=1e-5)


def test_an_accelerated_network_keeps_its_names_and_weights_and_does_not_train(numbers):
    network = nn.Sequential(nn.Linear(12, 20), nn.ReLU(), nn.Linear(20, 12))
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    assert accelerate(network) is network and not network.training
    assert state.keys() == network.state_dict().keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in network.state_dict().items())
    assert not network(numbers).requires_grad
    with pytest.raises(AssertionError, match="only generates"):
        network.train()


def test_copies_of_accelerated_layers_are_their_own(numbers):
    layer = accelerate(nn.Sequential(nn.Linear(12, 20)))
    with torch.no_grad():
        before = layer(numbers)
        copied = copy.deepcopy(layer)
        copied[0].weight.zero_()
        copied[0].bias.zero_()
        assert not copied(numbers).any() and torch.equal(layer(numbers), before)


@pytest.mark.parametrize("limit", [1, 60, 2**19])
@pytest.mark.parametrize("masked", [True, False])
def test_attention_by_products_equals_the_fused_one(monkeypatch, limit, masked):
    monkeypatch.setattr(attention, "SCORES", limit)
    rng = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(3, 2, length, 8, generator=rng) for length in (5, 7, 7))
    mask = None
    if masked:
        mask = (torch.arange(7) < torch.tensor([7, 3, 1])[:, None])[:, None, None]
    found = attention.attend_by_products(q, k, v, mask)
    expected = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    torch.testing.assert_close(found, expected)


def test_attention_is_fused_where_that_is_fast(monkeypatch):
    monkeypatch.setattr(precision, "_cpu", dict)
    wide, narrow = torch.zeros(1), torch.zeros(1).bfloat16()
    assert not attention.is_slow_when_fused(narrow)
    with torch.no_grad():
        assert attention.is_slow_when_fused(narrow) and not attention.is_slow_when_fused(wide)
        monkeypatch.setattr(precision, "_cpu", lambda: {"amx_bf16": True})
        assert not attention.is_slow_when_fused(narrow)


@torch.no_grad()
@pytest.mark.parametrize("joints", [3, 6])
def test_accelerated_upsampling_is_the_same(joints):
    torch.manual_seed(0)
    layer, x = UpsamplingConv(4, 5, joints), torch.randn(2, 4, 3, 7)
    expected = layer(x)
    accelerate(layer)
    for _ in range(2):
        torch.testing.assert_close(layer(x), expected)
    layer.weight.mul_(3)
    layer.bias.mul_(3)
    torch.testing.assert_close(layer(x), 3 * expected)


@torch.no_grad()
@pytest.mark.parametrize("has_amx", [True, False])
def test_a_network_in_bfloat16_differs_by_rounding(monkeypatch, has_amx):
    monkeypatch.setattr(precision, "_cpu", lambda: {"amx_bf16": has_amx})
    torch.manual_seed(0)
    sizes = {"num_codes": 32, "token_dim": 8, "width": 32, "num_heads": 2, "num_blocks": 2}
    config = InterMConfig(**sizes, feedforward=48, text_dim=12, text_layers=0)
    network = InterMTransformer(config).eval()
    for modulation in [*network.modulations, network.output_modulation]:
        for parameter in modulation.parameters():
            nn.init.normal_(parameter, std=0.1)
    ids, text = torch.randint(0, 32, (2, 2, 30)), torch.randn(2, 12)
    lengths = torch.tensor([6, 4])
    exact = network(ids, network.condition(text), lengths)
    halved = network.bfloat16()
    rounded = halved(ids, halved.condition(text.bfloat16()), lengths)
    assert rounded.dtype == torch.bfloat16
    inside = (torch.arange(6) < lengths[:, None]).repeat(1, 5)[:, None].expand(2, 2, 30)
    error = (rounded.float() - exact)[inside].norm() / exact[inside].norm()
    assert 1e-5 < error < 0.03


def test_without_pytorchs_private_operators_layers_are_plain(monkeypatch):
    monkeypatch.setattr(torch.ops, "mkldnn", object())
    assert not linear.has_onednn()
    monkeypatch.setattr(linear, "HAS_ONEDNN", False)
    torch.manual_seed(0)
    layer, x = nn.Linear(24, 16), torch.randn(3, 24)
    with torch.no_grad():
        expected = F.linear(x, layer.weight, layer.bias)
        assert torch.equal(linear.linear(x, layer.weight, layer.bias), expected)
        assert torch.equal(accelerate(nn.Sequential(layer))(x), expected)
