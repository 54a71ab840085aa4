"""Residual quantisation and the tokenizer around it, at small sizes."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from duomotion.config import from_dict
from duomotion.models.layers import residual_quantize
from duomotion.models.layers.residual_quantize import ResidualQuantizer
from duomotion.models.momask.codec import ResidualCodec
from duomotion.models.momask.config import ResidualTokenizerConfig, ResidualTokenizerLossWeights
from duomotion.models.momask.tokenizer import ResidualTokenizer
from duomotion.models.momask.tokenizer_loss import tokenizer_loss

SMALL = ResidualTokenizerConfig(
    num_features=11, width=8, depth=2, num_layers=3, num_codes=16, code_dim=4
)


def vectors(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def quantizer_of(num_layers, num_codes=8, code_dim=4, seed=0, **settings):
    """Each layer's codes are half as far apart as those of the layer before it."""
    quantizer = ResidualQuantizer(num_layers, num_codes, code_dim, **settings)
    for layer, part in enumerate(quantizer.layers):
        part.set_codebook(vectors(num_codes, code_dim, seed=seed + layer) / 2**layer)
    return quantizer


@examples(30)
@given(num_layers=st.integers(1, 5), seed=st.integers(0, 99))
def test_layers_code_what_is_left_over(num_layers, seed):
    quantizer = quantizer_of(num_layers, seed=seed).eval()
    x = vectors(2, 5, 4, seed=seed + 1000)
    result = quantizer(x)
    residual, total, distances = x, torch.zeros_like(x), []
    for layer, ids in zip(quantizer.layers, result.ids.unbind(-1), strict=True):
        apart = (residual.unsqueeze(-2) - layer.codebook).square().sum(-1)
        nearest = apart.min(-1)
        chosen = apart.gather(-1, ids.unsqueeze(-1)).squeeze(-1)
        torch.testing.assert_close(chosen, nearest.values, rtol=1e-4, atol=1e-5)
        distances.append(chosen.mean() / 4)
        total = total + layer.codebook[ids]
        residual = residual - layer.codebook[ids]
    torch.testing.assert_close(result.vectors, total, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(result.commitment, torch.stack(distances).mean())
    assert torch.equal(quantizer.nearest(x), result.ids)
    torch.testing.assert_close(quantizer.lookup(result.ids), total)


@examples(30)
@given(num_layers=st.integers(1, 5), seed=st.integers(0, 99), data=st.data())
def test_missing_layers_add_nothing(num_layers, seed, data):
    quantizer = quantizer_of(num_layers, seed=seed).eval()
    first = data.draw(st.integers(1, num_layers))
    ids = quantizer(vectors(3, 4, seed=seed), layers=first).ids
    assert (ids[:, first:] == -1).all() and (ids[:, :first] >= 0).all()
    assert torch.equal(quantizer.lookup(ids), quantizer.lookup(ids[:, :first]))
    assert not quantizer.lookup(torch.full_like(ids, -1)).any()


def test_more_layers_come_nearer():
    quantizer = quantizer_of(6, num_codes=64).eval()
    x = vectors(500, 4)
    errors = [(quantizer(x, layers=n).vectors - x).square().mean() for n in range(1, 7)]
    assert all(after < before for before, after in pairwise(errors))


def test_gradients_pass_straight_through_and_all_layers_pull():
    quantizer = quantizer_of(3).eval()
    x = vectors(5, 4).requires_grad_()
    result = quantizer(x)
    (gradient,) = torch.autograd.grad(result.vectors.sum(), x, retain_graph=True)
    # Each layer passes its own gradient on; what a layer leaves over is cut off from it.
    torch.testing.assert_close(gradient, torch.full_like(gradient, 3.0))
    (pull,) = torch.autograd.grad(result.commitment, x)
    first, residual, expected = quantizer.layers[0], x.detach(), 0
    for layer in quantizer.layers:
        codes = layer.codebook[layer.nearest(residual)]
        expected = expected + 2 * (residual - codes) / x.numel() / 3
        residual = residual - codes
    torch.testing.assert_close(pull, expected)
    assert not first.codebook.requires_grad


def test_quantisation_dropout_keeps_each_number_of_layers_equally_often():
    torch.manual_seed(0)
    quantizer = quantizer_of(4, dropout=0.4)
    drawn = torch.tensor([quantizer.draw_layers() for _ in range(4000)])
    shares = torch.bincount(drawn, minlength=5) / len(drawn)
    expected = torch.tensor([0, 0.1, 0.1, 0.1, 0.7])
    torch.testing.assert_close(shares, expected, atol=0.03, rtol=0)
    assert {quantizer_of(4, dropout=0.0).draw_layers() for _ in range(50)} == {4}


def test_a_training_step_moves_only_the_layers_it_uses():
    torch.manual_seed(0)
    quantizer = quantizer_of(3)
    before = [layer.codebook.clone() for layer in quantizer.layers]
    quantizer(vectors(40, 4), layers=2)
    same = [torch.equal(a, b.codebook) for a, b in zip(before, quantizer.layers, strict=True)]
    assert same == [False, False, True]


def test_ranks_use_the_same_layers(monkeypatch):
    def broadcast(tensor, src):
        assert src == 0
        tensor.fill_(2)

    monkeypatch.setattr(residual_quantize, "is_distributed", lambda: True)
    monkeypatch.setattr(residual_quantize.dist, "broadcast", broadcast)
    quantizer = quantizer_of(6, dropout=1.0)
    assert {quantizer.draw_layers() for _ in range(9)} == {2}


@torch.no_grad()
@pytest.mark.parametrize("people", [1, 2])
def test_shapes_and_layers(people):
    config = ResidualTokenizerConfig(**{**vars(SMALL), "num_people": people})
    tokenizer = ResidualTokenizer(config).eval()
    x = vectors(4, 12, 11)
    ids = tokenizer.encode(x)
    assert ids.shape == (4 // people, 3, 3)
    assert tokenizer.decode(ids).shape == (4, 12, 11)
    torch.testing.assert_close(tokenizer(x).reconstruction, tokenizer.decode(ids))
    base = tokenizer.decode(ids, layers=1)
    torch.testing.assert_close(base, tokenizer.decode(ids[..., :1]))
    assert not torch.allclose(base, tokenizer.decode(ids))


@torch.no_grad()
def test_both_people_are_in_every_token():
    tokenizer = ResidualTokenizer(
        ResidualTokenizerConfig(**{**vars(SMALL), "num_people": 2, "num_codes": 64})
    ).eval()
    one, other = vectors(2, 4, 11), vectors(2, 4, 11)
    other[1] += 5
    assert not torch.allclose(tokenizer.latents(one), tokenizer.latents(other))
    alone = tokenizer.decode(tokenizer.encode(torch.cat([one, other])))
    torch.testing.assert_close(alone[:2], tokenizer.decode(tokenizer.encode(one)))


@torch.no_grad()
def test_a_motion_does_not_depend_on_its_batch():
    tokenizer = ResidualTokenizer(SMALL).eval()
    x = vectors(3, 16, 11)
    together = tokenizer.latents(x)
    for sample in range(3):
        alone = tokenizer.latents(x[sample : sample + 1])
        torch.testing.assert_close(alone[0], together[sample], atol=1e-5, rtol=1e-4)


def test_training_lowers_the_loss():
    torch.manual_seed(0)
    tokenizer = ResidualTokenizer(SMALL)
    optimiser = torch.optim.Adam(tokenizer.parameters(), lr=3e-3)
    x = vectors(16, 1, 11).expand(-1, 8, -1) + 0.1 * vectors(16, 8, 11)
    losses = []
    for _ in range(60):
        loss, _ = tokenizer_loss(tokenizer(x), x, slice(2, 8), ResidualTokenizerLossWeights())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


def test_the_loss_is_its_formula():
    torch.manual_seed(0)
    tokenizer = ResidualTokenizer(SMALL).eval()
    x = 3 * vectors(2, 8, 11)
    output = tokenizer(x)
    total, terms = tokenizer_loss(output, x, slice(4, 9), ResidualTokenizerLossWeights())
    apart = (output.reconstruction - x).abs()
    smooth = torch.where(apart < 1, apart.square() / 2, apart - 0.5)
    expected = smooth.mean() + 0.5 * smooth[..., 4:9].mean() + 0.02 * output.commitment
    torch.testing.assert_close(total, expected)
    assert terms.keys() == {"reconstruction", "commitment", "position"}
    plain = ResidualTokenizerLossWeights(beta=0.0, position=0.0, commitment=0.0)
    torch.testing.assert_close(tokenizer_loss(output, x, slice(4, 9), plain)[0], apart.mean())


@torch.no_grad()
@pytest.mark.parametrize(
    ("layout", "features"), [("humanml3d", 263), ("kit-ml", 251), ("interhuman", 262)]
)
def test_a_codec_works_in_units_of_the_features(layout, features):
    torch.manual_seed(0)
    sizes = {**vars(SMALL), "layout": layout, "num_features": features}
    codec = ResidualCodec(ResidualTokenizerConfig(**sizes)).eval()
    assert layout == codec.layout.name
    codec.mean.copy_(vectors(features))
    codec.std.copy_(vectors(features, seed=1).abs() + 0.1)
    motion = vectors(2, 8, features, seed=2)
    ids = codec.encode(motion)
    assert torch.equal(ids, codec.tokenizer.encode((motion - codec.mean) / codec.std))
    decoded = codec.tokenizer.decode(ids) * codec.std + codec.mean
    torch.testing.assert_close(codec.decode(ids), decoded)
    cut = codec.reconstruct(vectors(2, 10, features, seed=2).numpy())
    assert cut.shape == (2, 8, features)
    torch.testing.assert_close(codec.denormalise(codec.normalise(motion)), motion)


def test_a_codec_needs_a_layout():
    with pytest.raises(ValueError, match=r"num_features must be 263, as the layout humanml3d"):
        ResidualCodec(SMALL)
    with pytest.raises(ValueError, match=r"no layout is called 'motion'; there are interhuman"):
        ResidualCodec(ResidualTokenizerConfig(layout="motion"))


@pytest.mark.parametrize("shape", [(1, 6, 11), (1, 8, 12), (1, 0, 11)])
def test_wrong_motion_is_refused(shape):
    with pytest.raises(ValueError, match="multiple of 4"):
        ResidualTokenizer(SMALL).encode(torch.zeros(shape))


def test_wrong_people_and_layers_are_refused():
    both = ResidualTokenizer(ResidualTokenizerConfig(**{**vars(SMALL), "num_people": 2}))
    with pytest.raises(ValueError, match="2 people of every interaction"):
        both.encode(torch.zeros(3, 8, 11))
    tokenizer = ResidualTokenizer(SMALL)
    ids = torch.zeros(1, 2, 3).long()
    for those, layers in ((ids, 0), (ids, 4), (ids[..., :0], None), (ids.repeat(1, 1, 2), None)):
        with pytest.raises(ValueError, match="the tokenizer has 3"):
            tokenizer.decode(those, layers)


@pytest.mark.parametrize(
    ("sizes", "sentence"),
    [
        ({"num_people": 3}, "num_people has to be one of 1, 2, not 3"),
        ({"num_layers": 0}, "num_layers has to be a whole number from 1 to 128, not 0"),
        ({"quantize_dropout": 1.5}, "quantize_dropout has to be a number from 0 to 1, not 1.5"),
        ({"dilation_growth": 9, "depth": 20}, "more than 4,096"),
    ],
)
def test_impossible_sizes_are_refused(sizes, sentence):
    with pytest.raises(ValueError, match=sentence):
        from_dict(ResidualTokenizerConfig, sizes, "recipe")
