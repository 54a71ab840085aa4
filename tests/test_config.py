import subprocess
import sys
from dataclasses import dataclass, field
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from duomotion.config import apply_overrides, from_dict, to_dict
from duomotion.training.config import LogConfig, OptimConfig


@dataclass(kw_only=True, frozen=True)
class Model:
    width: int = 384
    dropout: float = 0.2
    kernel: tuple[int, ...] = (3, 3)
    activation: Literal["relu", "gelu"] = "gelu"


@dataclass(kw_only=True, frozen=True)
class Recipe:
    system: str
    optim: OptimConfig
    log: LogConfig = field(default_factory=LogConfig)
    model: Model = field(default_factory=Model)
    teacher: Model | None = None
    weights: dict[str, float] = field(default_factory=dict)
    mirror: bool = True


RECIPE = Recipe(system="intermask", optim=OptimConfig(steps=100))


@settings(max_examples=30, deadline=None)
@given(
    lr=st.floats(1e-9, 1),
    milestones=st.lists(st.floats(0.01, 0.99), unique=True).map(sorted).map(tuple),
    clip_norm=st.none() | st.floats(0.1, 10),
    weights=st.dictionaries(st.text(), st.floats(-9, 9)),
    teacher=st.none() | st.builds(Model, width=st.integers(), kernel=st.just((1, 2, 3))),
)
def test_a_config_comes_back_from_its_dict(lr, milestones, clip_norm, weights, teacher):
    optim = OptimConfig(steps=7, lr=lr, milestones=milestones, clip_norm=clip_norm)
    recipe = Recipe(system="a", optim=optim, weights=weights, teacher=teacher, mirror=False)
    assert from_dict(Recipe, to_dict(recipe), "recipe.json") == recipe


def test_left_out_fields_take_their_defaults():
    assert from_dict(Recipe, {"system": "intermask", "optim": {"steps": 100}}, "x") == RECIPE


def test_one_sentence_names_every_wrong_field():
    values = {
        "optim": {"step": 3, "lr": "fast", "betas": [0.9], "schedule": "cosin", "seed": True},
        "model": {"kernel": [3, 3.5]},
        "teacher": {"widht": 3},
        "log": 5,
        "mirror": 1,
        "zzzz": 1,
    }
    with pytest.raises(ValueError, match=r"^recipe\.json: .*\.$") as raised:
        from_dict(Recipe, values, "recipe.json")
    message = str(raised.value)
    for part in (
        "optim.step is unknown (did you mean steps?)",
        "optim.steps is missing",
        "optim.lr has to be a number, not 'fast'",
        "optim.betas has to be a list of 2, each a number, not [0.9]",
        "optim.schedule has to be one of 'multistep', 'cosine', 'constant', not 'cosin'",
        "optim.seed has to be a whole number, not True",
        "model.kernel[1] has to be a whole number, not 3.5",
        "teacher.widht is unknown (did you mean width?)",
        "log has to be an object with fields, not 5",
        "mirror has to be true or false, not 1",
        "system is missing",
        "zzzz is unknown (there are system, optim, log, model, teacher, weights, mirror)",
    ):
        assert part in message
    assert message.count(";") == 11


def test_values_out_of_range_are_refused_with_their_path():
    optim = {"steps": 0, "lr": float("nan"), "milestones": [0.7, 0.5]}
    with pytest.raises(ValueError) as raised:
        from_dict(Recipe, {"system": "a", "optim": optim}, "r")
    assert str(raised.value) == (
        "r: optim: steps has to be at least 1, lr has to be positive, "
        "milestones have to rise within (0, 1)."
    )
    with pytest.raises(ValueError, match="log_every has to be at least 1"):
        LogConfig(log_every=0)


@pytest.mark.parametrize(
    ("override", "read", "expected"),
    [
        ("optim.lr=3e-4", lambda r: r.optim.lr, 3e-4),
        ("optim.lr=1", lambda r: r.optim.lr, 1.0),
        ("optim.steps=2e5", lambda r: r.optim.steps, 200_000),
        ("optim.clip_norm=1.5", lambda r: r.optim.clip_norm, 1.5),
        ("optim.clip_norm=None", lambda r: r.optim.clip_norm, None),
        ("log.checkpoint_seconds=null", lambda r: r.log.checkpoint_seconds, None),
        ("optim.milestones=[0.1,0.2]", lambda r: r.optim.milestones, (0.1, 0.2)),
        ("optim.milestones=0.1,0.2", lambda r: r.optim.milestones, (0.1, 0.2)),
        ("optim.schedule=cosine", lambda r: r.optim.schedule, "cosine"),
        ("mirror=false", lambda r: r.mirror, False),
        ("mirror=True", lambda r: r.mirror, True),
        ("system=two words=x", lambda r: r.system, "two words=x"),
        ("teacher.width=64", lambda r: r.teacher, Model(width=64)),
        ('teacher={"width": 32}', lambda r: r.teacher, Model(width=32)),
        ("weights.velocity=30", lambda r: r.weights, {"velocity": 30.0}),
    ],
)
def test_an_override_changes_its_field_alone(override, read, expected):
    changed = apply_overrides(RECIPE, [override])
    assert read(changed) == expected
    assert type(read(changed)) is type(expected)
    before, after = to_dict(RECIPE), to_dict(changed)
    top = override.split("=")[0].split(".")[0]
    assert {k for k in before if before[k] != after[k]} <= {top}


def test_wrong_overrides_are_reported_together():
    with pytest.raises(ValueError) as raised:
        apply_overrides(RECIPE, ["optim.lrr=1", "modle.width=2", "model.width=wide"])
    message = str(raised.value)
    assert message.startswith("command line: ")
    assert "modle is unknown (did you mean model?)" in message
    assert "optim.lrr is unknown (did you mean lr?)" in message
    assert "model.width has to be a whole number, not 'wide'" in message
    with pytest.raises(ValueError) as raised:
        apply_overrides(RECIPE, ["fast", "optim.lr.x=1"])
    assert str(raised.value) == (
        "command line: fast should read field=value; optim.lr has no fields."
    )


def test_configs_and_precision_import_without_torch():
    code = (
        "import sys, duomotion.training.config, duomotion.precision\n"
        "assert not {'torch', 'numpy', 'pydantic'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
