"""MoMask's transformers against recorded outputs of the released code."""

from dataclasses import replace

import pytest
import torch
from parity import close, fixtures, guided_logits, load, weights
from torch import Tensor

from duomotion.models.layers.masks import length_mask
from duomotion.models.momask import decoding
from duomotion.models.momask import reference as reference_module
from duomotion.models.momask.config import MaskedConfig, ResidualConfig
from duomotion.models.momask.decoding import decode_tokens, residual_steps
from duomotion.models.momask.network import MaskedTransformer, ResidualTransformer
from duomotion.models.momask.official_transformers import (
    MASKED,
    RESIDUAL,
    from_official,
    official_config,
    to_official,
)
from duomotion.models.momask.reference import ReferenceMoMask
from duomotion.sampling.guidance import apply_cfg, conditions, duplicate_batch
from duomotion.sampling.masking import top_k_of_ratio
from duomotion.sampling.tokens import Noise, decoding_steps

MASKED_NAMES = fixtures("momask_mask_transformer*")
RESIDUAL_NAMES = fixtures("momask_residual_transformer*")


def masked_model(name: str) -> MaskedTransformer:
    sizes, state = load(name)[0]["config"], weights(name)
    defaults = MaskedConfig(num_heads=sizes["num_heads"])
    model = MaskedTransformer(official_config(state, defaults))
    model.load_state_dict(from_official(state, MASKED))
    return model.eval()


def residual_model(name: str) -> ResidualTransformer:
    sizes, state = load(name)[0]["config"], weights(name)
    defaults = ResidualConfig(num_heads=sizes["num_heads"])
    model = ResidualTransformer(official_config(state, defaults))
    model.load_state_dict(from_official(state, RESIDUAL))
    return model.eval()


def silence(_, lengths_B: Tensor, num_choices: int) -> Noise:
    """No noise, which else decides between tokens that are nearly equally confident."""
    return lambda index: torch.zeros(len(lengths_B), int(lengths_B.max()), num_choices)


@pytest.mark.parametrize("name", MASKED_NAMES + RESIDUAL_NAMES)
def test_names_and_sizes_go_both_ways(name: str):
    sizes, state = load(name)[0]["config"], weights(name)
    is_masked = name in MASKED_NAMES
    model = masked_model(name) if is_masked else residual_model(name)
    back = to_official(model.state_dict(), MASKED if is_masked else RESIDUAL)
    assert back.keys() == state.keys()
    for key, tensor in state.items():
        if key == "position_enc.pe":
            torch.testing.assert_close(back[key], tensor, rtol=0, atol=1e-3)
        else:
            assert torch.equal(back[key], tensor)
    config = model.config
    assert (config.width, config.feedforward) == (sizes["latent_dim"], sizes["ff_size"])
    assert (config.num_codes, config.num_blocks) == (sizes["num_tokens"], sizes["num_layers"])
    assert (config.token_dim, config.text_dim) == (sizes["code_dim"], sizes["clip_dim"])
    if isinstance(config, ResidualConfig):
        assert config.num_layers == sizes["num_quantizers"]


def test_a_foreign_name_is_refused_by_name():
    with pytest.raises(ValueError, match="vq_model"):
        from_official({"vq_model.weight": torch.zeros(1)}, MASKED)


@pytest.mark.parametrize("name", MASKED_NAMES)
@torch.no_grad()
def test_masked_network(name: str):
    description, tensors = load(name)
    model = masked_model(name)
    lengths, text, ids = tensors["in/lengths"], tensors["in/cond"], tensors["in/token_ids"]
    real = length_mask(lengths, ids.shape[1])
    assert torch.equal(~real, tensors["in/padding_mask"])

    def expected(key: str) -> Tensor:
        return tensors[f"out/{key}"].mT

    conditioned = model(ids, model.condition(text), lengths)
    close(conditioned[real], expected("logits_cond")[real])
    dropped = model.condition(text, torch.ones_like(lengths).bool())
    close(model(ids, dropped, lengths)[real], expected("logits_force_mask")[real])
    condition = conditions(model, text, guided=True)
    both = model(duplicate_batch(ids), condition, duplicate_batch(lengths))
    recorded, scale = guided_logits(tensors, description["config"]["cond_scale"])
    close(apply_cfg(both, scale)[real], recorded.mT[real])


@pytest.mark.parametrize("name", MASKED_NAMES)
def test_masked_decoding(name: str, monkeypatch):
    description, tensors = load(name)
    sizes, model = description["config"], masked_model(name)
    final = tensors["out/generate/final_ids"]
    counts = tensors["out/generate/num_masked"]
    steps = list(
        decoding_steps(
            model,
            tensors["in/cond"],
            tensors["in/lengths"],
            length_mask=length_mask(tensors["in/lengths"], final.shape[1]),
            noise=lambda index: torch.zeros(*final.shape, sizes["num_tokens"]),
            known_ids=torch.zeros_like(final),
            known_mask=torch.zeros_like(final).bool(),
            steps=sizes["timesteps"],
            guidance=sizes["cond_scale"],
            top_k=top_k_of_ratio(sizes["topk_filter_thres"], sizes["num_tokens"]),
            temperature=1,
            tie_break=0,
        )
    )
    assert len(steps) == len(counts)
    for index, step in enumerate(steps):
        predicted = tensors["out/generate/is_mask_per_iteration"][index]
        assert torch.equal(step.predicted, predicted)
        assert torch.equal(predicted.sum(1), counts[index].long())
        ids = tensors["out/generate/ids_per_iteration"][index]
        assert torch.equal(step.ids[predicted], ids[predicted])
        confidence = tensors["out/generate/confidence_per_iteration"][index]
        close(step.confidence[predicted], confidence[predicted])
    assert torch.equal(steps[-1].ids[final >= 0], final[final >= 0])
    monkeypatch.setattr(decoding, "sample_noise", silence)
    model.config = replace(model.config, guidance=sizes["cond_scale"], steps=sizes["timesteps"])
    public = decode_tokens(
        model,
        tensors["in/cond"],
        tensors["in/lengths"],
        rng=torch.Generator().manual_seed(0),
        top_k=1,
    )
    assert torch.equal(public[..., 0], final)


@pytest.mark.parametrize("name", RESIDUAL_NAMES)
@torch.no_grad()
def test_residual_network(name: str):
    description, tensors = load(name)
    model = residual_model(name)
    lengths, text = tensors["in/lengths"], tensors["in/cond"]
    history = tensors["in/motion_codes"]
    real = length_mask(lengths, history.shape[1])
    both = conditions(model, text, guided=True)
    for layer in range(1, model.config.num_layers):
        expected = tensors[f"out/layer{layer}/logits_cond"].mT
        logits = model(history, model.condition(text), lengths, layer=layer)
        close(logits[real], expected[real])
        each = torch.full((len(text),), layer)
        close(model(history, model.condition(text), lengths, layer=each)[real], expected[real])
        doubled = model(duplicate_batch(history), both, duplicate_batch(lengths), layer=layer)
        guided = apply_cfg(doubled, description["config"]["cond_scale"])
        close(guided[real], tensors[f"out/layer{layer}/logits_cfg"].mT[real])


@pytest.mark.parametrize("name", RESIDUAL_NAMES)
def test_residual_decoding(name: str):
    """The place behind a sample's end wins inside it several times, and adds nothing then."""
    description, tensors = load(name)
    sizes, model = description["config"], residual_model(name)
    all_ids = tensors["out/generate/all_ids"]
    lengths, base = tensors["in/lengths"], tensors["in/base_ids"]
    steps = list(
        residual_steps(
            model,
            base,
            tensors["in/cond"],
            lengths,
            noise=lambda layer: torch.zeros(*base.shape, sizes["num_tokens"] + 1),
            known_ids=torch.zeros_like(all_ids),
            known_mask=torch.zeros_like(base).bool(),
            guidance=sizes["cond_scale"],
            top_k=top_k_of_ratio(sizes["topk_filter_thres"], sizes["num_tokens"] + 1),
            temperature=1,
            with_pad=True,
        )
    )
    real = length_mask(lengths, base.shape[1])
    won = 0
    for layer, step in enumerate(steps, 1):
        close(step.logits[real], tensors["out/generate/logits_per_layer"][layer - 1][real])
        is_pad = step.ids == model.config.pad_id
        assert torch.equal(step.ids.masked_fill(is_pad, -1), all_ids[..., layer])
        won += int((is_pad & real).sum())
    assert won == description["margins"]["pad_id_predicted_inside_sequence"]


@pytest.mark.parametrize("name", RESIDUAL_NAMES)
def test_by_default_every_layer_has_a_code_inside_a_sample(name: str):
    _, tensors = load(name)
    model = residual_model(name)
    lengths, base = tensors["in/lengths"], tensors["in/base_ids"]
    steps = residual_steps(
        model,
        base,
        tensors["in/cond"],
        lengths,
        noise=lambda layer: torch.zeros(*base.shape, model.config.num_codes),
        known_ids=torch.zeros(*base.shape, model.config.num_layers).long(),
        known_mask=torch.zeros_like(base).bool(),
        guidance=5.0,
        top_k=1,
        temperature=1,
    )
    real = length_mask(lengths, base.shape[1])
    for step in steps:
        assert (step.ids[real] < model.config.num_codes).all()
        assert torch.equal(step.ids[real], step.logits[..., :-1].argmax(-1)[real])


@pytest.mark.parametrize("name", MASKED_NAMES)
def test_the_reference_procedure_agrees_with_the_recorded_one(name: str, monkeypatch):
    """The base layer; a residual transformer was recorded with a base layer of its own."""
    monkeypatch.setattr(reference_module, "sample_noise", silence)
    description, tensors = load(name)
    masked = masked_model(name)
    other = ResidualConfig(
        num_codes=masked.config.num_codes,
        text_dim=masked.config.text_dim,
        width=8,
        num_heads=2,
        num_blocks=1,
        num_layers=2,
    )
    reference = ReferenceMoMask(masked, ResidualTransformer(other).eval())
    reference.masked.config = replace(
        reference.masked.config,
        guidance=description["config"]["cond_scale"],
        steps=description["config"]["timesteps"],
        top_k_ratio=description["config"]["topk_filter_thres"],
    )
    lengths = tensors["in/lengths"]
    rngs = [torch.Generator().manual_seed(seed) for seed in range(len(lengths))]
    ids = reference.decode_tokens(tensors["in/cond"], lengths, rng=rngs)
    assert torch.equal(ids[..., 0], tensors["out/generate/final_ids"])


@pytest.mark.parametrize(
    ("model", "parameters", "names", "keys"),
    [
        (MaskedTransformer(MaskedConfig()), 12_048_768, MASKED, 108),
        (ResidualTransformer(ResidualConfig()), 13_364_224, RESIDUAL, 112),
    ],
    ids=["masked", "residual"],
)
def test_official_sizes(model, parameters, names, keys):
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert len(to_official(model.state_dict(), names)) == keys
