"""Commands that measure: scores of models, the papers' tables, speed."""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

import duomotion
from duomotion.cli.files import writable_folder, write_report
from duomotion.defaults import DEFAULT_MODELS
from duomotion.editions import LATEST, of_edition
from duomotion.precision import Precision

if TYPE_CHECKING:
    from duomotion.evaluation.metrics.embedder import Embedder
    from duomotion.evaluation.report import Report
    from duomotion.models.base import MotionModel
    from duomotion.sampling.request import Sampling

Protocol = Literal[
    "open",
    "prompts",
    "actions",
    "long",
    "stretches",
    "solvers",
    "intergen",
    "intermask",
    "interx",
    "t2m",
]
Task = Literal["generation", "reconstruction", "reaction"]
GENERATION: tuple[Task, ...] = ("generation",)
WITHOUT_INTERVALS: tuple[Protocol, ...] = ("prompts", "actions", "long")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What `evaluate` takes.

    Attributes:
        protocol: "open": FID, R-precision and more on the test clips, next to real motion.
            "prompts": ten prompts with measured checks, reconstruction errors, copies of training
            clips. "long": visible seams between the windows of clips of 60 s, next to clips in one
            piece of models that make these. "stretches": scores of "open" over each 10 s of clips
            of 60 s. These four are for models of two people and of one person. "actions": forty
            prompts with measured checks, for what no recorded pair shows; for models of two people.
            "solvers": scores of "open" with each solver and number of steps; for diffusion models.
            Published protocols, next to the papers' numbers: "intergen" and "intermask" on
            InterHuman, "interx" on Inter-X, "t2m" on HumanML3D or KIT-ML.
        compare: Further models for the same table, and a plot of FID against time.
        all: Compare with all models that come with duomotion and make as many people.
        tasks: Of "open" and published protocols: generation from text, reconstruction of recorded
            motion by the tokenizer (in "open" beside generation anyway), reaction to one recorded
            person.
        edition: Of the open data, for all but "long" and published protocols: 2, or 1 to
            compare with scores of the first one; its data are data/open-pairs-1 and
            data/solo-open-1.
        data: Prepared data set. By default data/open-pairs, for models of one person
            data/solo-open; for published protocols the evaluator's: data/interhuman, data/interx,
            data/humanml3d or data/kit-ml.
        evaluator: Folder of an evaluator's checkpoint. Those for "open" and "actions" come with
            duomotion; published protocols need their own (see `duomotion import-official --help`).
        repeats: Clips per text: by default 5, in "stretches" 2, in published protocols 20. In
            "long" wordings of each prompt: 3.
        steps: Number of sampling iterations; by default as each model was tuned.
        guidance: Scale of classifier-free guidance; by default as each model was tuned.
        reaction_steps: Number of sampling iterations where one person is given; by default as each
            model was tuned.
        attempts: Times in all that an unsound clip is drawn; by default as each model was tuned.
        solver: What takes the steps of diffusion models: ddim, dpmsolver++, deis, unipc or lcm; by
            default as each model was tuned.
        avoid_collisions: Whether two people whose bodies are in each other are moved apart, which
            published protocols don't see.
        join_hands: Whether hands of two people that nearly hold each other are brought together,
            which published protocols don't see.
        collision_steps: The last steps of a diffusion model in which they are also led apart while
            it samples, 0 for none; by default as each model was tuned, in published protocols none.
        out: Folder for report.md, report.json, report.csv (of "prompts" and "long" prompts.md and
            long.md) and the generated clips.
        device: "cpu" or "cuda".
        precision: Of the networks; "auto" is bfloat16 where that is faster. The report says which.
    """

    protocol: Protocol = "open"
    compare: tuple[str, ...] = ()
    all: bool = False
    tasks: tuple[Task, ...] = GENERATION
    edition: Literal[1, 2] = LATEST
    data: Path | None = None
    evaluator: Path | None = None
    repeats: int | None = None
    steps: int | None = None
    guidance: float | None = None
    reaction_steps: int | None = None
    attempts: int | None = None
    solver: str | None = None
    avoid_collisions: bool = True
    join_hands: bool = True
    collision_steps: int | None = None
    out: Path = Path("out/evaluation")
    device: str = "cpu"
    precision: Precision = "auto"

    @property
    def sampling(self) -> "Sampling":
        """Raises ValueError where a setting is out of range."""
        from duomotion.sampling.request import Sampling

        return Sampling(
            steps=self.steps,
            guidance=self.guidance,
            reaction_steps=self.reaction_steps,
            attempts=self.attempts,
            solver=self.solver,
            avoid_collisions=None if self.avoid_collisions else False,
            join_hands=None if self.join_hands else False,
            collision_steps=self.collision_steps,
        )


def evaluate(
    model: str = DEFAULT_MODELS[2],
    /,
    *,
    options: Annotated[Options, tyro.conf.arg(name="")] = Options(),
) -> None:
    """Score a model: with an evaluator on held-out clips, or with checks of prompts.

    All protocols but "prompts" and "long" resume when run again, and run on several processes with
    torchrun.

    Args:
        model: Name of a model or folder of a checkpoint.
        options: What this command takes.
    """
    from duomotion.distributed import connect

    report = PROTOCOLS[options.protocol](_compared(model, options), options)
    if connect(options.device).is_first:
        write_report(options.out, report.files())


def _compared(model: str, options: Options) -> list[str]:
    """Names of all models that are asked for, each once."""
    from duomotion.loading import alike

    others = alike(model) if options.all else []
    return list(dict.fromkeys((model, *options.compare, *others)))


def _open(names: Sequence[str], options: Options) -> "Report":
    from duomotion.distributed import connect
    from duomotion.evaluation.open import report

    processes = connect(options.device)
    models = _load(names, options)
    embedder, data = _open_evaluator(models[0].num_people, options)
    found = report.run(
        models,
        data,
        embedder,
        folder=options.out / "clips",
        tasks=options.tasks,
        repeats=options.repeats,
        sampling=options.sampling,
        processes=processes,
    )
    if len(models) == 1 or not processes.is_first:
        return found
    costs = {model.name: report.cost(name) for model, name in zip(models, names, strict=True)}
    return replace(found, costs=costs)


def _solvers(names: Sequence[str], options: Options) -> "Report":
    from duomotion.distributed import connect
    from duomotion.evaluation.open import solver_report

    _refuse_tasks(options)
    _refuse_compare(options)
    if options.steps is not None or options.solver is not None:
        raise ValueError("--protocol solvers has its own solvers and steps")
    (model,) = _load(names, options)
    embedder, data = _open_evaluator(model.num_people, options)
    return solver_report.run(
        model,
        data,
        embedder,
        folder=options.out / "clips",
        repeats=options.repeats,
        sampling=options.sampling,
        processes=connect(options.device),
    )


def _open_evaluator(num_people: int, options: Options) -> "tuple[Embedder, Path]":
    """The evaluator of open data of so many people, and the prepared data that it measures."""
    from duomotion.loading import shipped_evaluator
    from duomotion.models.children import load_embedder

    shipped = shipped_evaluator(num_people, options.edition)
    embedder = load_embedder(options.evaluator or shipped, device=options.device)
    return embedder, options.data or Path("data") / of_edition(embedder.data, options.edition)


def _prompts(names: Sequence[str], options: Options) -> "Report":
    from duomotion.evaluation.open import prompt_report
    from duomotion.evaluation.open.opensets import OPEN_SETS, open_set_of

    _refuse_compare(options)
    _refuse_tasks(options)
    models = _load(names, options)
    name = open_set_of(models)
    repeats = OPEN_SETS[name].protocol.repeats if options.repeats is None else options.repeats
    data = options.data or Path("data") / of_edition(name, options.edition)
    return prompt_report.run(models[0], data, seeds=repeats, sampling=options.sampling)


def _actions(names: Sequence[str], options: Options) -> "Report":
    from duomotion.distributed import connect
    from duomotion.evaluation.open import action_report
    from duomotion.evaluation.open.opensets import PAIRS

    _refuse_tasks(options)
    models = _load(names, options)
    embedder, data = _open_evaluator(PAIRS.num_people, options)
    return action_report.run(
        models,
        data,
        embedder,
        folder=options.out / "clips",
        seeds=options.repeats or PAIRS.protocol.repeats,
        sampling=options.sampling,
        processes=connect(options.device),
    )


def _long(names: Sequence[str], options: Options) -> "Report":
    from duomotion.evaluation.open import long_report
    from duomotion.evaluation.open.opensets import OPEN_SETS, open_set_of

    _refuse_compare(options)
    _refuse_tasks(options)
    _refuse_edition(options)
    models = _load(names, options)
    prompts = OPEN_SETS[open_set_of(models)].prompts
    wordings = options.repeats or long_report.WORDINGS
    return long_report.run(models[0], prompts, wordings=wordings, sampling=options.sampling)


def _stretches(names: Sequence[str], options: Options) -> "Report":
    from duomotion.distributed import connect
    from duomotion.evaluation.open import stretch_report

    _refuse_tasks(options)
    models = _load(names, options)
    embedder, data = _open_evaluator(models[0].num_people, options)
    return stretch_report.run(
        models,
        data,
        embedder,
        folder=options.out / "clips",
        repeats=options.repeats or 2,
        sampling=options.sampling,
        processes=connect(options.device),
    )


def _published(names: Sequence[str], options: Options) -> "Report":
    from duomotion.data.testsets import test_sets_of
    from duomotion.distributed import connect
    from duomotion.evaluation.published import procedure
    from duomotion.models.children import load_embedder

    _refuse_edition(options)
    if options.evaluator is None:
        needed = next(iter(test_sets_of(options.protocol).values()))
        raise ValueError(
            f"--evaluator is missing: the protocol {options.protocol} needs the folder of "
            f"{needed.evaluator}, which `duomotion import-official {needed.importer}` makes"
        )
    models = dict(zip(names, _load(names, options), strict=True))
    processes = connect(options.device)
    embedder = load_embedder(options.evaluator, device=options.device)
    return procedure.run(
        models,
        options.data or Path("data") / embedder.data,
        embedder,
        options.protocol,
        folder=options.out / "clips",
        tasks=options.tasks,
        repeats=options.repeats,
        sampling=options.sampling,
        processes=processes,
    )


PROTOCOLS: Mapping[Protocol, Callable[[Sequence[str], Options], "Report"]] = {
    "open": _open,
    "prompts": _prompts,
    "actions": _actions,
    "long": _long,
    "stretches": _stretches,
    "solvers": _solvers,
    "intergen": _published,
    "intermask": _published,
    "interx": _published,
    "t2m": _published,
}


def _refuse_compare(options: Options) -> None:
    """Raises ValueError where a protocol of one model is given more."""
    if options.compare or options.all:
        asked = "--compare" if options.compare else "--all"
        raise ValueError(
            f"{asked} does not go with --protocol {options.protocol}; score them one by one"
        )


def _refuse_edition(options: Options) -> None:
    """Raises ValueError where a protocol that does not read the open data is given an edition."""
    if options.edition != LATEST:
        raise ValueError(
            f"--edition does not go with --protocol {options.protocol}, which does not read the "
            "open data"
        )


def _refuse_tasks(options: Options) -> None:
    """Raises ValueError where a protocol with its own tasks is given others."""
    if options.tasks != GENERATION:
        raise ValueError(
            f"--tasks does not go with --protocol {options.protocol}, which has its own"
        )


def _load(names: Sequence[str], options: Options) -> "list[MotionModel]":
    """The models, if all else can be had too, so that nothing is loaded in vain."""
    _ = options.sampling
    check_repeats(options.repeats, least=1 if options.protocol in WITHOUT_INTERVALS else 2)
    writable_folder(options.out)
    return [
        duomotion.load(name, device=options.device, precision=options.precision) for name in names
    ]


def check_repeats(repeats: int | None, least: int = 2) -> None:
    """Raises ValueError where there are fewer; a confidence interval needs two."""
    if repeats is not None and repeats < least:
        why = "" if least == 1 else " for confidence intervals"
        raise ValueError(f"--repeats has to be {least} or more{why}, not {repeats}")


def reproduce(
    table: str = "",
    /,
    checkpoint: tuple[str, ...] = (),
    data: Path | None = None,
    evaluator: Path | None = None,
    repeats: int | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    reaction_steps: int | None = None,
    solver: str | None = None,
    out: Path = Path("out/reproduce"),
    device: str = "cpu",
    precision: Precision = "auto",
) -> None:
    """Measure a paper's table again, for the rows with checkpoints; without a name, list tables.

    Args:
        table: As in intermask/table3.
        checkpoint: ROW=FOLDER for each row to be filled by a model of yours.
        data: Data set of the table, prepared.
        evaluator: Folder of its evaluator's checkpoint.
        repeats: Number of times that everything is generated; by default as published.
        steps: Number of sampling iterations; by default as in the table's paper, else as each model
            was tuned.
        guidance: Scale of classifier-free guidance; likewise.
        reaction_steps: Number of sampling iterations where one person is given; likewise.
        solver: What takes the steps of diffusion models; likewise.
        out: Folder for generated clips and TABLE.md.
        device: "cpu" or "cuda".
        precision: Of the networks; "auto" is bfloat16 where that is faster. TABLE.md says which.
    """
    from duomotion.distributed import connect
    from duomotion.evaluation.published import numbers, procedure
    from duomotion.evaluation.published import reproduce as tables
    from duomotion.models.children import load_embedder
    from duomotion.sampling.request import Sampling

    if not table:
        for each in numbers.published().values():
            print(f"{each.name:28} {each.title} ({each.source})")
        return
    check_repeats(repeats)
    chosen = numbers.find(table)
    folders = tables.checkpoints(chosen, checkpoint)
    if folders and (data is None or evaluator is None):
        raise ValueError("--checkpoint needs --data and --evaluator too, which measure it")
    if data is not None and not tables.measured_columns(chosen):
        raise ValueError(f"no number of {table} can be measured here; leave --data out")
    asked = Sampling(steps=steps, guidance=guidance, reaction_steps=reaction_steps, solver=solver)
    sampling, found = tables.sampling_of(chosen, asked), None
    if data is not None and evaluator is not None:
        writable_folder(out)
        processes = connect(device)
        found = procedure.run(
            tables.models(chosen, folders, device=device, precision=precision),
            data,
            load_embedder(evaluator, device=device),
            tables.protocol_of(chosen),
            folder=out / "clips",
            tasks=tables.tasks(chosen),
            repeats=repeats,
            sampling=sampling,
            processes=processes,
        )
        if not processes.is_first:
            return
    given = {"data": data is not None, "evaluator": evaluator is not None}
    text = tables.report(chosen, folders, found, sampling=sampling, **given)
    if found is not None:
        write_report(out, {f"{table.replace('/', '-')}.md": text})
    else:
        print(text)


def ablate(
    table: str,
    /,
    rows: tuple[str, ...] = (),
    share: float = 0.1,
    shares: tuple[str, ...] = (),
    data: Path | None = None,
    evaluator: Path | None = None,
    repeats: int = 2,
    trainings: Path = Path("runs/small"),
    out: Path = Path("out/ablations"),
    device: str | None = None,
) -> None:
    """Train the rows of a paper's table at a small size on the open data, and score them alike.

    Each row takes the open recipes with the row's changes and a share of their steps. Run again to
    go on; what is trained is not trained again.

    Args:
        table: As in ild/table2a, see `duomotion reproduce`.
        rows: Which of its rows; by default all that are trained here.
        share: Of the steps of the open recipes.
        shares: Other shares for some of them, as in ild/autoencoder-open=0.3.
        data: Prepared data set of the open benchmark; by default data/open-pairs.
        evaluator: Folder of its evaluator; by default the one that comes with duomotion.
        repeats: Clips per text.
        trainings: Folder of the trainings.
        out: Folder for TABLE.md and the generated clips.
        device: "cpu" or "cuda"; by default CUDA where it is available.
    """
    from duomotion.distributed import connect
    from duomotion.evaluation import ablations
    from duomotion.evaluation.published import numbers
    from duomotion.loading import shipped_evaluator
    from duomotion.models.children import load_embedder
    from duomotion.progress import training_bar

    check_repeats(repeats)
    chosen = numbers.find(table)
    taken = ablations.Shares.read(share, shares)
    known = ablations.small_rows(chosen, trainings / taken.folder, taken)
    if unknown := [name for name in rows if name not in known]:
        raise ValueError(f"{table} has no row {unknown[0]!r} here; it has {', '.join(known)}")
    wanted = {name: row for name, row in known.items() if not rows or name in rows}
    writable_folder(out)
    for training in (todo := ablations.pending(wanted.values())):
        print(f"training {todo.index(training) + 1} of {len(todo)}: {training.words}")
        with training_bar() as on_progress:
            training.run(on_progress, device)
    found_device = str(connect(device).device)
    embedder = load_embedder(evaluator or shipped_evaluator(), device=found_device)
    found = ablations.score(
        chosen,
        wanted,
        data or Path("data") / embedder.data,
        embedder,
        folder=out / "clips",
        shares=taken,
        repeats=repeats,
        device=found_device,
    )
    write_report(out, {f"{table.replace('/', '-')}.md": found.markdown()})


def bench(
    system: str = "intermask",
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
    """Time a system at the paper's size, next to its reference procedure; without text encoding.

    Args:
        system: Name of a system (see `duomotion models`); those of HumanML3D make clips of at most
            9.8 s. "scores" times the scoring of clips instead, on the open pairs in
            data/open-pairs, and reads no option.
        seconds: Lengths of clips.
        batch: Batch sizes.
        precision: Of matrix products; the reference procedure is always in float32.
        reference: Whether to run the reference procedure as well.
        repeats: Number of runs after the warm-up; their median is reported.
        profile: Print the operators that take the most time.
        start_up: Also time the open model in a new process, from import to the first clip.
        out: .json file for the numbers; beside it a .png of the last row where there is something
            to see, as of intermamba-scan.
        device: "cpu" or "cuda".
    """
    import json

    import torch

    from duomotion import bench as benchmark
    from duomotion.config import nearest
    from duomotion.distributed import find_device
    from duomotion.models import systems, timing
    from duomotion.storage import atomic_file

    if system == "scores":
        from duomotion.evaluation.open import speed

        print(speed.report(Path("data") / "open-pairs"))
        return
    if min(repeats, *batch) < 1 or not 0.2 <= min(seconds) <= max(seconds) <= 10:
        raise ValueError("repeats and batches have to be 1 or more, clips 0.2 to 10 s long")
    find_device(device)
    known = {name: make for each in systems().values() for name, make in each.benches.items()}
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
        first, memory = timing.start_up()
        name = DEFAULT_MODELS[2]
        print(f"{name}, import to first clip: {first:.1f} s, peak memory {memory:.2f} GB")
    if out is not None:
        with atomic_file(out) as path:
            numbers = benchmark.as_dict(rows, torch.device(device))
            path.write_text(json.dumps(numbers, indent=1), encoding="utf-8")
        if (picture := bench_of.picture(rows[-1])) is not None:
            with atomic_file(out.with_suffix(".png")) as path:
                path.write_bytes(picture)
