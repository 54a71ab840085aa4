"""The command line. Every command is one library call and what is printed around it."""

import os
import re
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from tyro.conf import Positional

import duomotion
from duomotion.precision import Precision
from duomotion.progress import console
from duomotion.signals import raised
from duomotion.streams import lasting_streams

if TYPE_CHECKING:
    from duomotion.models.base import MotionModel
    from duomotion.sampling.request import Sampling

Format = Literal["npz", "bvh", "glb", "mp4", "gif", "png", "html"]
FORMATS: tuple[Format, ...] = ("npz", "bvh", "glb", "mp4", "html")

DESCRIPTION = f"Text to the 3D motion of two interacting people (version {duomotion.__version__})."

app = tyro.extras.SubcommandApp()


@dataclass(frozen=True)
class Options:
    """What all commands that generate share.

    Attributes:
        seed: The same seed gives the same motion; try others for other takes.
        out: Folder for the files.
        formats: Which files to write.
        model: Name of a model (see `duomotion models`) or folder of a checkpoint.
        guidance: How closely the text is followed, 0 to 100; by default as the model was tuned.
        steps: Iterations, 1 to 1,000; by default as the model was tuned.
        device: "cpu" or "cuda".
    """

    seed: int = 0
    out: Path = Path("out")
    formats: tuple[Format, ...] = FORMATS
    model: str = "intermask-open"
    guidance: float | None = None
    steps: int | None = None
    device: str = "cpu"

    @property
    def sampling(self) -> "Sampling":
        """Raises ValueError where a setting is out of range."""
        from duomotion.sampling.request import Sampling

        return Sampling(steps=self.steps, guidance=self.guidance)


Shared = Annotated[Options, tyro.conf.arg(name="")]


@app.command
def generate(
    text: Positional[str] = "",
    /,
    partner: str = "",
    seconds: float | None = None,
    prompts: Path | None = None,
    *,
    options: Shared = Options(),
) -> None:
    """Two people doing what a sentence says, as files in a folder.

    Args:
        text: What happens, in English, as in "two people shake hands".
        partner: What the other person does, where the sentence is about one of the two alone;
            which of them is first in the files is left to the model.
        seconds: Length of the motion, up to a minute; by default as long as the text takes.
        prompts: A text file with a sentence a line, in place of one sentence.
        options: What all commands that generate share.
    """
    from tqdm import tqdm

    if prompts is not None and (text or partner):
        raise ValueError("give a sentence or --prompts, not both")
    texts = [text] if prompts is None else read_prompts(prompts)
    start = time.perf_counter()
    generator = load_model(options)
    loaded = time.perf_counter()
    texts = [generator.merge_prompts(text, partner)] if partner else texts
    clips = generator.generate_many(
        texts,
        seconds=seconds,
        seed=options.seed,
        sampling=options.sampling,
    )
    names: set[str] = set()
    for clip in tqdm(clips, total=len(texts), unit="clip", disable=len(texts) == 1):
        if len(texts) == 1:
            done = time.perf_counter()
            print(
                f"{clip.num_frames} frames in {done - loaded:.1f} s "
                f"(model loaded in {loaded - start:.1f} s)"
            )
        names.add(name := file_name(clip.caption, options.seed, names))
        save_all(clip, name, options)


def read_prompts(path: Path) -> list[str]:
    """The sentences of a file, one a line; empty lines and those that begin with # don't count.

    Raises:
        ValueError: a line is no usable prompt, or there is none.
    """
    from duomotion.text.prompt import check_prompt

    prompts = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not a text file in UTF-8") from None
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            prompts.append(check_prompt(line))
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
    if not prompts:
        raise ValueError(f"{path} holds no sentence; one a line is expected")
    return prompts


@app.command
def react(
    actor: Positional[Path],
    /,
    text: str = "",
    partner: str = "",
    person: Literal["A", "B"] = "A",
    *,
    options: Shared = Options(),
) -> None:
    """A partner for a given motion of one person.

    Args:
        actor: The given motion, .bvh or .npz.
        text: What happens between the two, or what the given person does; may be left out.
        partner: What the other person does, in addition to the text.
        person: Which of the people to react to, where the file holds two.
        options: What all commands that generate share.
    """
    given = duomotion.Interaction.load(actor)
    if given.num_people > 2:
        raise ValueError(f"{actor} holds {given.num_people} people; one or two are expected")
    if given.num_people == 2:
        given = given.person("AB".index(person))
    elif person == "B":
        raise ValueError(f"{actor} holds one person; there is no person B to react to")
    clip = load_model(options).react(
        given,
        text,
        partner=partner,
        seed=options.seed,
        sampling=options.sampling,
    )
    save_all(clip, file_name(f"{actor.stem} {clip.caption}", options.seed), options)


@app.command
def inpaint(
    clip: Positional[Path],
    /,
    unknown: str,
    text: str = "",
    person: Literal["A", "B", "both"] = "both",
    *,
    options: Shared = Options(),
) -> None:
    """Regenerate stretches of an interaction and keep the rest as it is.

    Args:
        clip: The given motion, .bvh or .npz, up to 10 s.
        unknown: Start and end of the stretch in seconds, as in 1.0:2.0; 1.0: is to the end. Several
            with commas, as in 0:1,3:4.
        text: What happens; may be left out.
        person: Whose motion is regenerated.
        options: What all commands that generate share.
    """
    given = duomotion.Interaction.load(clip)
    stretches = [parse_stretch(part, given.seconds) for part in unknown.split(",")]
    made = load_model(options).inpaint(
        given,
        text,
        unknown=stretches,
        person=None if person == "both" else "AB".index(person),
        seed=options.seed,
        sampling=options.sampling,
    )
    save_all(made, file_name(f"{clip.stem} {made.caption}", options.seed), options)


def parse_stretch(text: str, seconds: float) -> tuple[float, float]:
    """START:STOP in seconds; either may be left out.

    Raises:
        ValueError: it reads otherwise.
    """
    start, colon, stop = text.partition(":")
    try:
        if not colon:
            raise ValueError
        return float(start or 0), float(stop or seconds)
    except ValueError:
        raise ValueError(
            f"--unknown {text}: start and end in seconds are expected, as in 1.0:2.0 or 0:1,3:4"
        ) from None


@app.command
def extend(
    clip: Positional[Path],
    /,
    seconds: float,
    text: str = "",
    *,
    options: Shared = Options(),
) -> None:
    """Let an interaction go on.

    Args:
        clip: The given motion, .bvh or .npz.
        seconds: Length of the result, up to a minute.
        text: What happens from then on; may be left out.
        options: What all commands that generate share.
    """
    given = duomotion.Interaction.load(clip)
    made = load_model(options).extend(
        given,
        text,
        seconds=seconds,
        seed=options.seed,
        sampling=options.sampling,
    )
    save_all(made, file_name(f"{clip.stem} {made.caption}", options.seed), options)


@app.command
def view(clip: Positional[Path], /, out: Path | None = None) -> None:
    """Show a motion in the browser.

    Args:
        clip: .npz or .bvh.
        out: The page to write; next to the motion if left out.
    """
    import webbrowser

    page = out or clip.with_suffix(".html")
    if page.suffix.lower() != ".html":
        raise ValueError(f"--out {page}: the page's name has to end in .html")
    duomotion.Interaction.load(clip).save(page)
    print(page)
    webbrowser.open(page.resolve().as_uri())


@app.command
def convert(
    source: Positional[Path],
    target: Positional[Path],
    /,
    second: Path | None = None,
    scale: float = 1.0,
    up: Literal["auto", "y", "z"] = "auto",
    smpl: bool = False,
    split: bool = False,
) -> None:
    """Turn a motion file into another format; the suffixes choose.

    Args:
        source: .npz (ours or AMASS's), .bvh, or .amc with its .asf beside it.
        target: .npz, .smpl.npz (as AMASS has it, a file a person), .bvh, .glb, .mp4, .gif, .png (a
            strip of frames) or .html.
        second: The partner's file where the two people are in two: .bvh, .amc or AMASS's .npz.
        scale: Metres per unit of .bvh files, read or written; 0.01 for centimetres.
        up: Axis that points up in .bvh files that are read.
        smpl: Map the skeleton onto SMPL-22.
        split: Write one .bvh a person.
    """
    from duomotion.formats import asf, bvh, load, save
    from duomotion.formats import smpl as smpl_files
    from duomotion.motion.retarget import to_smpl22

    files = [source] if second is None else [source, second]
    if source.suffix.lower() == ".bvh":
        clip = bvh.read(files, scale=scale, up=up)
    elif source.suffix.lower() == ".amc":
        clip = asf.read(files)
    elif second is not None and smpl_files.is_smpl(source):
        clip = smpl_files.read(source, second)
    else:
        clip = load(source)
    if second is not None and clip.num_people != 2:
        raise ValueError(f"{source} and {second} hold {clip.num_people} people; two are needed")
    if smpl:
        clip = to_smpl22(clip)
    if target.suffix.lower() == ".bvh":
        written = bvh.write(clip, target, scale=scale, split=split)
    elif target.name.lower().endswith(".smpl.npz"):
        written = smpl_files.write(clip, target)
    else:
        save(clip, target)
        written = [target]
    print("\n".join(str(path) for path in written))


@app.command
def models() -> None:
    """List the models that come with duomotion."""
    import json

    from duomotion.loading import shipped

    for name, folder in shipped().items():
        provenance = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
        size = sum(file.stat().st_size for file in folder.rglob("*.safetensors")) / 1e6
        print(f"{name}  {size:.1f} MB  trained on {', '.join(provenance['data'])}")
        print(f"  card: {folder / 'README.md'}")


@app.command
def train(
    recipe: Positional[str],
    changes: Positional[tuple[str, ...]] = (),
    /,
    out: Path | None = None,
    device: str | None = None,
) -> None:
    """Train by a recipe; run again to go on where it stopped. With torchrun, on many GPUs.

    Args:
        recipe: Name of a recipe, as in intermask/tokenizer-open.
        changes: Fields to change, as in optim.lr=3e-4.
        out: Folder for checkpoints and logs; runs/RECIPE if left out.
        device: "cpu" or "cuda"; CUDA where there is one if left out.
    """
    from duomotion.config import apply_overrides
    from duomotion.loading import load_trainer
    from duomotion.models import find_recipe
    from duomotion.progress import training_bar

    chosen = apply_overrides(find_recipe(recipe), changes)
    folder = out or Path("runs") / recipe
    writable_folder(folder)
    trainer = load_trainer(chosen, folder, device=device)
    with training_bar() as on_progress:
        scores = trainer.run(on_progress)
    listing = ", ".join(f"{name} {value:.4g}" for name, value in scores.items())
    print(f"best: {listing}; checkpoints in {folder}")


@app.command
def pack(source: Positional[Path], target: Positional[Path], /) -> None:
    """Copy a trained checkpoint in half precision and without training state, ready to be shared.

    Args:
        source: Folder of a checkpoint, as in runs/intermask/generator-open/last.
        target: Folder to be made.
    """
    from duomotion.checkpoint import pack_checkpoint

    pack_checkpoint(source, target)
    size = sum(file.stat().st_size for file in target.rglob("*.safetensors")) / 1e6
    print(f"{target}: {size:.1f} MB")


@app.command
def import_official(
    system: Positional[
        Literal["intermask", "momask", "clip", "interclip", "interx-evaluator", "t2m-evaluator"]
    ],
    source: Positional[Path],
    /,
    out: Path,
    tokenizer: Path | None = None,
    statistics: Path | None = None,
    text_encoder: str | None = None,
    vocabulary: Path | None = None,
) -> None:
    """Turn a checkpoint that authors have released into one of ours.

    Args:
        system: "intermask"; "momask"; "clip": the text tower inside an InterGen checkpoint; or the
            evaluator of InterHuman, of Inter-X, or of HumanML3D and KIT-ML.
        source: Folder of a run with its opt.txt, for "intermask" or a .tar file; for "clip" and
            "interclip" a .ckpt file, for other evaluators their finest.tar.
        out: Folder to be made.
        tokenizer: The tokenizer's run, where it is not beside the generator's.
        statistics: Folder with the authors' mean and standard deviation, where it is elsewhere; for
            "t2m-evaluator" always.
        text_encoder: For "intermask" "clip" or clip:FOLDER as made with "clip", for "momask"
            "clip-vector" or clip-vector:FOLDER.
        vocabulary: For "clip" and "interclip": CLIP's own bpe_simple_vocab_16e6.txt.gz or a
            tokenizer's folder. For other evaluators: the folder glove/ of their code.
    """
    if system == "clip":
        from duomotion.text.official_clip import import_text_tower

        if vocabulary is None:
            raise ValueError("--vocabulary is missing: the checkpoint does not hold CLIP's words")
        print(f"{import_text_tower(source, vocabulary, out):,} parameters in {out}")
        return
    from duomotion.models import systems

    importers = {
        name: each for system in systems().values() for name, each in system.importers.items()
    }
    given = {
        "tokenizer": tokenizer,
        "statistics": statistics,
        "text_encoder": text_encoder,
        "vocabulary": vocabulary,
    }
    counts = importers[system](
        source, out=out, **{name: value for name, value in given.items() if value is not None}
    )
    for part, parameters in counts.items():
        print(f"{part}: {parameters:,} parameters")
    print(out)


@app.command
def evaluate(
    model: Positional[str] = "intermask-open",
    /,
    protocol: Literal["open", "prompts", "long", "intergen", "intermask", "interx", "t2m"] = "open",
    compare: tuple[str, ...] = (),
    tasks: tuple[Literal["generation", "reconstruction", "reaction"], ...] = ("generation",),
    data: Path | None = None,
    evaluator: Path | None = None,
    repeats: int | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    reaction_steps: int | None = None,
    out: Path = Path("out/evaluation"),
    device: str = "cpu",
    precision: Precision = "auto",
) -> None:
    """Score a model: on held-out clips by an evaluator, or by what ten prompts ask for.

    All but the protocols "prompts" and "long" go on where they stopped when run again, and run on
    several processes with torchrun.

    Args:
        model: Name of a model or folder of a checkpoint.
        protocol: "open": FID, R-precision and more on the test clips, beside real motion.
            "prompts": ten prompts with measured checks, reconstruction, copies. "long": whether it
            shows where the windows of clips of a minute are joined. These are there for models of
            two people and for models of one. Published numbers, beside those of the papers:
            "intergen" and "intermask" on InterHuman, "interx" on Inter-X, "t2m" on HumanML3D or
            KIT-ML.
        compare: More models for the same table, and a picture of FID against time.
        tasks: Of published protocols: motion from texts, recorded motion through the tokenizer and
            back, what the model makes of the partner of a recorded person.
        data: The prepared data set; data/open-pairs, for models of one person data/solo-open or,
            for published protocols, the evaluator's: data/interhuman, data/interx, data/humanml3d
            or data/kit-ml.
        evaluator: Folder of an evaluator's checkpoint. "open" has those that come along; published
            protocols need their own (see `duomotion import-official`).
        repeats: Clips to generate for each text; 5, in published protocols 20. "long" makes one.
        steps: Iterations; as each model was tuned if left out.
        guidance: How closely texts are followed; as each model was tuned if left out.
        reaction_steps: Iterations where one person is given; as each model was tuned if left out,
            for InterMask 10 as in its released code. Its paper says 12.
        out: Folder for report.md, report.json, report.csv and the generated clips.
        device: "cpu" or "cuda".
        precision: Of the networks; "auto" is bfloat16 where that is faster. The report says which.
    """
    from duomotion.data import testsets
    from duomotion.distributed import connect
    from duomotion.evaluation import tables
    from duomotion.evaluation.metrics.protocols import PUBLISHED
    from duomotion.evaluation.open import benchmark, long_report, prompt_report
    from duomotion.evaluation.open.opensets import OPEN_SETS, open_set_of
    from duomotion.evaluation.published import procedure
    from duomotion.loading import shipped_evaluator
    from duomotion.models.evaluator.embedding import load_embedder
    from duomotion.sampling.request import Sampling

    if protocol in PUBLISHED and evaluator is None:
        needed = next(iter(testsets.test_sets_of(protocol).values()))
        raise ValueError(
            f"--evaluator is missing: the protocol {protocol} needs the folder of "
            f"{needed.evaluator}, which `duomotion import-official {needed.importer}` makes"
        )
    if protocol in ("prompts", "long") and compare:
        raise ValueError(f"--compare does not go with --protocol {protocol}; score them one by one")
    sampling = Sampling(steps=steps, guidance=guidance, reaction_steps=reaction_steps)
    if protocol in ("prompts", "long") and str(sampling):
        raise ValueError(f"--protocol {protocol} takes models as they were tuned, not {sampling}")
    if protocol not in PUBLISHED and tasks != (procedure.GENERATION,):
        raise ValueError(f"--tasks does not go with --protocol {protocol}, which has its own")
    check_repeats(repeats)
    writable_folder(out)
    names = (model, *compare)
    models = [duomotion.load(name, device=device, precision=precision) for name in names]
    if protocol == "prompts":
        name = open_set_of(models)
        scored = prompt_report.evaluate(
            models[0],
            data or Path("data") / name,
            seeds=OPEN_SETS[name].protocol.repeats if repeats is None else repeats,
        )
        write_report(out, {"prompts.md": scored.markdown(), "prompts.json": scored.as_dict()})
        return
    if protocol == "long":
        seen = long_report.evaluate(models[0], OPEN_SETS[open_set_of(models)].prompts)
        write_report(out, {"long.md": seen.markdown(), "long.json": seen.as_dict()})
        return
    if evaluator is None:
        evaluator = shipped_evaluator(OPEN_SETS[open_set_of(models)].num_people)
    processes = connect(device)
    embedder = load_embedder(evaluator, device=device)
    data = data or Path("data") / embedder.data
    if protocol in PUBLISHED:
        found = procedure.run(
            dict(zip(names, models, strict=True)),
            data,
            embedder,
            protocol,
            folder=out / "clips",
            tasks=tasks,
            repeats=repeats,
            sampling=sampling,
            processes=processes,
        )
        text = tables.published_report(found, embedder.data)
    else:
        found = benchmark.run(
            models,
            data,
            embedder,
            folder=out / "clips",
            repeats=repeats,
            sampling=sampling,
            processes=processes,
        )
        text = tables.report(found)
    if processes.is_first:
        if compare and len(found.seconds) >= len(models):
            tables.plot(found, out / "fid-against-time.png")
        rows = tables.comma_separated(found.rows)
        write_report(out, {"report.md": text, "report.csv": rows, "report.json": found.as_dict()})


def write_report(folder: Path, texts: Mapping[str, str | dict]) -> None:
    """Write texts and what is to be JSON by file name, and print the first."""
    import json

    from duomotion.storage import atomic_file

    for name, content in texts.items():
        text = content if isinstance(content, str) else json.dumps(content, indent=1)
        with atomic_file(folder / name) as path:
            path.write_text(text, encoding="utf-8")
    print(next(iter(texts.values())))


@app.command
def reproduce(
    table: Positional[str] = "",
    /,
    checkpoint: tuple[str, ...] = (),
    data: Path | None = None,
    evaluator: Path | None = None,
    repeats: int | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    reaction_steps: int | None = None,
    out: Path = Path("out/reproduce"),
    device: str = "cpu",
    precision: Precision = "auto",
) -> None:
    """Measure a paper's table again, as far as checkpoints are there; without a name, list them.

    Args:
        table: As in intermask/table3.
        checkpoint: ROW=FOLDER for each row that a model of yours shall fill.
        data: The data set of the table, prepared.
        evaluator: Folder of its evaluator's checkpoint.
        repeats: Times that everything is generated; as published if left out.
        steps: Iterations; as the table's paper says or else as each model was tuned if left out.
        guidance: How closely texts are followed; likewise.
        reaction_steps: Iterations where one person is given; likewise.
        out: Folder for generated clips and TABLE.md.
        device: "cpu" or "cuda".
        precision: Of the networks; "auto" is bfloat16 where that is faster. TABLE.md says which.
    """
    from duomotion.distributed import connect
    from duomotion.evaluation.published import numbers as published
    from duomotion.evaluation.published import procedure
    from duomotion.evaluation.published import reproduce as again
    from duomotion.models.evaluator.embedding import load_embedder
    from duomotion.sampling.request import Sampling

    if not table:
        for each in published.published().values():
            print(f"{each.name:28} {each.title} ({each.source})")
        return
    check_repeats(repeats)
    chosen = published.find(table)
    folders = again.checkpoints(chosen, checkpoint)
    if folders and (data is None or evaluator is None):
        raise ValueError("--checkpoint needs --data and --evaluator too, which measure it")
    if data is not None and not again.measured_columns(chosen):
        raise ValueError(f"no number of {table} can be measured here; leave --data out")
    asked = Sampling(steps=steps, guidance=guidance, reaction_steps=reaction_steps)
    sampling, found = again.sampling_of(chosen, asked), None
    if data is not None and evaluator is not None:
        writable_folder(out)
        processes = connect(device)
        found = procedure.run(
            again.models(chosen, folders, device=device, precision=precision),
            data,
            load_embedder(evaluator, device=device),
            again.protocol_of(chosen),
            folder=out / "clips",
            tasks=again.tasks(chosen),
            repeats=repeats,
            sampling=sampling,
            processes=processes,
        )
        if not processes.is_first:
            return
    given = {"data": data is not None, "evaluator": evaluator is not None}
    text = again.report(chosen, folders, found, sampling=sampling, **given)
    if found is not None:
        write_report(out, {f"{table.replace('/', '-')}.md": text})
    else:
        print(text)


@app.command
def bench(
    system: Positional[str] = "intermask",
    /,
    seconds: tuple[float, ...] = (3.0, 10.0),
    batch: tuple[int, ...] = (1, 8),
    precision: Precision = "auto",
    reference: bool = True,
    repeats: int = 3,
    profile: bool = False,
    start_up: bool = False,
    out: Path | None = None,
    device: str = "cpu",
) -> None:
    """Time a system at the paper's size, next to its reference procedure; text encoding excluded.

    Args:
        system: InterMask, or MoMask on HumanML3D, whose longest clip is 9.8 s. "scores" times the
            scoring of clips instead, with the open pairs in data/open-pairs, and reads no option.
        seconds: Lengths of clips.
        batch: Numbers of clips at once.
        precision: Of matrix products; the reference procedure is always float32.
        reference: Whether to run the reference procedure as well.
        repeats: Runs after the one that warms up; their median counts.
        profile: Show what takes the time, operator by operator.
        start_up: Also time the open model in a fresh process, from import to the first clip.
        out: A .json file for the numbers.
        device: "cpu" or "cuda".
    """
    import json

    import torch

    from duomotion import bench as benchmark
    from duomotion.config import nearest
    from duomotion.distributed import find_device
    from duomotion.models import systems
    from duomotion.storage import atomic_file

    if system == "scores":
        from duomotion.evaluation.open import speed

        print(speed.report(Path("data") / "open-pairs"))
        return
    if min(repeats, *batch) < 1 or not 0.2 <= min(seconds) <= max(seconds) <= 10:
        raise ValueError("repeats and batches have to be 1 or more, clips 0.2 to 10 s long")
    find_device(device)
    known = {name: each.bench for name, each in systems().items() if each.bench is not None}
    if system not in known:
        raise ValueError(f"no bench is called {system!r}; {nearest(system, [*known, 'scores'])}")
    bench_of = known[system](precision=precision, device=device)
    rows = []
    for length in seconds:
        for size in batch:
            rows.append(bench_of.row(length, size, repeats=repeats, reference=reference))
            print(f"{length:g} s, batch {size}: {rows[-1].time:.3f} s", file=sys.stderr)
    print(benchmark.table(rows))
    if profile:
        print(bench_of.profile(seconds[0], batch[0]))
    if start_up:
        first, memory = benchmark.start_up()
        print(f"intermask-open, import to first clip: {first:.1f} s, peak memory {memory:.2f} GB")
    if out is not None:
        with atomic_file(out) as path:
            numbers = benchmark.as_dict(rows, torch.device(device))
            path.write_text(json.dumps(numbers, indent=1), encoding="utf-8")


data = tyro.extras.SubcommandApp()
app.command(data, name="data", help="Prepare and check data sets.")


@data.command(name="list")
def data_list() -> None:
    """List the data sets that can be prepared and checked."""
    from duomotion.data import DATASETS

    for name, dataset in DATASETS.items():
        print(f"{name:15} {dataset.description}")


@data.command(name="prepare")
def data_prepare(
    name: Positional[str],
    path: Positional[Path],
    /,
    amass: Path | None = None,
    body_model: Path | None = None,
    out: Path | None = None,
) -> None:
    """Turn a data set as it is published into the layout that training reads.

    Args:
        name: See `duomotion data list`.
        path: The folder with the published files.
        amass: For humanml3d: the folder with AMASS's data sets (SMPL+H G), named as in index.csv;
            PATH is HumanML3D's repository then, with texts.zip and humanact12.zip unpacked.
        body_model: With --amass: the folder with male/model.npz and female/model.npz of SMPL-H.
        out: Folder for the result; data/NAME if left out.
    """
    from duomotion.data import find

    folder = out or Path("data") / name
    dataset = find(name)
    if amass is None:
        if body_model is not None:
            raise ValueError("--body-model goes with --amass")
        problems = dataset.prepare(path, folder)
    else:
        if dataset.prepare_amass is None:
            raise ValueError(f"--amass goes with humanml3d; {name} is not made from AMASS")
        problems = dataset.prepare_amass(path, folder, amass, body_model)
    report_problems(problems)
    if amass is not None and body_model is None:
        print(
            "without --body-model everybody has the bones of an average adult: released evaluators "
            "expect other ones"
        )
    print(f"prepared in {folder}")


@data.command(name="check")
def data_check(name: Positional[str], path: Positional[Path], /) -> None:
    """Name every broken, missing or too short clip of a prepared data set.

    Args:
        name: See `duomotion data list`.
        path: The prepared folder.
    """
    from duomotion.data import find

    usable, problems = find(name).check(path)
    report_problems(problems)
    print(f"{usable} clips can be used, {len(problems)} can't")


@data.command(name="download")
def data_download(
    name: Positional[Literal["cmu-pairs"]],
    /,
    out: Path = Path("recordings/cmu-pairs"),
    site: str = "",
    pause: float = 1.0,
) -> None:
    """Fetch recordings of two people for those who have none; then prepare open-pairs from them.

    Run again to go on. Please keep to the terms of the database: mocap.cs.cmu.edu.

    Args:
        name: cmu-pairs: the everyday takes of the open pairs, from the CMU database (92 files).
        out: Folder for the files.
        site: Address of a mirror; the CMU site if left out.
        pause: Seconds between files, so that the site is not a burden to others.
    """
    from duomotion.data import download

    writable_folder(out)
    problems = download.cmu_pairs(out, site=site or download.CMU_SITE, pause=pause)
    report_problems(problems)
    if problems:
        raise ValueError(f"{out} is not complete: {len(problems)} files are missing or broken")
    print(f"{out}; next: duomotion data prepare open-pairs {out}")


def report_problems(problems: Sequence) -> None:
    for problem in problems:
        print(f"{problem.name}: {problem.reason}")


def load_model(options: Options) -> "MotionModel":
    """The model that is asked for, if all else can be had too, so that nothing is loaded in vain.

    Raises:
        ValueError: there is no such model, or a setting is out of range.
        OSError: the folder for the files can't be made or written.
    """
    from duomotion.sampling.request import check_seed

    check_seed(options.seed)
    _ = options.sampling
    writable_folder(options.out)
    return duomotion.load(options.model, device=options.device)


def save_all(clip: "duomotion.Interaction", name: str, options: Options) -> None:
    for suffix in options.formats:
        path = options.out / f"{name}.{suffix}"
        clip.save(path)
        print(path)


def file_name(text: str, seed: int, taken: Collection[str] = ()) -> str:
    """A short, safe file name without suffix that says what is in the file; none of `taken`."""
    words = "-".join(re.findall(r"[a-z0-9]+", text.lower()))[:50].rstrip("-") or "clip"
    names = (f"{words}{again}-{seed}" for again in chain([""], (f"-{n}" for n in count(2))))
    return next(name for name in names if name not in taken)


def check_repeats(repeats: int | None) -> None:
    """Raises ValueError where there are none."""
    if repeats is not None and repeats < 1:
        raise ValueError(f"--repeats has to be 1 or more, not {repeats}")


def writable_folder(folder: Path) -> None:
    """Make the folder, so that nothing is computed in vain.

    Raises:
        OSError: it can't be made or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(13, "can't be written", str(folder))


def main() -> None:
    """Entry point: one sentence and exit status 2 for whatever the user can put right."""
    with lasting_streams(), raised(), console():
        try:
            app.cli(prog="duomotion", description=DESCRIPTION)
            sys.stdout.flush()
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            fail(f"{where}{error.strerror or error}")
        except ValueError as error:
            fail(str(error))
        except KeyboardInterrupt:
            raise SystemExit(130) from None


def fail(sentence: str) -> None:
    print(f"duomotion: {sentence}", file=sys.stderr)
    raise SystemExit(2)
