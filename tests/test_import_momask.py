"""Released MoMask files, made from the fixtures' random weights, into checkpoint folders."""

import numpy as np
import parity
import pytest
import torch

import duomotion
from duomotion.checkpoint import read_checkpoint
from duomotion.models.length.network import LengthConfig, LengthEstimator
from duomotion.models.momask.codec import load_codec
from duomotion.models.momask.config import MaskedConfig, ResidualConfig, ResidualTokenizerConfig
from duomotion.models.momask.network import MaskedTransformer, ResidualTransformer
from duomotion.models.momask.official import import_official, tokenizer_state, transformer_state
from duomotion.models.momask.official_tokenizer import to_official
from duomotion.models.momask.official_transformers import MASKED, POSITIONS, RESIDUAL
from duomotion.models.momask.official_transformers import to_official as transformer_to_official
from duomotion.models.momask.tokenizer import ResidualTokenizer
from duomotion.text.encoder import TextEmbedding

RVQ = "rvq_nq6_dc512_nc512_noshare_qdp0.2"
M_NAME, R_NAME = "t2m_nlayer8_nhead6_ld384_ff1024_cdp0.1_rvq6ns", "tres_nlayer8_ld384_ff1024_sw"


def weights_of(name):
    return parity.prefixed(parity.load(name)[1], "weights")


def save(path, **content):
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({**content, "ep": 7, "total_it": 1234}, path)


def save_options(folder, **options):
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{name}: {value}\n" for name, value in options.items()]
    (folder / "opt.txt").write_text("------------ Options -------------\n" + "".join(lines))


def release(root, dataset="t2m"):
    """A folder as the authors' download has it; the tokenizer is the fixture's."""
    folder = root / "checkpoints" / dataset
    features = {"t2m": 263, "kit": 251}[dataset]
    rvq = f"momask_rvq_{features}"
    sizes = parity.load(rvq)[0]["config"]
    names = ("nb_code", "code_dim", "width", "depth", "down_t", "stride_t", "num_quantizers")
    known = {name: sizes[name] for name in (*names, "dilation_growth_rate")}
    save_options(
        folder / RVQ, name=RVQ, dataset_name=dataset, vq_act="relu", vq_norm=None, mu=0.99,
        quantize_dropout_prob=0.2, shared_codebook=False, vq_name=RVQ, **known,
    )  # fmt: skip
    save(folder / RVQ / "model" / "net_best_fid.tar", vq_model=weights_of(rvq))
    (folder / RVQ / "meta").mkdir()
    for name, array in zip(("mean", "std"), statistics(features), strict=True):
        np.save(folder / RVQ / "meta" / f"{name}.npy", array)
    for name, fixture, key, file, extra in (
        (M_NAME, "momask_mask_transformer", "t2m_transformer", "latest.tar", {}),
        (R_NAME, "momask_residual_transformer", "res_transformer", "net_best_fid.tar",
         {"share_weight": True}),
    ):  # fmt: skip
        sizes = parity.load(fixture)[0]["config"]
        save_options(
            folder / name, name=name, dataset_name=dataset, vq_name=RVQ, dropout=0.2,
            latent_dim=sizes["latent_dim"], ff_size=sizes["ff_size"], n_heads=sizes["num_heads"],
            n_layers=sizes["num_layers"], cond_drop_prob=0.2 if extra else 0.1, **extra,
        )  # fmt: skip
        save(folder / name / "model" / file, **{key: weights_of(fixture)})
    estimator = LengthEstimator(LengthConfig())
    save(folder / "length_estimator" / "model" / "finest.tar", estimator=estimator.state_dict())
    return folder


def statistics(features):
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=features), rng.uniform(0.1, 2, features)
    return tuple(array.astype(np.float32) for array in numbers)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@torch.no_grad()
@pytest.mark.parametrize(("dataset", "guidance"), [("t2m", 4.0), ("kit", 2.0)])
def test_all_parts_come_along_and_back(tmp_path, dataset, guidance):
    folder = release(tmp_path, dataset)
    counts = import_official(folder, tmp_path / "ours")
    assert counts.keys() == {"tokenizer", "residual", "length", "masked"}
    assert counts["length"] == 435_122
    masked = read_checkpoint(tmp_path / "ours")
    residual = read_checkpoint(tmp_path / "ours" / "residual")
    for checkpoint, names, fixture, part in (
        (masked, MASKED, "momask_mask_transformer", "masked"),
        (residual, RESIDUAL, "momask_residual_transformer", "residual"),
    ):
        weights = weights_of(fixture)
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

    features = {"t2m": 263, "kit": 251}[dataset]
    tensors = parity.load(f"momask_rvq_{features}")[1]
    codec = load_codec(tmp_path / "ours" / "tokenizer")
    mean, std = (torch.from_numpy(array) for array in statistics(features))
    assert torch.equal(codec.encode(tensors["in/motion"] * std + mean), tensors["out/code_indices"])
    written = to_official(codec.tokenizer.state_dict(), codec.tokenizer.config)
    assert same(written, weights_of(f"momask_rvq_{features}"))


def test_an_imported_model_generates(tmp_path, monkeypatch, run):
    folder = release(tmp_path)
    width = weights_of("momask_mask_transformer")["cond_emb.weight"].shape[1]

    class Encoder:
        name, dim = "fake", width

        def encode(self, texts):
            return TextEmbedding(torch.ones(len(texts), 1, width), torch.zeros(len(texts)).long())

    monkeypatch.setattr("duomotion.text.cache.load_encoder", lambda name: Encoder())
    monkeypatch.setenv("DUOMOTION_CACHE", str(tmp_path / "cache"))
    status, out, _ = run("import-official", "momask", folder / M_NAME, "--out", tmp_path / "ours")
    assert not status and "residual: 211" not in out and "masked: " in out
    (tmp_path / "ours" / "length").rename(tmp_path / "elsewhere")  # reads other vectors
    clip = duomotion.load(tmp_path / "ours").generate("a person bows", seconds=2, seed=0)
    assert clip.positions.shape == (1, 40, 22, 3) and np.isfinite(clip.positions).all()


def test_a_tokenizer_alone_and_one_without_residual(tmp_path):
    folder = release(tmp_path)
    assert import_official(folder / RVQ, tmp_path / "vq").keys() == {"tokenizer"}
    (folder / R_NAME).rename(tmp_path / "away")
    (folder / "length_estimator").rename(tmp_path / "gone")
    assert import_official(folder, tmp_path / "ours").keys() == {"tokenizer", "masked"}


def test_the_frozen_tower_is_left_out_and_other_positions_are_noticed(tmp_path):
    folder = release(tmp_path)
    path = folder / M_NAME / "model" / "latest.tar"
    state = weights_of("momask_mask_transformer")
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
    folder = release(tmp_path)
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
        (RVQ, {"depth": 2}, "which says depth 2 and not 3"),
        (RVQ, {"vq_act": "silu"}, "vq_act 'silu' and not 'relu'"),
        (M_NAME, {"latent_dim": 384}, "latent_dim 384 and not 36"),
        (M_NAME, {"vq_name": "../x"}, "not the name of a file or folder"),
        (M_NAME, {"vq_name": "other"}, "there is no folder"),
        (M_NAME, {"n_heads": 5}, "multiple of num_heads"),
        (M_NAME, {"dropout": "much"}, "dropout has to be"),
    ],
)
def test_options_that_do_not_fit_are_named(tmp_path, part, options, sentence):
    folder = release(tmp_path)
    with (folder / part / "opt.txt").open("a") as file:
        file.writelines(f"{name}: {value}\n" for name, value in options.items())
    with pytest.raises(ValueError, match=sentence) as raised:
        import_official(folder / (M_NAME if part == M_NAME else RVQ), tmp_path / "ours")
    assert "\n" not in str(raised.value)


def test_files_that_are_missing_or_damaged_are_named(tmp_path):
    folder = release(tmp_path)
    (tmp_path / "thesis").mkdir()
    with pytest.raises(ValueError, match="is no checkpoint folder"):
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


def test_released_sizes_have_their_place_and_count():
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
