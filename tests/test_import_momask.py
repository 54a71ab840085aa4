"""Released MoMask files, made from the fixtures' random weights, into checkpoint folders."""

import numpy as np
import parity
import pytest
import torch
from parity import close

import duomotion
from duomotion.checkpoint import read_checkpoint
from duomotion.config import from_dict
from duomotion.models.length.network import LengthConfig, LengthEstimator, load_length_estimator
from duomotion.models.momask.codec import load_codec
from duomotion.models.momask.config import MaskedConfig, ResidualConfig, ResidualTokenizerConfig
from duomotion.models.momask.network import MaskedTransformer, ResidualTransformer
from duomotion.models.momask.official import import_official, tokenizer_state, transformer_state
from duomotion.models.momask.official_tokenizer import to_official
from duomotion.models.momask.official_transformers import MASKED, POSITIONS, RESIDUAL
from duomotion.models.momask.official_transformers import to_official as transformer_to_official
from duomotion.models.momask.tokenizer import ResidualTokenizer
from duomotion.text.encoder import TextEmbedding

FEATURES = {"t2m": 263, "kit": 251}
RVQ = "rvq_nq6_dc512_nc512_noshare_qdp0.2"
M_NAME, R_NAME = "t2m_nlayer8_nhead6_ld384_ff1024_cdp0.1_rvq6ns", "tres_nlayer8_ld384_ff1024_sw"


TOKENIZERS = parity.fixtures("momask_rvq*")
MASKED_FIXTURES = parity.fixtures("momask_mask_transformer*")
RESIDUAL_FIXTURES = parity.fixtures("momask_residual_transformer*")
SMALL = {"width": 12, "num_heads": 3, "num_blocks": 1, "feedforward": 16, "text_dim": 20}


def save(path, **content):
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({**content, "ep": 7, "total_it": 1234}, path)


def save_options(folder, **options):
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{name}: {value}\n" for name, value in options.items()]
    (folder / "opt.txt").write_text("------------ Options -------------\n" + "".join(lines))


def write_download(root, dataset="t2m", *, tokenizer=None, masked=None, residual=None):
    """A folder as the authors' download has it.

    A part that is the name of a fixture has its weights; the others are random ones, with as many
    codes and layers.
    """
    folder = root / "checkpoints" / dataset
    given = {part: parity.load(part)[0]["config"] for part in (tokenizer, masked, residual) if part}
    sizes = next(iter(given.values()), {})
    codes = sizes.get("num_tokens", sizes.get("nb_code", 10))
    layers = sizes.get("num_quantizers", 3)
    torch.manual_seed(0)
    if tokenizer:
        state, options = parity.weights(tokenizer), sizes
    else:
        made = ResidualTokenizerConfig(
            num_features=FEATURES[dataset], width=8, depth=2, num_codes=codes, code_dim=6,
            num_layers=layers,
        )  # fmt: skip
        state = to_official(ResidualTokenizer(made).state_dict(), made)
        options = {"depth": 2, "nb_code": codes, "width": 8}
    names = ("nb_code", "code_dim", "width", "depth", "down_t", "stride_t", "num_quantizers")
    save_options(
        folder / RVQ, name=RVQ, dataset_name=dataset, vq_act="relu", vq_norm=None, mu=0.99,
        quantize_dropout_prob=0.2, shared_codebook=False, vq_name=RVQ,
        **{name: options[name] for name in (*names, "dilation_growth_rate") if name in options},
    )  # fmt: skip
    save(folder / RVQ / "model" / "net_best_fid.tar", vq_model=state)
    (folder / RVQ / "meta").mkdir()
    for name, array in zip(("mean", "std"), statistics(FEATURES[dataset]), strict=True):
        np.save(folder / RVQ / "meta" / f"{name}.npy", array)
    for fixture, name, key, file, config in (
        (masked, M_NAME, "t2m_transformer", "latest.tar", MaskedConfig(num_codes=codes, **SMALL)),
        (residual, R_NAME, "res_transformer", "net_best_fid.tar",
         ResidualConfig(num_codes=codes, num_layers=layers, **SMALL)),
    ):  # fmt: skip
        sizes = {"latent_dim": config.width, "ff_size": config.feedforward}
        sizes |= {"num_heads": config.num_heads, "num_layers": config.num_blocks}
        if fixture:
            sizes = parity.load(fixture)[0]["config"]
        extra = {"share_weight": True} if name == R_NAME else {}
        save_options(
            folder / name, name=name, dataset_name=dataset, vq_name=RVQ, dropout=0.2,
            latent_dim=sizes["latent_dim"], ff_size=sizes["ff_size"], n_heads=sizes["num_heads"],
            n_layers=sizes["num_layers"], cond_drop_prob=0.2 if extra else 0.1, **extra,
        )  # fmt: skip
        state = parity.weights(fixture) if fixture else transformer_weights(config)
        save(folder / name / "model" / file, **{key: state})
    estimator = LengthEstimator(LengthConfig(text_dim=20, width=16, num_classes=30))
    save(folder / "length_estimator" / "model" / "finest.tar", estimator=estimator.state_dict())
    return folder


def transformer_weights(config):
    if isinstance(config, MaskedConfig):
        return transformer_to_official(MaskedTransformer(config).state_dict(), MASKED)
    return transformer_to_official(ResidualTransformer(config).state_dict(), RESIDUAL)


def stored(folder, part, file, key):
    return torch.load(folder / part / "model" / file, weights_only=True)[key]


def statistics(features):
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=features), rng.uniform(0.1, 2, features)
    return tuple(array.astype(np.float32) for array in numbers)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize(("dataset", "guidance"), [("t2m", 4.0), ("kit", 2.0)])
def test_all_parts_come_along_and_back(tmp_path, dataset, guidance):
    folder = write_download(tmp_path, dataset)
    counts = import_official(folder, tmp_path / "ours")
    assert counts.keys() == {"tokenizer", "residual", "length", "masked"}
    length = load_length_estimator(tmp_path / "ours" / "length")
    assert length.config == LengthConfig(text_dim=20, width=16, num_classes=30)
    assert counts["length"] == sum(parameter.numel() for parameter in length.parameters())
    masked = read_checkpoint(tmp_path / "ours")
    residual = read_checkpoint(tmp_path / "ours" / "residual")
    for checkpoint, names, part, weights in (
        (masked, MASKED, "masked", stored(folder, M_NAME, "latest.tar", "t2m_transformer")),
        (residual, RESIDUAL, "residual",
         stored(folder, R_NAME, "net_best_fid.tar", "res_transformer")),
    ):  # fmt: skip
        table = weights.pop(POSITIONS)
        back = transformer_to_official(checkpoint.tensors, names)
        torch.testing.assert_close(back.pop(POSITIONS), table, atol=1e-2, rtol=0)
        assert same(back, weights)
        assert counts[part] == sum(tensor.numel() for tensor in weights.values())
    assert masked.recipe["model"]["guidance"] == guidance
    assert residual.recipe["model"]["cond_drop"] == 0.2
    notes = masked.provenance
    assert notes["official"] == f"{dataset}/{M_NAME}/latest.tar" and notes["epoch"] == 7
    assert str(tmp_path) not in str(notes)
    codec = load_codec(tmp_path / "ours" / "tokenizer")
    written = to_official(codec.tokenizer.state_dict(), codec.tokenizer.config)
    assert same(written, stored(folder, RVQ, "net_best_fid.tar", "vq_model"))


@torch.no_grad()
@pytest.mark.parametrize("name", TOKENIZERS)
def test_an_imported_tokenizer_gives_the_recorded_codes(tmp_path, name):
    description, tensors = parity.load(name)
    features = description["config"]["input_width"]
    dataset = {features: dataset for dataset, features in FEATURES.items()}[features]
    folder = write_download(tmp_path, dataset, tokenizer=name)
    import_official(folder / RVQ, tmp_path / "ours")
    codec = load_codec(tmp_path / "ours")
    mean, std = (torch.from_numpy(array) for array in statistics(features))
    assert torch.equal(codec.encode(tensors["in/motion"] * std + mean), tensors["out/code_indices"])
    written = to_official(codec.tokenizer.state_dict(), codec.tokenizer.config)
    assert same(written, parity.weights(name))


@torch.no_grad()
@pytest.mark.parametrize("name", MASKED_FIXTURES)
def test_an_imported_masked_transformer_gives_the_recorded_logits(tmp_path, name):
    import_official(write_download(tmp_path, masked=name), tmp_path / "ours")
    checkpoint = read_checkpoint(tmp_path / "ours")
    model = MaskedTransformer(from_dict(MaskedConfig, checkpoint.recipe["model"], "recipe")).eval()
    model.load_state_dict(checkpoint.tensors)
    tensors = parity.load(name)[1]
    text = model.condition(tensors["in/cond"])
    logits = model(tensors["in/token_ids"], text, tensors["in/lengths"])
    real = ~tensors["in/padding_mask"]
    close(logits[real], tensors["out/logits_cond"].mT[real])


@torch.no_grad()
@pytest.mark.parametrize("name", RESIDUAL_FIXTURES)
def test_an_imported_residual_transformer_gives_the_recorded_logits(tmp_path, name):
    import_official(write_download(tmp_path, residual=name), tmp_path / "ours")
    checkpoint = read_checkpoint(tmp_path / "ours" / "residual")
    config = from_dict(ResidualConfig, checkpoint.recipe["model"], "recipe")
    model = ResidualTransformer(config).eval()
    model.load_state_dict(checkpoint.tensors)
    tensors = parity.load(name)[1]
    text = model.condition(tensors["in/cond"])
    real = ~tensors["in/padding_mask"]
    for layer in range(1, config.num_layers):
        logits = model(tensors["in/motion_codes"], text, tensors["in/lengths"], layer=layer)
        close(logits[real], tensors[f"out/layer{layer}/logits_cond"].mT[real])


def test_an_imported_model_generates(tmp_path, monkeypatch, run):
    folder = write_download(tmp_path)
    width = SMALL["text_dim"]

    class Encoder:
        name, dim = "fake", width

        def encode(self, texts):
            return TextEmbedding(torch.ones(len(texts), 1, width), torch.zeros(len(texts)).long())

    monkeypatch.setattr("duomotion.text.cache.load_encoder", lambda name: Encoder())
    monkeypatch.setenv("DUOMOTION_CACHE", str(tmp_path / "cache"))
    status, out, _ = run("import-official", "momask", folder / M_NAME, "--out", tmp_path / "ours")
    assert not status and "residual: " in out and "masked: " in out
    (tmp_path / "ours" / "length").rename(tmp_path / "elsewhere")  # reads other vectors
    clip = duomotion.load(tmp_path / "ours").generate("a person bows", seconds=2, seed=0)
    assert clip.positions.shape == (1, 40, 22, 3) and np.isfinite(clip.positions).all()


def test_a_tokenizer_alone_and_one_without_residual(tmp_path):
    folder = write_download(tmp_path)
    assert import_official(folder / RVQ, tmp_path / "vq").keys() == {"tokenizer"}
    (folder / R_NAME).rename(tmp_path / "away")
    (folder / "length_estimator").rename(tmp_path / "gone")
    assert import_official(folder, tmp_path / "ours").keys() == {"tokenizer", "masked"}


def test_the_frozen_tower_is_left_out_and_other_positions_are_noticed(tmp_path):
    folder = write_download(tmp_path)
    path = folder / M_NAME / "model" / "latest.tar"
    state = stored(folder, M_NAME, "latest.tar", "t2m_transformer")
    save(path, t2m_transformer=state | {"clip_model.logit_scale": torch.ones(())})
    import_official(folder, tmp_path / "ours")
    save(path, t2m_transformer=state | {POSITIONS: state[POSITIONS] + 0.1})
    with pytest.raises(ValueError, match="other positions"):
        import_official(folder, tmp_path / "ours")


@pytest.mark.parametrize(
    ("part", "file", "key", "name"),
    [
        (RVQ, "net_best_fid.tar", "vq_model", "quantizer.layers.0.codebook"),
        (RVQ, "net_best_fid.tar", "vq_model", "encoder.model.0.weight"),
        (M_NAME, "latest.tar", "t2m_transformer", "cond_emb.weight"),
        (R_NAME, "net_best_fid.tar", "res_transformer", "embed_proj_shared_weight"),
        ("length_estimator", "finest.tar", "estimator", "output.0.weight"),
    ],
)
def test_what_is_missing_or_unknown_is_named(tmp_path, part, file, key, name):
    folder = write_download(tmp_path)
    path = folder / part / "model" / file
    state = torch.load(path, weights_only=True)[key]
    del state[name]
    save(path, **{key: state | {"discriminator.weight": torch.zeros(1)}})
    with pytest.raises(ValueError, match="lacks") as raised:
        import_official(folder, tmp_path / "ours")
    sentence = str(raised.value)
    assert name in sentence and "unknown discriminator.weight" in sentence
    assert str(path) in sentence and "\n" not in sentence
    assert not (tmp_path / "ours").exists()


@pytest.mark.parametrize(
    ("part", "options", "sentence"),
    [
        (RVQ, {"depth": 3}, "which says depth 3 and not 2"),
        (RVQ, {"vq_act": "silu"}, "vq_act 'silu' and not 'relu'"),
        (M_NAME, {"latent_dim": 384}, "latent_dim 384 and not 12"),
        (M_NAME, {"vq_name": "../x"}, "not the name of a file or folder"),
        (M_NAME, {"vq_name": "other"}, "there is no folder"),
        (M_NAME, {"n_heads": 5}, "multiple of num_heads"),
        (M_NAME, {"dropout": "much"}, "dropout has to be"),
    ],
)
def test_options_that_do_not_fit_are_named(tmp_path, part, options, sentence):
    folder = write_download(tmp_path)
    with (folder / part / "opt.txt").open("a") as file:
        file.writelines(f"{name}: {value}\n" for name, value in options.items())
    with pytest.raises(ValueError, match=sentence) as raised:
        import_official(folder / (M_NAME if part == M_NAME else RVQ), tmp_path / "ours")
    assert "\n" not in str(raised.value)


def test_files_that_are_missing_or_damaged_are_named(tmp_path):
    folder = write_download(tmp_path)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "text.tex").touch()
    with pytest.raises(ValueError, match="holds something else"):
        import_official(folder, tmp_path / "thesis")
    with pytest.raises(ValueError, match="no folder of an official checkpoint"):
        import_official(tmp_path / "nowhere", tmp_path / "ours")
    mean = folder / RVQ / "meta" / "mean.npy"
    np.save(mean, np.zeros(5))
    with pytest.raises(ValueError, match=r"has shape \(5,\); 263 finite numbers"):
        import_official(folder, tmp_path / "ours")
    mean.unlink()
    with pytest.raises(ValueError, match=r"mean\.npy is missing"):
        import_official(folder, tmp_path / "ours")
    (folder / M_NAME / "model" / "latest.tar").write_bytes(b"HIERARCHY")
    with pytest.raises(ValueError, match=r"latest\.tar is missing|mean\.npy is missing"):
        import_official(folder, tmp_path / "ours")


def test_official_sizes_have_their_place_and_count():
    with torch.device("meta"):
        tokenizer = ResidualTokenizer(ResidualTokenizerConfig())
        official = to_official(tokenizer.state_dict(), tokenizer.config)
    config, state = tokenizer_state(official, {}, "net_best_fid.tar")
    assert config == ResidualTokenizerConfig() and len(official) == 72
    codebooks = 6 * 512 * 512
    assert sum(tensor.numel() for tensor in official.values()) - codebooks == 19_436_807
    for kind, network, names, count in (
        (MaskedConfig, MaskedTransformer, MASKED, 12_048_768),
        (ResidualConfig, ResidualTransformer, RESIDUAL, 13_364_224),
    ):
        official = transformer_to_official(network(kind()).state_dict(), names)
        config, state = transformer_state(official, {}, "latest.tar", kind)
        assert config == kind() and sum(tensor.numel() for tensor in state.values()) == count
