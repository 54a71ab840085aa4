import json
import pickle
from pathlib import Path

import pytest
import torch
from limits import largest_file
from torch import nn

from duomotion.checkpoint import (
    TrainingState,
    environment,
    load_weights,
    pack_checkpoint,
    read_checkpoint,
    read_training,
    save_checkpoint,
)

RECIPE = {"system": "intermask", "model": {"width": 8}}
PROVENANCE = {"step": 3, "scores": {"fid": 5.2}}


class Tied(nn.Module):
    """Shared, transposed and integer members: what safetensors alone refuses."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(5, 4)
        self.out = nn.Linear(4, 5, bias=False)
        self.out.weight = self.embed.weight
        self.register_buffer("table", torch.arange(6.0).reshape(2, 3).T)
        self.register_buffer("count", torch.tensor(7))


def save(folder, module=None, **more):
    module = module or Tied()
    save_checkpoint(folder, module.state_dict(), RECIPE, PROVENANCE, **more)
    return module


def test_a_checkpoint_comes_back_whole(tmp_path):
    folder = tmp_path / "run" / "best"
    module, other = save(folder), Tied()
    checkpoint = read_checkpoint(folder)
    assert (checkpoint.recipe, checkpoint.provenance) == (RECIPE, PROVENANCE)
    assert checkpoint.folder == folder
    load_weights(other, checkpoint)
    for name, tensor in module.state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor)
    assert other.out.weight is other.embed.weight
    assert sorted(p.name for p in folder.iterdir()) == [
        "model.safetensors",
        "provenance.json",
        "recipe.json",
    ]


def test_half_precision_is_storage_only(tmp_path):
    module = save(tmp_path / "c", dtype=torch.float16)
    checkpoint = read_checkpoint(tmp_path / "c")
    assert checkpoint.tensors["embed.weight"].dtype == torch.float16
    assert checkpoint.tensors["count"].dtype == torch.int64
    other = Tied()
    load_weights(other, checkpoint)
    assert other.embed.weight.dtype == torch.float32
    assert torch.equal(other.embed.weight, module.embed.weight.half().float())


def test_numbers_that_half_precision_lacks_keep_their_type(tmp_path):
    tensors = {"counts": torch.tensor([1e5, 1.0]), "weights": torch.ones(2)}
    save_checkpoint(tmp_path / "c", tensors, RECIPE, PROVENANCE, dtype=torch.float16)
    stored = read_checkpoint(tmp_path / "c").tensors
    assert torch.equal(stored["counts"], tensors["counts"])
    assert stored["weights"].dtype == torch.float16


def test_children_and_training_state(tmp_path):
    state = TrainingState({"optimizer.step.a": torch.tensor(3.0)}, {"step": 3, "best": {}})
    save(tmp_path / "tokenizer", training=state)
    save(tmp_path / "generator", children={"tokenizer": tmp_path / "tokenizer"})
    child = tmp_path / "generator" / "tokenizer"
    assert read_checkpoint(child).recipe == RECIPE
    assert not list(child.glob("training.*"))  # nobody goes on with the copy
    back = read_training(tmp_path / "tokenizer")
    assert back.position == state.position
    assert back.tensors["optimizer.step.a"] == 3


def test_weights_of_another_network_are_refused_by_name(tmp_path):
    save(tmp_path / "c")
    other = nn.ModuleDict({"embed": nn.Embedding(6, 4), "head": nn.Linear(2, 2)})
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    with pytest.raises(ValueError) as raised:
        load_weights(other, read_checkpoint(tmp_path / "c"))
    assert str(raised.value) == (
        f"{tmp_path / 'c' / 'model.safetensors'} doesn't fit the network: "
        "it lacks head.weight, head.bias; "
        "it has the unknown count, out.weight, table; "
        "it has embed.weight (5, 4) instead of (6, 4)"
    )
    assert all(torch.equal(before[name], tensor) for name, tensor in other.state_dict().items())


def cut(path):
    path.write_bytes(path.read_bytes()[:-10])


def pickled(path):
    path.write_bytes(pickle.dumps({"a": 1}))


def unnamed(path):
    path.write_text(json.dumps({"model": {}}))


@pytest.mark.parametrize(
    ("file", "harm"),
    [
        ("model.safetensors", cut),
        ("model.safetensors", pickled),
        ("model.safetensors", Path.unlink),
        ("model.safetensors", lambda path: path.write_bytes(b"")),
        ("recipe.json", cut),
        ("recipe.json", Path.unlink),
        ("recipe.json", unnamed),
        ("recipe.json", lambda path: path.write_text("[1]")),
        ("provenance.json", lambda path: path.write_bytes(b"\xff\x00")),
    ],
)
def test_a_broken_file_is_named(tmp_path, file, harm):
    save(tmp_path / "c")
    harm(tmp_path / "c" / file)
    with pytest.raises(ValueError, match=file) as raised:
        read_checkpoint(tmp_path / "c")
    assert "\n" not in str(raised.value)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ValueError, match="nowhere: no checkpoint folder"):
        read_checkpoint(tmp_path / "nowhere")


@pytest.mark.parametrize("too_large", ["weights", "provenance"])
def test_a_failed_write_names_the_folder_and_keeps_the_old_one(tmp_path, too_large):
    module = save(tmp_path / "c")
    weights = {"a": torch.zeros(10_000 if too_large == "weights" else 1)}
    notes = {"note": "x" * (40_000 if too_large == "provenance" else 1)}
    with largest_file(9_000), pytest.raises(OSError, match=r"can't write the checkpoint.*c"):
        save_checkpoint(tmp_path / "c", weights, RECIPE, notes)
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
    load_weights(module, read_checkpoint(tmp_path / "c"))


def test_environment_names_versions_and_hardware():
    notes = environment(torch.device("cpu"))
    assert notes["torch"] == torch.__version__
    assert notes["hardware"]
    assert json.loads(json.dumps(notes)) == notes


def test_packing_halves_the_size_and_keeps_what_is_inside(tmp_path):
    tensors = {"a": torch.randn(64, 64), "steps": torch.tensor(3)}
    recipe = {"system": "toy"}
    save_checkpoint(tmp_path / "child", tensors, recipe, {"step": 1})
    state = TrainingState({"moment": torch.ones(2)}, {"step": 4})
    save_checkpoint(
        tmp_path / "run",
        tensors,
        recipe,
        {"step": 2},
        children={"child": tmp_path / "child"},
        training=state,
    )
    pack_checkpoint(tmp_path / "run", tmp_path / "packed")
    packed = read_checkpoint(tmp_path / "packed")
    assert packed.tensors["a"].dtype == torch.float16 and packed.tensors["steps"] == 3
    torch.testing.assert_close(packed.tensors["a"].float(), tensors["a"], atol=1e-2, rtol=1e-3)
    assert packed.recipe == recipe and packed.provenance["step"] == 2
    assert read_checkpoint(tmp_path / "packed" / "child").tensors["a"].dtype == torch.float16
    assert not list((tmp_path / "packed").rglob("training.*"))
    pack_checkpoint(tmp_path / "run", tmp_path / "packed")  # replaces it


def test_a_folder_of_other_files_is_not_replaced(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for name, reason in (("mine", r"something else \(thesis.txt\)"), ("file", "is a file")):
        with pytest.raises(ValueError, match=reason):
            save_checkpoint(tmp_path / name, {"a": torch.ones(2)}, {"system": "toy"}, {})
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    save_checkpoint(tmp_path / "empty", {"a": torch.ones(2)}, {"system": "toy"}, {})
