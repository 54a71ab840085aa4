"""What comes in and goes out as JSON, with examples for the OpenAPI description."""

from collections.abc import Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from duomotion.body.constraints import Contact, RootPath
from duomotion.models.requests import MAX_SECONDS
from duomotion.motion.interaction import Interaction
from duomotion.sampling.request import MAX_GUIDANCE, MAX_SEED, MAX_STEPS, Sampling, sample_seeds
from duomotion.serving.jobs import State
from duomotion.serving.tasks import Call, GenerateInARow, Kind, Task
from duomotion.text.prompt import MAX_CHARACTERS

MAX_SAMPLES = 8
MAX_PROMPTS = 16
MAX_CONTACTS = 16
MAX_POINTS = 100
LONGEST_NAME = 100  # characters of a model, a motion or a joint

Text = Annotated[str, Field(max_length=MAX_CHARACTERS)]
Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]
Number = Annotated[float, Field(ge=-1e3, le=1e3, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, le=MAX_SECONDS, allow_inf_nan=False)]
Length = Annotated[float, Field(gt=0, le=MAX_SECONDS, allow_inf_nan=False)]
Person = Annotated[
    Literal["A", "B"],
    BeforeValidator(lambda value: {0: "A", 1: "B"}.get(value, value) if _is_int(value) else value),
    Field(description='"A" or "B", the first or second person; 0 and 1 are taken, too'),
]

FindMotion = Callable[[str], Interaction]
"""The stored motion of this name."""


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


class Body(BaseModel):
    """Refuses fields that it does not know."""

    model_config = ConfigDict(extra="forbid")


class PromptIn(Body):
    """One of several prompts in a row."""

    text: Annotated[Text, Field(min_length=1)]
    seconds: Length


class ContactIn(Body):
    """A joint of person A touches one of person B; left_hand and right_hand are palms."""

    first: Name
    second: Name
    start: Seconds
    end: Seconds

    def contact(self) -> Contact:
        return Contact((self.first, self.second), self.start, self.end)


class PathIn(Body):
    """Where a person's pelvis is over the floor: seconds, x and z in metres of each point."""

    person: Person
    points: Annotated[
        list[tuple[Seconds, Number, Number]], Field(min_length=1, max_length=MAX_POINTS)
    ]

    def path(self) -> RootPath:
        return RootPath("AB".index(self.person), tuple(self.points))


class MotionRef(Body):
    """A clip that was generated or uploaded."""

    id: Name


class RequestBody(Body):
    """What all requests for motion share."""

    model: Name | None = None
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] = 0
    guidance: Annotated[float | None, Field(ge=0, le=MAX_GUIDANCE, allow_inf_nan=False)] = None
    steps: Annotated[int | None, Field(ge=1, le=MAX_STEPS)] = None
    avoid_collisions: bool | None = None
    join_hands: bool | None = None

    def sampling(self, **more: Any) -> Sampling:
        """Raises ValueError where settings don't go together."""
        return Sampling(
            guidance=self.guidance,
            steps=self.steps,
            avoid_collisions=self.avoid_collisions,
            join_hands=self.join_hands,
            **more,
        )

    def call(self, method: Kind, **arguments: Any) -> Call:
        """A call with these settings; raises as `sampling`."""
        return Call(method, {**arguments, "seed": self.seed, "sampling": self.sampling()})


class GenerateBody(RequestBody):
    """Motion from a prompt, or from several in a row."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"text": "two people shake hands", "seconds": 3, "seed": 0},
                {
                    "text": "a person sits on a chair",
                    "partner": "a person pulls them up by the hand",
                    "samples": 2,
                },
                {
                    "prompts": [
                        {"text": "two people meet", "seconds": 2},
                        {"text": "two people shake hands", "seconds": 3},
                    ]
                },
                {
                    "text": "two people talk",
                    "seconds": 3,
                    "contacts": [
                        {"first": "right_hand", "second": "left_shoulder", "start": 1, "end": 2}
                    ],
                },
            ]
        }
    )

    text: Text = ""
    partner: Text = ""
    seconds: Length | None = None
    samples: Annotated[int, Field(ge=1, le=MAX_SAMPLES)] = 1
    prompts: Annotated[list[PromptIn], Field(max_length=MAX_PROMPTS)] | None = None
    contacts: Annotated[list[ContactIn], Field(max_length=MAX_CONTACTS)] | None = None
    paths: Annotated[list[PathIn], Field(max_length=2)] | None = None

    @model_validator(mode="after")
    def _one_way_of_asking(self) -> "GenerateBody":
        if self.prompts and (self.text or self.partner or self.seconds is not None):
            raise ValueError("give prompts, each with its seconds, or a text; not both")
        if not self.prompts and not self.text:
            raise ValueError("text is missing, such as 'two people shake hands'")
        if self.prompts and (self.contacts or self.paths):
            raise ValueError("contacts and paths can't be given with several prompts in a row")
        sample_seeds(self.seed, self.samples)
        return self

    def tasks(self, find_motion: FindMotion) -> list[Task]:
        """One for each sample, with the seeds from `seed` on."""
        sampling = self.sampling(
            contacts=tuple(each.contact() for each in self.contacts or ()) or None,
            paths=tuple(each.path() for each in self.paths or ()) or None,
        )
        seeds = sample_seeds(self.seed, self.samples)
        if self.prompts:
            prompts = tuple((each.text, each.seconds) for each in self.prompts)
            return [GenerateInARow(prompts=prompts, seed=s, sampling=sampling) for s in seeds]
        said = {"text": self.text, "partner": self.partner, "seconds": self.seconds}
        return [Call("generate", {**said, "seed": s, "sampling": sampling}) for s in seeds]


class ReactBody(RequestBody):
    """A partner for one person of a clip, who comes back as the first of two."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"motion": {"id": "0" * 32}, "person": "A", "text": "they shake hands"}]
        }
    )

    motion: MotionRef
    person: Person = "A"
    text: Text = ""

    def tasks(self, find_motion: FindMotion) -> list[Task]:
        clip, index = find_motion(self.motion.id), "AB".index(self.person)
        if index >= clip.num_people:
            raise ValueError("the motion holds one person; there is no person B to react to")
        return [self.call("react", actor=clip.person(index), text=self.text)]


class InpaintBody(RequestBody):
    """A stretch of a clip regenerated, of one person or of all."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"motion": {"id": "0" * 32}, "start": 1, "end": 2, "person": "B", "text": ""}
            ]
        }
    )

    motion: MotionRef
    start: Seconds
    end: Seconds
    person: Annotated[
        Person | None, Field(description="whose motion is regenerated; the other's is kept")
    ] = None
    text: Text = ""

    def tasks(self, find_motion: FindMotion) -> list[Task]:
        return [
            self.call(
                "inpaint",
                clip=find_motion(self.motion.id),
                unknown=(self.start, self.end),
                person=None if self.person is None else "AB".index(self.person),
                text=self.text,
            )
        ]


class ExtendBody(RequestBody):
    """A clip that goes on, until it is so many seconds long in all."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"motion": {"id": "0" * 32}, "seconds": 8, "text": "they walk away"}]
        }
    )

    motion: MotionRef
    seconds: Annotated[Length, Field(description="length of the result")]
    text: Text = ""

    def tasks(self, find_motion: FindMotion) -> list[Task]:
        clip = find_motion(self.motion.id)
        return [self.call("extend", clip=clip, seconds=self.seconds, text=self.text)]


class HealthOut(BaseModel):
    """ok, or why no job is taken: starting, draining, failed."""

    status: Literal["ok", "starting", "draining", "failed"]
    version: str


class KindOut(BaseModel):
    """A kind of action that a model has learned, and a prompt for it."""

    name: str
    example: str


class FeaturesOut(BaseModel):
    """What a model can do beside generating from a text."""

    partner_text: bool
    reaction: bool
    inpaint: bool
    contacts: bool
    paths: bool
    avoid_collisions: bool


class ModelOut(BaseModel):
    """A model: shortest and longest motion in seconds, and what it can do."""

    name: str
    system: str
    people: int
    seconds: tuple[float, float]
    default_seconds: float
    kinds: list[KindOut]
    features: FeaturesOut


class JobOut(BaseModel):
    """How far a request is, and the names of the clips once it is done."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "5d0c8d9f0f6a4f5e8d5f0c1b2a3e4d5c",
                    "kind": "generate",
                    "state": "done",
                    "position": None,
                    "progress": 1.0,
                    "motions": ["9b2c1f0e8a7d4c3b9b2c1f0e8a7d4c3b"],
                    "error": None,
                    "note": None,
                    "read_as": "handshake",
                }
            ]
        }
    )

    id: str
    kind: Kind
    state: State
    position: Annotated[int | None, Field(description="jobs before it, while it is queued")]
    progress: Annotated[float, Field(ge=0, le=1)]
    motions: list[str]
    error: str | None
    note: Annotated[
        str | None, Field(description="where a prompt is beyond what the model was trained on")
    ]
    read_as: Annotated[str | None, Field(description="the kind of action it was read as")]


class MotionOut(BaseModel):
    """A stored clip."""

    id: str
    people: int
    frames: int
    fps: float


class PlayerOut(MotionOut):
    """A clip as joint positions [person][frame][joint][x, y, z] in metres, Y up."""

    seconds: float
    caption: str
    names: list[str]
    colours: list[str]
    joints: list[str]
    parents: Annotated[list[int], Field(description="of each joint; -1 for the root")]
    positions: list[list[list[list[float]]]]


class ProblemOut(BaseModel):
    """What went wrong, in a sentence."""

    detail: str
