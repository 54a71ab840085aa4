"""Commands that make motion, show it and convert it."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import tyro

import duomotion
from duomotion.cli.files import file_name, say_replaced, writable_folder
from duomotion.cli.motions import GUESSED, UNCHANGED, InputOptions, OutputOptions, file_path
from duomotion.cli.scale import generate_lines
from duomotion.defaults import DEFAULT_MODELS
from duomotion.progress import share_bar

if TYPE_CHECKING:
    from duomotion.models.base import MotionModel
    from duomotion.models.progress import OnProgress
    from duomotion.sampling.request import Sampling

Format = Literal["npz", "bvh", "glb", "fbx", "mp4", "gif", "png", "html"]
FORMATS: tuple[Format, ...] = ("npz", "bvh", "glb", "mp4", "html")


@dataclass(frozen=True)
class Options:
    """What all commands that generate share.

    Attributes:
        seed: Seed of the random numbers; the same seed gives the same motion.
        samples: Number of takes, with the seeds SEED, SEED + 1 and so on; several come with a
            contact sheet, a picture of all of them.
        best_of: Draw so many takes and keep the best, or the best SAMPLES: those with the least
            sliding, overlap, acceleration and distance from the floor.
        quality: Say what is measured of each clip: foot sliding, overlap of bodies, the largest
            acceleration, and how far somebody is off the floor.
        out: Folder for the files.
        formats: File formats to write.
        model: Name of a model (see `duomotion models`) or folder of a checkpoint.
        guidance: Scale of classifier-free guidance, 0 to 100: how closely the text is followed. By
            default as the model was tuned.
        variety: How much takes differ, 0.1 to 10: 1 is as the model was tuned, 2 has more, 0.5
            less. For models of tokens.
        steps: Number of sampling iterations, 1 to 1,000; by default as the model was tuned.
        attempts: A clip in which a joint jumps or bodies pass through each other is drawn again, up
            to so many times in all, and the best is kept; by default as the model was tuned.
        solver: What takes the steps of a diffusion model: ddim, dpmsolver++, deis, unipc or lcm; by
            default as the model was tuned.
        resampling: How often a diffusion model of motion itself, not of latents, makes each step
            where motion is given, so that the rest comes to fit it; by default as the model was
            tuned.
        avoid_collisions: Whether two people whose bodies are in each other are moved apart.
        join_hands: Whether hands of two people that nearly hold each other are brought together.
        collision_steps: The last steps of a diffusion model in which they are also led apart while
            it samples, 0 for none; by default as the model was tuned.
        contact: A touch to lead the motion to, as in "A.right_hand B.left_shoulder 1.0:2.0": joints
            of both people, and when in seconds; several may be given.
        path: A path over the floor for a person's pelvis, as in "B 0:1.5,0 2:0.5,0.8": x,z in
            metres at times in seconds; A starts at 0,0 and faces +z. For diffusion models.
        body_model: The bodies that diffusion models keep apart while they sample: "capsules", or
            the file SMPL_NEUTRAL.npz where VolumetricSMPL is installed.
        device: "cpu" or "cuda".
        output: How files of motion are written.
    """

    seed: int = 0
    samples: int = 1
    best_of: int | None = None
    quality: bool = False
    out: Path = Path("out")
    formats: tuple[Format, ...] = FORMATS
    model: str = DEFAULT_MODELS[2]
    guidance: float | None = None
    variety: float | None = None
    steps: int | None = None
    attempts: int | None = None
    solver: str | None = None
    resampling: int | None = None
    avoid_collisions: bool = True
    join_hands: bool = True
    collision_steps: int | None = None
    contact: tuple[str, ...] = ()
    path: tuple[str, ...] = ()
    body_model: str | None = None
    device: str = "cpu"
    output: OutputOptions = UNCHANGED

    @property
    def sampling(self) -> "Sampling":
        """Raises ValueError where a setting is out of range or reads otherwise."""
        from duomotion.body.constraints import Contact, RootPath
        from duomotion.sampling.request import Sampling

        return Sampling(
            steps=self.steps,
            guidance=self.guidance,
            variety=self.variety,
            attempts=self.attempts,
            solver=self.solver,
            resampling=self.resampling,
            avoid_collisions=None if self.avoid_collisions else False,
            join_hands=None if self.join_hands else False,
            collision_steps=self.collision_steps,
            contacts=tuple(map(Contact.parse, self.contact)) or None,
            paths=tuple(map(RootPath.parse, self.path)) or None,
            body_model=self.body_model,
        )

    @property
    def seeds(self) -> range:
        """Of all takes that are drawn.

        Raises:
            ValueError: there are none or too many, or fewer than are to be kept.
        """
        from duomotion.sampling.request import sample_seeds

        if self.best_of is not None and self.best_of < self.samples:
            raise ValueError(
                f"--best-of {self.best_of} draws fewer takes than the {self.samples} of --samples"
            )
        sample_seeds(self.seed, self.samples)
        return sample_seeds(self.seed, self.best_of or self.samples)

    @property
    def not_usual(self) -> list[str]:
        """What a file's name says of the model and its settings."""
        from duomotion.loading import checkpoint_name

        found = []
        if self.model != DEFAULT_MODELS[2]:
            found.append(checkpoint_name(self.model))
        for name, value in self.sampling.given().items():
            if isinstance(value, bool):
                found.append(name if value else f"no-{name}")
            elif isinstance(value, tuple):
                found.append(name)
            else:
                found.append(f"{name}{value:g}" if isinstance(value, float) else f"{name}{value}")
        return found


Shared = Annotated[Options, tyro.conf.arg(name="")]


def generate(
    text: str = "",
    /,
    partner: str = "",
    seconds: float | None = None,
    prompts: Path | None = None,
    *,
    one_piece: bool = False,
    processes: int | None = None,
    ray: tuple[str, ...] | None = None,
    options: Shared = Options(),
) -> None:
    """Generate the motion of two people, or of one, from a sentence.

    Args:
        text: What happens, in English, as in "two people shake hands".
        partner: What the other person does, where the sentence describes only one of the two. Which
            of them comes first in the files is up to the model.
        seconds: Length of the motion, at most 60; by default estimated from the text.
        prompts: Text file with one sentence per line, in place of one sentence; or .jsonl with an
            object per line, up to millions, whose clips go into shards.
        one_piece: Make long motion at once, not window by window; for models that no window binds.
        processes: For prompts in .jsonl: processes that generate, each with a model; by default one
            per core of this machine, or per GPU with --device cuda.
        ray: For prompts in .jsonl: generate with Ray, on the cluster at this address, or on this
            machine where none is given.
        options: What all commands that generate share.
    """
    if prompts is not None and (text or partner):
        raise ValueError("give a sentence or --prompts, not both")
    is_many = prompts is not None and prompts.suffix.lower() == ".jsonl"
    if one_piece and (seconds is None or is_many):
        raise ValueError("--one-piece goes with --seconds, and not with prompts in .jsonl")
    if prompts is not None and is_many:
        generate_lines(prompts, options, seconds=seconds, processes=processes, ray=ray)
        return
    if processes is not None or ray is not None:
        raise ValueError("--processes and --ray are for --prompts FILE.jsonl")
    from duomotion.models.remarks import other_people
    from duomotion.text.prompt import check_prompt

    if prompts is None and not partner:
        check_prompt(text)
    texts = [text] if prompts is None else read_prompts(prompts)

    start = time.perf_counter()
    model = load_model(options)
    if one_piece and seconds is not None:
        model.in_one_piece(round(seconds * model.fps))
    loaded = time.perf_counter()
    texts = [model.merge_prompts(text, partner)] if partner else texts
    drawn = len(options.seeds)
    with generation_bar() as callback:
        clips = model.generate_many(
            texts,
            seconds=seconds,
            num_samples=drawn,
            seed=options.seed,
            sampling=options.sampling,
            callback=callback,
        )
        for _ in texts:
            takes = list(islice(clips, drawn))
            if len(texts) == drawn == 1:
                print(
                    f"{takes[0].num_frames} frames in {time.perf_counter() - loaded:.1f} s "
                    f"(model loaded in {loaded - start:.1f} s)"
                )
            if (note := other_people(takes[0], options.model)) is not None:
                print(note)
            settings = [] if seconds is None else [f"{seconds:g}s"]
            save_takes(takes, takes[0].caption, options, settings)


def draw_takes(
    options: Options, make: Callable[[int, "OnProgress | None"], "duomotion.Interaction"]
) -> "list[duomotion.Interaction]":
    """What `make` makes of each seed, with one bar for all of them."""
    from duomotion.models.progress import of_clips

    seeds = options.seeds
    with generation_bar() as callback:
        return [
            make(seed, of_clips(callback, index, 1, len(seeds))) for index, seed in enumerate(seeds)
        ]


@contextmanager
def generation_bar() -> Iterator["OnProgress"]:
    """Yields what draws how far a clip is."""
    with share_bar("generating") as draw:
        yield lambda progress: draw(progress.share)


def read_prompts(path: Path) -> list[str]:
    """The sentences of a file, one per line; empty lines and those that begin with # don't count.

    Raises:
        ValueError: a line is no usable prompt, or there is none.
    """
    from duomotion.reading import read_text
    from duomotion.text.prompt import check_prompt

    prompts = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line.lstrip().startswith("{"):
            raise ValueError(
                f"{path}, line {number} is JSON, not a sentence; the name of a file with an object "
                "per line has to end in .jsonl"
            )
        try:
            prompts.append(check_prompt(line))
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
    if not prompts:
        raise ValueError(f"{path} holds no sentence; one per line is expected")
    return prompts


def react(
    actor: Path,
    /,
    text: str = "",
    partner: str = "",
    person: Literal["A", "B"] = "A",
    *,
    reading: InputOptions = GUESSED,
    options: Shared = Options(),
) -> None:
    """Generate a partner for the given motion of one person.

    Args:
        actor: The given motion, in any format that `convert` reads.
        text: What happens between the two, or what the given person does; optional.
        partner: What the other person does, in addition to the text or alone.
        person: Which person to react to, where the file holds two.
        reading: How a file of motion is read.
        options: What all commands that generate share.
    """
    given = reading.read(actor)
    if given.num_people > 2:
        raise ValueError(f"{actor} holds {given.num_people} people; one or two are expected")
    if given.num_people == 2:
        given = given.person("AB".index(person))
    elif person == "B":
        raise ValueError(f"{actor} holds one person; there is no person B to react to")
    model = load_model(options)
    takes = draw_takes(
        options,
        lambda seed, callback: model.react(
            given,
            text,
            partner=partner,
            seed=seed,
            sampling=options.sampling,
            callback=callback,
        ),
    )
    save_takes(takes, f"{file_path(actor).stem} react {takes[0].caption}", options)


def inpaint(
    clip: Path,
    /,
    unknown: str,
    text: str = "",
    person: Literal["A", "B", "both"] = "both",
    *,
    reading: InputOptions = GUESSED,
    options: Shared = Options(),
) -> None:
    """Regenerate a stretch of an interaction, or several, and keep the rest.

    Args:
        clip: The given motion, in any format that `convert` reads.
        unknown: Start and end of the stretch in seconds, as in 1.0:2.0; 1.0: goes to the end.
            Several are separated by commas, as in 0:1,3:4.
        text: What happens; optional.
        person: Whose motion is regenerated.
        reading: How a file of motion is read.
        options: What all commands that generate share.
    """
    given = reading.read(clip)
    stretches = [parse_stretch(part, given.seconds) for part in unknown.split(",")]
    model = load_model(options)
    takes = draw_takes(
        options,
        lambda seed, callback: model.inpaint(
            given,
            text,
            unknown=stretches,
            person=None if person == "both" else "AB".index(person),
            seed=seed,
            sampling=options.sampling,
            callback=callback,
        ),
    )
    save_takes(takes, f"{file_path(clip).stem} inpaint {takes[0].caption}", options)


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


def extend(
    clip: Path,
    /,
    seconds: float,
    text: str = "",
    *,
    reading: InputOptions = GUESSED,
    options: Shared = Options(),
) -> None:
    """Extend an interaction.

    Args:
        clip: The given motion, in any format that `convert` reads.
        seconds: Length of the result, at most 60.
        text: What happens after the given motion; optional.
        reading: How a file of motion is read.
        options: What all commands that generate share.
    """
    given = reading.read(clip)
    model = load_model(options)
    takes = draw_takes(
        options,
        lambda seed, callback: model.extend(
            given,
            text,
            seconds=seconds,
            seed=seed,
            sampling=options.sampling,
            callback=callback,
        ),
    )
    save_takes(
        takes, f"{file_path(clip).stem} extend {takes[0].caption}", options, [f"{seconds:g}s"]
    )


def trim(source: Path, target: Path, /, *, reading: InputOptions = GUESSED) -> None:
    """Keep a stretch of a motion, from --start to --end.

    Args:
        source: The motion, in any format that `convert` reads.
        target: The file to write, in any format that `convert` writes.
        reading: How a file of motion is read.
    """
    if target.exists():
        raise ValueError(f"{target} is there already; choose another name")
    kept = reading.read(source)
    kept.save(target)
    print(f"{target}: {kept.num_frames} frames, {kept.seconds:g} s")


def view(clip: Path, /, out: Path | None = None, *, reading: InputOptions = GUESSED) -> None:
    """Show a motion in the browser.

    Args:
        clip: The motion, in any format that `convert` reads.
        out: The .html file to write; by default next to the motion.
        reading: How a file of motion is read.
    """
    import webbrowser

    page = out or file_path(clip).with_suffix(".html")
    if page.suffix.lower() != ".html":
        raise ValueError(f"--out {page}: the page's name has to end in .html")
    shown = reading.read(clip)
    say_replaced(page)
    shown.save(page)
    print(page)
    webbrowser.open(page.resolve().as_uri())


def convert(
    source: Path,
    target: Path,
    /,
    smpl: bool = False,
    *,
    reading: InputOptions = GUESSED,
    output: OutputOptions = UNCHANGED,
) -> None:
    """Convert a motion file to another format, given by the suffix.

    Args:
        source: .npz (ours or AMASS's), .bvh, .glb, .fbx, .amc with its .asf beside it, or a clip
            of a shard, as in out/clips-00000.safetensors:17 or out:17.
        target: .npz, .smpl.npz (AMASS's format, one file per person), .bvh, .glb, .fbx, .mp4, .gif,
            .png (a strip of frames) or .html; a file of this name is replaced.
        smpl: Retarget to the SMPL-22 skeleton.
        reading: How a file of motion is read.
        output: How files of motion are written.
    """
    from duomotion.motion.retarget import to_smpl22

    output.check()
    if (output.split or output.unit != "m") and target.suffix.lower() != ".bvh":
        raise ValueError(f"{target}: --unit and --split are for .bvh files")
    clip = reading.read(source)
    if smpl:
        clip = to_smpl22(clip)
    clip = output.finished(clip)
    say_replaced(target)
    written = output.write(clip, target)
    print("\n".join(str(path) for path in written))


def load_model(options: Options) -> "MotionModel":
    """The model that is asked for, if all else can be had too, so that nothing is loaded in vain.

    Raises:
        ValueError: there is no such model, or a setting is out of range.
        OSError: the folder for the files can't be made or written.
    """
    from duomotion.loading import system_of
    from duomotion.sampling.request import check_seed

    check_seed(options.seed)
    _ = options.seeds
    if not options.formats:
        raise ValueError(f"--formats needs one or more of {', '.join(get_args(Format))}")
    _ = options.sampling  # raises what is out of range before the model is loaded
    options.output.check()
    system_of(options.model)
    writable_folder(options.out)
    return duomotion.load(options.model, device=options.device)


def save_takes(
    takes: "Sequence[duomotion.Interaction]",
    text: str,
    options: Options,
    settings: Sequence[str] = (),
) -> None:
    """Write the takes of all seeds, or the best of them, and a picture of them where they are more.

    Args:
        text: what happens, and what it was made of, for the files' names.
        settings: what else is not as usual.

    Raises:
        ValueError: the best are asked for, and they are of a skeleton that is not measured.
    """
    kept = dict(zip(options.seeds, takes, strict=True))
    if options.best_of is not None:
        flaws = {seed: clip.quality.flaw for seed, clip in kept.items() if clip.quality is not None}
        if len(flaws) < len(kept):
            raise ValueError(f"--best-of: the quality of {takes[0]!r} can't be measured")
        best = sorted(kept, key=lambda seed: flaws[seed])[: options.samples]
        kept = {seed: kept[seed] for seed in best}
        seeds = ", ".join(f"{seed} (flaw {flaws[seed]:.2f})" for seed in best)
        print(f"best of {len(flaws)}: seed {seeds}; the others up to {max(flaws.values()):.2f}")
    settings = [*options.not_usual, *settings]
    for index, (seed, clip) in enumerate(kept.items()):
        name = file_name(options.out, text, seed, settings)
        save_all(clip, name, options, is_first=not index)
    if len(kept) > 1:
        from duomotion.formats import sheet

        name = file_name(options.out, text, options.seed, [*settings, f"{len(kept)}takes"])
        labelled = [
            clip.with_caption(f"seed {seed}: {clip.caption}") for seed, clip in kept.items()
        ]
        sheet.write(labelled, path := options.out / f"{name}.png")
        print(path)


def save_all(
    clip: "duomotion.Interaction", name: str, options: Options, *, is_first: bool = True
) -> None:
    """Write the files; of the first take, say what the model has read the caption as."""
    from duomotion.models.remarks import composed_action, unknown_action

    if clip.reading is not None and is_first:
        print(f'read as "{clip.reading.kind}" ({clip.reading.score:.2f})')
        if (note := unknown_action(clip)) is not None:
            print(f"{note}; `duomotion models {options.model}` lists what was")
        if (note := composed_action(clip)) is not None:
            print(note)
    if options.quality:
        print(clip.quality or "the quality of this skeleton is not measured")
    clip = options.output.finished(clip)
    for suffix in options.formats:
        for path in options.output.write(clip, options.out / f"{name}.{suffix}"):
            print(path)
