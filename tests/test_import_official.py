"""Released InterMask files, made from the fixtures' random weights, into checkpoint folders."""

import gzip
import os
import pickle
import re
import zipfile
from dataclasses import replace
from itertools import product

import numpy as np
import parity
import pytest
import torch
from parity import close
from safetensors.torch import load_file

import duomotion
from duomotion.checkpoint import read_checkpoint
from duomotion.config import from_dict
from duomotion.models.intermask.codec import load_codec
from duomotion.models.intermask.config import INTERX_TOKENIZER, InterMConfig, TokenizerConfig
from duomotion.models.intermask.network import InterMTransformer
from duomotion.models.intermask.official import generator_state, import_official, tokenizer_state
from duomotion.models.intermask.official_generator import FREQUENCIES
from duomotion.models.intermask.official_generator import to_official as generator_to_official
from duomotion.models.intermask.official_tokenizer import to_official
from duomotion.models.intermask.tokenizer import MotionTokenizer
from duomotion.models.intermask.training import GeneratorRecipe, TokenizerRecipe
from duomotion.motion import layouts
from duomotion.official.reading import read_options
from duomotion.official.states import check_state_dict
from duomotion.text.encoder import TextEmbedding
from duomotion.text.official_clip import import_text_tower

TOKENIZERS = parity.fixtures("intermask_vqvae_*")


def recorded_tokenizer():
    return parity.one_of("intermask_vqvae_interhuman*")


def transformer():
    """Name and sizes of the fixture of the transformer."""
    name = parity.one_of("intermask_transformer*")
    return name, parity.load(name)[0]["config"]


def save_as_trainer(path, key, state):
    """What the authors' trainers save: state, optimiser, schedule, epoch and step."""
    layer = torch.nn.Linear(2, 2)
    optimiser = torch.optim.AdamW(layer.parameters())
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, [2, 3])
    with torch.enable_grad():
        layer(torch.ones(1, 2)).sum().backward()
    optimiser.step()
    schedule.step()
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        key: state,
        f"opt_{key}": optimiser.state_dict(),
        "scheduler": schedule.state_dict(),
        "ep": 7,
        "total_it": 1234,
    }
    torch.save(content, path)


def save_options(folder, **options):
    lines = [f"{name}: {value}\n" for name, value in sorted(options.items())]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "opt.txt").write_text(
        "".join(
            [
                "------------ Options -------------\n",
                *lines,
                "-------------- End ----------------\n",
            ]
        )
    )


def write_tokenizer(root, name=None, **options):
    """checkpoints/DATASET/vq_default of a fixture."""
    name = name or recorded_tokenizer()
    sizes = parity.load(name)[0]["config"]
    known = ("nb_code", "code_dim", "width", "depth", "mu", "down_t", "stride_t")
    known = {key: sizes[key] for key in (*known, "dilation_growth_rate", "num_quantizers")}
    return save_tokenizer(root, sizes["dataset_name"], parity.weights(name), **known | options)


def make_tokenizer(root, config, dataset="interhuman", **options):
    """The same of random weights; returns their folder and the tokenizer."""
    torch.manual_seed(0)
    tokenizer = MotionTokenizer(config).eval()
    state = to_official(tokenizer.state_dict(), config)
    known = {"nb_code": config.num_codes, "width": config.widths[0], "depth": len(config.dilations)}
    return save_tokenizer(root, dataset, state, **known | options), tokenizer


def save_tokenizer(root, dataset, state, **options):
    """With InterHuman's statistics where the authors have them."""
    folder = root / "checkpoints" / dataset / "vq_default"
    save_options(
        folder,
        **{"dataset_name": dataset, "name": "vq_default", "vq_act": "relu", "vq_norm": None}
        | {"batch_size": 256, "lr": 0.0002, "gamma": 0.1, "weight_decay": 0.0, "is_train": True}
        | {"loss_fc": 500, "loss_vel": 100, "commit": 0.02, "shared_codebook": False}
        | options,
    )
    save_as_trainer(folder / "model" / "best_fid.tar", "vq_model", state)
    if dataset == "interhuman":
        mean, std = statistics()
        (root / "data" / "stats").mkdir(parents=True)
        np.save(root / "data" / "stats" / "global_mean.npy", mean)
        np.save(root / "data" / "stats" / "global_std.npy", std)
    return folder


def statistics():
    rng = np.random.default_rng(0)
    return rng.normal(size=262).astype(np.float32), rng.uniform(0.1, 2, 262).astype(np.float32)


def codes_of(sizes):
    return {"num_codes": sizes["num_tokens"], "code_dim": sizes["code_dim"]}


def write_generator(root, dataset="interhuman", **options):
    """checkpoints/DATASET/trans_default, and a tokenizer that speaks its codes."""
    sizes = transformer()[1]
    config = INTERX_TOKENIZER if dataset == "interx" else TokenizerConfig()
    make_tokenizer(root, replace(config, widths=(8, 8, 8), **codes_of(sizes)), dataset)
    folder = root / "checkpoints" / dataset / "trans_default"
    save_options(
        folder,
        **{"latent_dim": sizes["latent_dim"], "ff_size": sizes["ff_size"]}
        | {"n_layers": sizes["num_layers"], "n_heads": sizes["num_heads"], "dropout": 0.2}
        | {"vq_name": "vq_default", "name": "trans_default", "dataset_name": dataset}
        | {"cond_drop_prob": 0.1, "interaction_mask_prob": 0.3, "step_unroll": 1.0}
        | {"lr": 0.0002, "gamma": 0.3333333333333333, "batch_size": 52, "seed": 3407}
        | options,
    )
    save_as_trainer(folder / "model" / "best_fid.tar", "t2m_transformer", transformer_weights())
    return folder


def transformer_weights():
    """The fixture's weights; where it leaves the text head out, random ones in its place."""
    weights = parity.weights(transformer()[0])
    if any(name.startswith("clipTrans") for name in weights):
        return weights
    width = weights["cond_emb.weight"].shape[1]
    config = InterMConfig(text_dim=width, text_feedforward=48)
    head = {
        name: tensor
        for name, tensor in generator_to_official(InterMTransformer(config).state_dict()).items()
        if name.startswith("clip")
    }
    return weights | head


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("name", TOKENIZERS)
@torch.no_grad()
def test_an_imported_tokenizer_gives_the_recorded_outputs(tmp_path, name):
    folder = write_tokenizer(tmp_path, name)
    counts = import_official(folder, tmp_path / "ours")
    codec = load_codec(tmp_path / "ours")
    tensors = parity.load(name)[1]
    batch = min(key.split("/")[1] for key in tensors if key.startswith("in/"))
    motion = tensors[f"in/{batch}/motion"][:1]
    ids = tensors[f"in/{batch}/indices"][:1].squeeze(-1)
    recorded_ids = tensors[f"out/{batch}/code_indices"][:1].squeeze(-1)
    joint_map = layouts.INTERHUMAN.to_joint_map(motion) if motion.ndim == 3 else motion
    assert torch.equal(codec.tokenizer.encode(joint_map), recorded_ids)
    decoded = codec.tokenizer.decode(ids)
    recorded = tensors[f"out/{batch}/decoded_from_indices"][:1]
    close(layouts.INTERHUMAN.from_joint_map(decoded) if motion.ndim == 3 else decoded, recorded)
    if motion.ndim == 3:
        mean, std = (torch.from_numpy(array) for array in statistics())
        assert torch.equal(codec.encode(motion * std + mean), recorded_ids)
        features = slice(0, 258)  # without contacts, which are always zero
        close(codec.decode(ids)[..., features], (recorded * std + mean)[..., features])
    codebook = parity.weights(name)["quantizer.layers.0.codebook"]
    total = sum(tensor.numel() for tensor in parity.weights(name).values())
    assert counts == {"tokenizer": total - codebook.numel()}


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_tokenizer_round_trip_is_exact(tmp_path, name):
    import_official(write_tokenizer(tmp_path, name), tmp_path / "ours")
    codec = load_codec(tmp_path / "ours")
    config = codec.tokenizer.config
    assert isinstance(config, TokenizerConfig)
    assert same(to_official(codec.tokenizer.state_dict(), config), parity.weights(name))


@torch.no_grad()
def test_an_imported_generator_gives_the_recorded_logits(tmp_path):
    folder = write_generator(tmp_path)
    counts = import_official(folder, tmp_path / "ours")
    checkpoint = read_checkpoint(tmp_path / "ours")
    assert same(generator_to_official(checkpoint.tensors), transformer_weights())
    recipe = from_dict(GeneratorRecipe, checkpoint.recipe, "recipe")
    assert recipe.model.num_heads == transformer()[1]["num_heads"] and recipe.optim.batch_size == 52
    assert recipe.model.random_mask_prob == pytest.approx(0.7)
    model = InterMTransformer(recipe.model).eval()
    model.load_state_dict(checkpoint.tensors)
    tensors = parity.load(transformer()[0])[1]
    lengths, text = tensors["in/lengths"], tensors["in/cond"]
    ids = tensors["in/token_ids"].unflatten(1, (2, -1))
    logits = model(ids, model.condition(text), lengths).flatten(1, 2)
    real = ~tensors["in/padding_mask"]
    close(logits[real], tensors["out/logits_cond"].transpose(1, 2)[real])
    own = sum(tensor.numel() for tensor in transformer_weights().values())
    assert counts["generator"] == own - transformer_weights()[FREQUENCIES].numel()
    tokenizer = from_dict(
        TokenizerRecipe, read_checkpoint(tmp_path / "ours" / "tokenizer").recipe, "recipe"
    )
    assert tokenizer.losses.contact == 500 and tokenizer.optim.steps == 1234
    notes = checkpoint.provenance
    assert notes["official"] == "interhuman/trans_default/best_fid.tar" and notes["epoch"] == 7
    assert str(tmp_path) not in str(notes) and len(notes["sha256"]) == 64


@pytest.mark.parametrize(("dataset", "joints"), [("interhuman", 22), ("interx", 55)])
def test_an_imported_model_generates(tmp_path, monkeypatch, dataset, joints):
    """From a folder above, a single .tar, and statistics and tokenizer that lie elsewhere."""
    folder = write_generator(tmp_path, dataset)
    width = transformer_weights()["cond_emb.weight"].shape[1]

    class Encoder:
        name, dim = "fake", width

        def encode(self, texts):
            return TextEmbedding(torch.ones(len(texts), 3, width), torch.zeros(len(texts)).long())

    monkeypatch.setattr(
        "duomotion.text.cache.load_encoder",
        lambda name: Encoder() if name == "clip:somewhere" else None,
    )
    monkeypatch.setenv("DUOMOTION_CACHE", str(tmp_path / "cache"))
    (folder.parent / "vq_default").rename(tmp_path / "vq")
    statistics = None
    if dataset == "interhuman":
        statistics = (tmp_path / "data" / "stats").rename(tmp_path / "numbers")
    import_official(
        folder / "model" / "best_fid.tar",
        tmp_path / "ours",
        tokenizer=tmp_path / "vq",
        statistics=statistics,
        text_encoder="clip:somewhere",
    )
    clip = duomotion.load(tmp_path / "ours").generate("two people bow", seconds=1, seed=0)
    assert clip.positions.shape == (2, 30, joints, 3) and np.isfinite(clip.positions).all()


def test_the_generator_is_found_in_the_folder_above(tmp_path):
    folder = write_generator(tmp_path)
    counts = import_official(folder.parent, tmp_path / "ours")
    assert counts.keys() == {"tokenizer", "generator"}
    (folder / "model" / "best_fid.tar").rename(folder / "model" / "latest.tar")
    import_official(folder, tmp_path / "ours")  # the only one there
    (folder / "model" / "finest.tar").write_bytes(b"")
    with pytest.raises(ValueError, match=r"holds no best_fid.tar; name one of .*finest.*latest"):
        import_official(folder, tmp_path / "ours")


# --- every tensor is accounted for


def test_missing_unknown_and_misshapen_tensors_are_named_together(tmp_path):
    for write, key in ((write_tokenizer, "vq_model"), (write_generator, "t2m_transformer")):
        folder = write(tmp_path / key)
        path = folder / "model" / "best_fid.tar"
        state = torch.load(path, weights_only=True)[key]
        first, second, third, *_ = sorted(name for name in state if name.endswith("bias"))
        del state[first], state[second]
        state[third] = torch.zeros(1, 2)
        state["discriminator.weight"] = torch.zeros(1)
        save_as_trainer(path, key, state)
        with pytest.raises(ValueError, match="it lacks") as raised:
            import_official(folder, tmp_path / "ours")
        sentence = str(raised.value)
        assert str(path) in sentence and "\n" not in sentence
        for name in (first, second, "unknown discriminator.weight", f"{third} (1, 2) instead of"):
            assert name in sentence
    assert not (tmp_path / "ours").exists()


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("vq_model", "quantizer.layers.0.codebook"),
        ("vq_model", "decoder.model.0.weight"),
        ("t2m_transformer", "input_process.poseEmbedding.weight"),
        ("t2m_transformer", "clipTrans.layers.0.linear1.bias"),
        ("t2m_transformer", FREQUENCIES),
    ],
)
@pytest.mark.parametrize("harm", ["missing", "flat", "whole numbers"])
def test_tensors_that_tell_the_sizes_are_named_too(tmp_path, key, name, harm):
    folder = (write_tokenizer if key == "vq_model" else write_generator)(tmp_path)
    path = folder / "model" / "best_fid.tar"
    state = torch.load(path, weights_only=True)[key]
    if harm == "missing":
        del state[name]
    else:
        state[name] = torch.zeros(()) if harm == "flat" else state[name].long()
    save_as_trainer(path, key, state)
    with pytest.raises(ValueError, match=re.escape(name)):
        import_official(folder, tmp_path / "ours")


def test_other_frequencies_are_noticed(tmp_path):
    folder = write_generator(tmp_path)
    state = transformer_weights() | {"clip_model.logit_scale": torch.ones(())}
    path = folder / "model" / "best_fid.tar"
    save_as_trainer(path, "t2m_transformer", state)
    import_official(folder, tmp_path / "ours")  # the frozen tower is left out
    state[FREQUENCIES] = state[FREQUENCIES] + 0.1
    save_as_trainer(path, "t2m_transformer", state)
    with pytest.raises(ValueError, match="other frequencies"):
        import_official(folder, tmp_path / "ours")


# --- parameter counts of the released models


def expanded(*patterns):
    """Names with ranges such as [0-1] and [2,5] written out, each with an empty tensor."""
    state = {}
    for pattern, shape in patterns:
        pieces = re.split(r"\[([^\]]*)\]", pattern)
        choices = []
        for index, piece in enumerate(pieces):
            if index % 2 == 0:
                choices.append([piece])
            elif "-" in piece:
                low, high = map(int, piece.split("-"))
                choices.append([str(number) for number in range(low, high + 1)])
            else:
                choices.append(piece.split(","))
        for name in product(*choices):
            state["".join(name)] = torch.empty(shape, device="meta")
    return state


def conv(name, *shape):
    return [(f"{name}.weight", shape), (f"{name}.bias", shape[:1])]


def residual(name):
    path = f"{name}.model.[0-1]"
    return conv(f"{path}.conv1", 512, 512, 3, 3) + conv(f"{path}.conv2", 512, 512, 1, 1)


def sage(name, width, out):
    return [
        *conv(f"{name}.lin", width, width),
        *conv(f"{name}.lin_l", out, width),
        (f"{name}.lin_r.weight", (out, width)),
    ]


CODEBOOK = [("quantizer.layers.0.codebook", (1024, 512))]
DECODER = [
    *conv("decoder.model.[0,4]", 512, 512, 3, 3),
    *residual("decoder.model.[2-3].0"),
    *conv("decoder.model.[2-3].2", 512, 512, 3, 3),
]
INTERHUMAN = [
    *sage("encoder.gcn_layer1", 12, 512),
    *sage("encoder.gcn_layer2", 512, 512),
    *conv("encoder.model.[0-1].0", 512, 512, 4, 4),
    *residual("encoder.model.[0-1].1"),
    *conv("encoder.model.2", 512, 512, 3, 3),
    *sage("decoder.gcn_layer1", 512, 512),
    *sage("decoder.gcn_layer2", 512, 12),
]


def conv_layout(joint_dim, kernel):
    return [
        *conv("encoder.model.0", 512, joint_dim, 3, 3),
        *conv("encoder.model.4", 512, 512, 3, 3),
        *conv("encoder.model.[2-3].0", 512, 512, *kernel),
        *residual("encoder.model.[2-3].1"),
        *conv("decoder.model.6", joint_dim, 512, 3, 3),
    ]


@pytest.mark.parametrize(
    ("layout", "config", "count"),
    [
        (INTERHUMAN, TokenizerConfig(), 43_031_208),
        (conv_layout(12, (4, 4)), TokenizerConfig(input_layer="conv"), None),
        (conv_layout(6, (6, 4)), INTERX_TOKENIZER, 45_418_502),
    ],
    ids=["interhuman", "interhuman before April 2025", "interx"],
)
def test_an_official_tokenizer_has_its_place_and_count(layout, config, count):
    official = expanded(*layout, *DECODER, *CODEBOOK)
    found, state = tokenizer_state(official, {}, "best_fid.tar")
    assert found == config
    with torch.device("meta"):
        check_state_dict(state, MotionTokenizer(found).state_dict(), "ours")
    numbers = sum(tensor.numel() for tensor in official.values())
    codebook = official.pop("quantizer.layers.0.codebook").numel()
    assert codebook == 524_288
    assert count is None or numbers - codebook == count


def attention(name, width):
    return [
        (f"{name}.in_proj_weight", (3 * width, width)),
        (f"{name}.in_proj_bias", (3 * width,)),
        *conv(f"{name}.out_proj", width, width),
    ]


def test_an_official_transformer_has_its_place_and_count():
    block, head = "Transformer.blocks.[0-5]", "clipTrans.layers.[0-1]"
    official = expanded(
        *conv("input_process.poseEmbedding", 384, 512),
        *conv(f"{block}.adaLN_mod_combined.model.1", 2304, 384),
        *attention(f"{block}.self_attn.attention", 384),
        *conv(f"{block}.ffn_[combined,split].model.0", 1024, 384),
        *conv(f"{block}.ffn_[combined,split].model.3", 384, 1024),
        *conv(f"{block}.adaLN_mod_split.model.1", 5376, 384),
        *attention(f"{block}.spa_temp_attn.[spatial,temporal]_attention", 384),
        *attention(f"{block}.local_inter_attn.interaction_attention", 384),
        *conv("cond_emb", 384, 768),
        *conv("output_process.dense", 384, 384),
        *conv("output_process.adaLN_mod.model.1", 768, 384),
        *conv("output_process.poseFinal", 1024, 384),
        ("token_emb.weight", (1027, 512)),
        *attention(f"{head}.self_attn", 768),
        *conv(f"{head}.linear1", 2048, 768),
        *conv(f"{head}.linear2", 768, 2048),
        *conv(f"{head}.norm[1,2]", 768),
        *conv("clipln", 768),
    )
    frequencies = 1 / 10000 ** (torch.arange(0, 192, 2) / 192)
    config, state = generator_state(official | {FREQUENCIES: frequencies}, {}, "best_fid.tar")
    assert config == InterMConfig()
    with torch.device("meta"):
        check_state_dict(state, InterMTransformer(config).state_dict(), "ours")
    assert sum(tensor.numel() for tensor in state.values()) == 54_272_896


# --- options and statistics


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"n_heads": 97}, "multiple of num_heads"),
        ({"n_heads": "six"}, "num_heads has to be"),
        ({"latent_dim": 7}, r"opt.txt, which says latent_dim 7 and not \d"),
        ({"vq_name": "../../elsewhere"}, "not the name of a file or folder"),
        ({"vq_name": "vq_other"}, "there is no folder"),
        ({"vq_name": "trans_default"}, "options of a generator"),
        ({"dropout": "a: b: c"}, "dropout has to be"),
    ],
)
def test_options_that_do_not_fit_are_named(tmp_path, options, sentence):
    folder = write_generator(tmp_path, **options)
    with pytest.raises(ValueError, match=sentence) as raised:
        import_official(folder, tmp_path / "ours")
    assert "\n" not in str(raised.value)


@torch.no_grad()
def test_a_tokenizer_of_any_depth_and_dilation_gives_the_same(tmp_path):
    config = TokenizerConfig(
        widths=(8, 8, 8), code_dim=6, num_codes=20, dilations=(4, 2, 1), ema_decay=0.9
    )
    folder, tokenizer = make_tokenizer(
        tmp_path, config, dilation_growth_rate=2, mu=0.9, recons_loss="l1"
    )
    import_official(folder, tmp_path / "ours")
    imported = load_codec(tmp_path / "ours").tokenizer
    assert imported.config == config
    motion = torch.randn(1, 48, 22, 12)
    ids = tokenizer.encode(motion)
    assert torch.equal(imported.encode(motion), ids)
    assert torch.equal(imported.decode(ids), tokenizer.decode(ids))
    stored = read_checkpoint(tmp_path / "ours").recipe
    assert from_dict(TokenizerRecipe, stored, "recipe").losses.beta == 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"dilation_growth_rate": 0}, "dilation_growth_rate has to be 1 or more, not 0"),
        ({"dilation_growth_rate": "wide"}, "dilation_growth_rate has to be 1 or more, not 'wide'"),
        ({"dilation_growth_rate": 10**6, "depth": 2}, "dilations.* from 1 to 10,000"),
        ({"recons_loss": "l2"}, "recons_loss 'l2' is not known, only l1_smooth or l1"),
        ({"mu": 7}, "ema_decay"),
    ],
)
def test_options_that_no_tokenizer_has_are_named(tmp_path, options, sentence):
    config = TokenizerConfig(widths=(8, 8, 8), code_dim=6, num_codes=20)
    folder, _ = make_tokenizer(tmp_path, config, **options)
    with pytest.raises(ValueError, match=sentence) as raised:
        import_official(folder, tmp_path / "ours")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "options", [{"depth": 9}, {"vq_act": "silu"}, {"nb_code": 7}, {"down_t": 3}, {"vq_norm": "BN"}]
)
def test_tokenizers_of_another_make_are_refused(tmp_path, options):
    folder = write_tokenizer(tmp_path, **options)
    ((name, value),) = options.items()
    with pytest.raises(ValueError, match=f"opt.txt, which says {name} {value!r}"):
        import_official(folder, tmp_path / "ours")


def test_options_are_read_with_their_types(tmp_path):
    path = tmp_path / "opt.txt"
    path.write_text(
        "--- Options ---\nlr: 0.0002\nn: 3\nflag: True\nnorm: None\nempty: \ntags: [1, 2]\n"
        "small: 1e-05\npath: C: x\n\n--- End ---\n"
    )
    assert read_options(path) == {
        "lr": 0.0002,
        "n": 3,
        "flag": True,
        "norm": None,
        "empty": "",
        "tags": "[1, 2]",
        "small": 1e-5,
        "path": "C: x",
    }
    for content, sentence in (
        (b"lr 0.1\n", "opt.txt, line 1: 'name: value'"),
        (b"\xff\xfe", "not a text file"),
        (b"a: 1\n" * 300_000, "takes 1,500,000 bytes"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=sentence):
            read_options(path)


def test_missing_parts_are_named(tmp_path):
    folder = write_tokenizer(tmp_path)
    (tmp_path / "data" / "stats" / "global_std.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(ValueError, match=r"global_std\.npy can't be read as"):
        import_official(folder, tmp_path / "ours")
    np.save(tmp_path / "data" / "stats" / "global_std.npy", np.zeros(262))
    with pytest.raises(ValueError, match=r"global_std\.npy holds deviations that are not above 0"):
        import_official(folder, tmp_path / "ours")
    np.save(tmp_path / "data" / "stats" / "global_std.npy", np.ones(263))
    with pytest.raises(ValueError, match="262 finite numbers are expected"):
        import_official(folder, tmp_path / "ours")
    (tmp_path / "data" / "stats" / "global_std.npy").unlink()
    with pytest.raises(ValueError, match=r"global_mean\.npy and global_std\.npy are missing"):
        import_official(folder, tmp_path / "ours")
    (folder / "opt.txt").unlink()
    with pytest.raises(ValueError, match=r"opt\.txt is missing"):
        import_official(folder / "model" / "best_fid.tar", tmp_path / "ours")
    with pytest.raises(ValueError, match=r"holds no opt\.txt"):
        import_official(folder, tmp_path / "ours")
    with pytest.raises(ValueError, match="no folder of an official checkpoint"):
        import_official(tmp_path / "nowhere", tmp_path / "ours")


def test_a_folder_of_something_else_is_not_overwritten(tmp_path):
    folder = write_tokenizer(tmp_path)
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "text.tex").write_text("years of work")
    with pytest.raises(ValueError, match="holds something else"):
        import_official(folder, tmp_path / "thesis")
    assert (tmp_path / "thesis" / "text.tex").exists()


def test_tokenizer_and_generator_must_speak_the_same_codes(tmp_path):
    folder, codes = write_generator(tmp_path), codes_of(transformer()[1])
    config = TokenizerConfig(widths=(8, 8, 8), code_dim=5, num_codes=19)
    other, _ = make_tokenizer(tmp_path / "other", config)
    given = f"{codes['num_codes']} codes of {codes['code_dim']} channels"
    with pytest.raises(ValueError, match=f"{given}, its tokenizer has 19 of 5"):
        import_official(folder, tmp_path / "ours", tokenizer=other)


# --- damaged and malicious files


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_code_in_a_file_is_refused_and_not_run(tmp_path):
    folder = write_tokenizer(tmp_path)
    path = folder / "model" / "best_fid.tar"
    torch.save({"vq_model": {}, "scheduler": Malicious(tmp_path / "owned")}, path)
    with pytest.raises(ValueError, match=r"asks for 'posix.mkdir' to be run") as raised:
        import_official(folder, tmp_path / "ours")
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)
    path.write_bytes(pickle.dumps(Malicious(tmp_path / "owned")))
    with pytest.raises(ValueError, match="is not a whole PyTorch checkpoint"):
        import_official(folder, tmp_path / "ours")
    assert not (tmp_path / "owned").exists()


def test_damage_is_noticed_wherever_it_is(tmp_path):
    folder = write_tokenizer(tmp_path)
    path = folder / "model" / "best_fid.tar"
    whole = path.read_bytes()
    bias = torch.load(path, weights_only=True)["vq_model"]["decoder.model.0.bias"]
    flipped = bytearray(whole)
    flipped[whole.index(bias.numpy().tobytes())] ^= 1
    for content in (b"", b"HIERARCHY", bytes(flipped), whole[:100], whole[:-10], whole[:-3000]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is not a whole PyTorch checkpoint") as raised:
            import_official(folder, tmp_path / "ours")
        assert str(path) in str(raised.value) and "\n" not in str(raised.value)


def test_tensors_of_which_a_part_is_stored_are_refused(tmp_path):
    folder = write_tokenizer(tmp_path)
    path = folder / "model" / "best_fid.tar"
    with zipfile.ZipFile(path) as archive:
        content = {info.filename: archive.read(info) for info in archive.infolist()}
    largest = max((name for name in content if "/data/" in name), key=lambda n: len(content[n]))
    content[largest] = content[largest][:40]
    with zipfile.ZipFile(path, "w") as archive:
        for name, record in content.items():
            archive.writestr(name, record)
    with pytest.raises(ValueError, match=r"not a whole PyTorch checkpoint .* does not match"):
        import_official(folder, tmp_path / "ours")


def test_packed_archives_and_pipes_are_refused(tmp_path):
    folder = write_tokenizer(tmp_path)
    path = folder / "model" / "best_fid.tar"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("best_fid/data.pkl", bytes(10**6))
    with pytest.raises(ValueError, match="it is compressed"):
        import_official(folder, tmp_path / "ours")
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ValueError, match="is a named pipe"):
        import_official(folder, tmp_path / "ours")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ([1, 2], "holds a list"),
        ({"net_g": {}}, "holds no state dict named vq_model or net; it has net_g"),
        ({"vq_model": {"a": 1}}, "vq_model holds a, which are no tensors"),
        ({"vq_model": {7: torch.ones(1)}}, "vq_model holds 7, which are no names"),
        (
            {"vq_model": {"a": torch.ones(1).expand(10**9)}},
            "a with fewer numbers than their shapes",
        ),
        ({"vq_model": {"a": torch.ones(9, device="meta")}}, "a with fewer numbers than their shap"),
        ({"vq_model": {"a": torch.tensor(np.nan)}}, "vq_model holds a with NaN or infinity"),
    ],
)
def test_other_checkpoints_are_refused(tmp_path, content, sentence):
    folder = write_tokenizer(tmp_path)
    torch.save(content, folder / "model" / "best_fid.tar")
    with pytest.raises(ValueError, match=sentence):
        import_official(folder, tmp_path / "ours")


# --- the text tower of an InterGen checkpoint


@pytest.fixture
def words(tmp_path):
    """A list of byte pairs like CLIP's, long enough for 619 tokens."""
    letters = "abcdefghij"
    lines = ['"bpe_simple_vocab"', "t w", "tw o</w>", "h i</w>", "x y", "z z"]
    lines += [f"{one} {other}" for one, other in product(letters, letters)]
    path = tmp_path / "bpe_simple_vocab.txt.gz"
    path.write_bytes(gzip.compress("\n".join(lines).encode()))
    return path


def intergen():
    return parity.one_of("intergen_denoiser*")


def tower(vocabulary=520):
    """The fixture's tower with more words, of which the recorded texts use the first few."""
    weights = parity.weights(intergen())
    known = weights["token_embedding.weight"]
    more = torch.randn(vocabulary - len(known), known.shape[1])
    return weights | {"token_embedding.weight": torch.cat([known, more])}


def save_intergen(path, state):
    torch.save({"state_dict": {f"model.{name}": state[name] for name in state}}, path)
    return path


@torch.no_grad()
def test_the_text_tower_gives_the_recorded_states(tmp_path, words, monkeypatch):
    from transformers import CLIPTextModel

    from duomotion.text.encoders import load_encoder

    description, tensors = parity.load(intergen())
    width = description["config"]["text_dim"]
    heads = description["config"]["clip_heads"]
    monkeypatch.setattr("duomotion.text.official_clip.HEAD_WIDTH", width // heads)
    ckpt = save_intergen(tmp_path / "intergen.ckpt", tower())
    count = import_text_tower(ckpt, words, tmp_path / "clip")
    frozen = [name for name in tower() if not re.match("clipTrans|clip_ln|decoder", name)]
    assert count == sum(tower()[name].numel() for name in frozen)
    model = CLIPTextModel.from_pretrained(tmp_path / "clip").eval()
    states = model(input_ids=tensors["in/token_ids"]).last_hidden_state
    recorded = tensors["out/text/clip_hidden"]
    close(states[:, : recorded.shape[1]], recorded)
    encoder = load_encoder(f"clip:{tmp_path / 'clip'}")
    embedding = encoder.encode(["two hi"])
    assert embedding.hidden_BLC.shape == (1, 77, width) and embedding.pool_index_B.tolist() == [3]
    stored = load_file(tmp_path / "clip" / "model.safetensors")
    assert torch.equal(stored["final_layer_norm.bias"], tower()["ln_final.bias"])


def test_an_official_tower_has_its_count():
    from duomotion.text.official_clip import tower_state

    block = "clip_transformer.resblocks.[0-11]"
    official = expanded(
        ("positional_embedding", (77, 768)),
        ("token_embedding.weight", (49408, 768)),
        *attention(f"{block}.attn", 768),
        *conv(f"{block}.ln_[1,2]", 768),
        *conv(f"{block}.mlp.c_fc", 3072, 768),
        *conv(f"{block}.mlp.c_proj", 768, 3072),
        *conv("ln_final", 768),
    )
    state = tower_state(official, "intergen.ckpt")
    assert sum(tensor.numel() for tensor in state.values()) == 123_060_480


def test_what_a_text_tower_lacks_is_named(tmp_path, words):
    state = tower()
    del state["ln_final.bias"]
    state["clip_transformer.resblocks.0.attn.in_proj_bias"] = torch.zeros(5)
    ckpt = save_intergen(tmp_path / "intergen.ckpt", state)
    with pytest.raises(ValueError, match=r"lacks ln_final\.bias; it has .*in_proj_bias \(5,\)"):
        import_text_tower(ckpt, words, tmp_path / "clip")
    ckpt = save_intergen(tmp_path / "intergen.ckpt", tower())
    with pytest.raises(ValueError, match=r"bpe_simple_vocab_16e6\.txt\.gz of CLIP's code"):
        import_text_tower(ckpt, tmp_path / "nothing.gz", tmp_path / "clip")
    (tmp_path / "plain.gz").write_text("no gzip")
    with pytest.raises(ValueError, match="is not the gzipped list"):
        import_text_tower(ckpt, tmp_path / "plain.gz", tmp_path / "clip")
    ckpt = save_intergen(tmp_path / "intergen.ckpt", tower(700))
    with pytest.raises(ValueError, match="has 619 tokens; the checkpoint has 700"):
        import_text_tower(ckpt, words, tmp_path / "clip")
    assert not (tmp_path / "clip").exists()
