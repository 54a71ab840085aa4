"""The HTTP interface of an engine."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import APIKeyCookie, APIKeyHeader
from fastapi.sse import EventSourceResponse, ServerSentEvent
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.concurrency import run_in_threadpool

import duomotion
from duomotion.models.base import DEFAULT_SECONDS
from duomotion.models.requests import MAX_SECONDS
from duomotion.names import slug
from duomotion.serving import schemas
from duomotion.serving.engine import Engine, QueueFullError, UnavailableError
from duomotion.serving.guards import BodyLimits, CountRequests
from duomotion.serving.jobs import Job
from duomotion.serving.motions import (
    MEDIA_TYPES,
    FileFormat,
    StoredMotion,
    player_data,
    read_upload,
    summary,
    to_file,
)
from duomotion.serving.tasks import Description, Kind
from duomotion.studio import ASSETS

LARGEST_JSON = 200_000  # bytes of a request
FORM_BYTES = 10_000  # of a form beside the file in it
AT_ONCE = 2  # uploads that are read and files that are written at the same time
DISCONNECT_SECONDS = 0.5  # between two looks whether a client that waits is still there

Wait = Annotated[
    bool, Query(description="answer with the finished job; stop its work if the client hangs up")
]
AnyBody = schemas.GenerateBody | schemas.ReactBody | schemas.InpaintBody | schemas.ExtendBody


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Statuses of problems, for the description of an operation."""
    return {status: {"model": schemas.ProblemOut} for status in statuses}


# Of an operation whose answers are not JSON, and whose problems are.
PROBLEM_CONTENT = {"application/json": {"schema": {"$ref": "#/components/schemas/ProblemOut"}}}

ANSWERS: dict[str, Any] = {
    "status_code": 202,
    "responses": {
        200: {"model": schemas.JobOut, "description": "The finished job, with wait=true"},
        **problems(400, 404, 408, 409, 413, 422, 429, 500, 503),
    },
}


async def get_engine(request: Request) -> Engine:
    return request.app.state.engine


TheEngine = Annotated[Engine, Depends(get_engine)]


async def find_job(job_id: str, engine: TheEngine) -> Job:
    job = engine.jobs.get(job_id)
    if job is None:
        raise HTTPException(404, "there is no such job, or it ended long ago")
    return job


async def find_motion(motion_id: str, engine: TheEngine) -> StoredMotion:
    return _stored(engine, motion_id)


FoundJob = Annotated[Job, Depends(find_job)]
FoundMotion = Annotated[StoredMotion, Depends(find_motion)]

service = APIRouter(tags=["service"])
generation = APIRouter(tags=["motion"])
jobs = APIRouter(tags=["jobs"])
motions = APIRouter(tags=["stored motion"])


def create_app(engine: Engine, *, api_key: str | None = None) -> FastAPI:
    """The service.

    Args:
        engine: does the work; its owner starts and stops it.
        api_key: that clients have to send as X-API-Key; None: anybody may ask.
    """
    app = FastAPI(
        title="duomotion",
        version=duomotion.__version__,
        summary="Text to the 3D motion of two interacting people.",
        # Their pages load scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
    )
    app.state.engine = engine
    app.state.turns = asyncio.Semaphore(AT_ONCE)
    app.add_exception_handler(RequestValidationError, _refuse_values)
    app.add_exception_handler(QueueFullError, _refuse_full)
    app.add_exception_handler(UnavailableError, _refuse_unavailable)
    app.add_middleware(
        BodyLimits,
        json=LARGEST_JSON,
        upload=engine.limits.upload + FORM_BYTES,
        uploads=("/api/motions",),
    )
    app.add_middleware(CountRequests, counter=engine.metrics.requests)
    app.get("/api/health", tags=["service"], responses={503: {"model": schemas.HealthOut}})(health)
    checked = []
    if api_key is not None:
        checked = [Depends(_key_check(api_key))]
        app.post("/api/key", tags=["service"], status_code=204, responses=problems(401))(
            _unlocking(api_key)
        )
    for router in (service, generation, jobs, motions):
        app.include_router(router, dependencies=checked, responses=problems(401))
    app.mount("/", StaticFiles(directory=str(ASSETS), html=True))
    return app


async def health(engine: TheEngine, response: Response) -> schemas.HealthOut:
    """Whether the service takes jobs."""
    if engine.status != "ok":
        response.status_code = 503
    return schemas.HealthOut(status=engine.status, version=duomotion.__version__)


@service.get("/api/models")
async def models(engine: TheEngine) -> list[schemas.ModelOut]:
    """The models and what they can do; the one that is taken where none is named first."""
    return [_model(each) for each in engine.models.values()]


@service.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(engine: TheEngine) -> Response:
    """Counters for Prometheus."""
    return Response(generate_latest(engine.metrics.registry), media_type=CONTENT_TYPE_LATEST)


@generation.post("/api/generate", **ANSWERS)
async def generate(
    body: schemas.GenerateBody, request: Request, response: Response, wait: Wait = False
) -> schemas.JobOut:
    """Generate motion from a prompt, several variants of it, or several prompts in a row."""
    return await _answer("generate", body, wait, request, response)


@generation.post("/api/react", **ANSWERS)
async def react(
    body: schemas.ReactBody, request: Request, response: Response, wait: Wait = False
) -> schemas.JobOut:
    """Generate a partner for one person of a stored clip."""
    return await _answer("react", body, wait, request, response)


@generation.post("/api/inpaint", **ANSWERS)
async def inpaint(
    body: schemas.InpaintBody, request: Request, response: Response, wait: Wait = False
) -> schemas.JobOut:
    """Regenerate a stretch of a stored clip and keep the rest."""
    return await _answer("inpaint", body, wait, request, response)


@generation.post("/api/extend", **ANSWERS)
async def extend(
    body: schemas.ExtendBody, request: Request, response: Response, wait: Wait = False
) -> schemas.JobOut:
    """Extend a stored clip."""
    return await _answer("extend", body, wait, request, response)


@jobs.get("/api/jobs/{job_id}", responses=problems(404))
async def job(found: FoundJob, engine: TheEngine) -> schemas.JobOut:
    """How far a job is."""
    return _job_out(engine, found)


@jobs.delete("/api/jobs/{job_id}", responses=problems(404))
async def cancel(found: FoundJob, engine: TheEngine) -> schemas.JobOut:
    """Cancel a job; one that has ended stays as it is."""
    engine.cancel(found)
    return _job_out(engine, found)


@jobs.get(
    "/api/jobs/{job_id}/events",
    response_class=EventSourceResponse,
    responses={404: {"description": "Not Found", "content": PROBLEM_CONTENT}},
)
async def events(found: FoundJob, engine: TheEngine) -> AsyncIterator[ServerSentEvent]:
    """Server-sent events with the job as data: `progress`, in the end `done` or `failed`."""
    while not found.has_ended:
        changed = found.changed  # more may happen before a slow reader has taken the event
        yield ServerSentEvent(event="progress", data=_job_out(engine, found))
        await changed.wait()
    name = "done" if found.state == "done" else "failed"
    yield ServerSentEvent(event=name, data=_job_out(engine, found))


@motions.post("/api/motions", status_code=201, responses=problems(400, 408, 413, 422))
async def upload(file: UploadFile, engine: TheEngine, request: Request) -> schemas.MotionOut:
    """Store the motion in a BVH or npz file, of one person or two."""
    content, limit = await file.read(), engine.limits.upload
    if len(content) > limit:
        raise HTTPException(413, f"the file has more than {limit:,} bytes")
    async with request.app.state.turns:
        clip = await _refusing(read_upload, content)
    return schemas.MotionOut(**summary(engine.motions.add(clip)))


@motions.get(
    "/api/motions/{motion_id}.{suffix}",
    response_class=Response,
    responses={
        200: {"content": {kind.split(";")[0]: {} for kind in MEDIA_TYPES.values()}},
        **problems(404, 422),
    },
)
async def download(found: FoundMotion, suffix: FileFormat, request: Request) -> Response:
    """A stored clip as a file."""
    async with request.app.state.turns:
        content = await _refusing(to_file, found.clip, suffix)
    name = f"{slug(found.clip.caption)}-{found.id[:8]}.{suffix}"
    return Response(
        content,
        media_type=MEDIA_TYPES[suffix],
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


@motions.get(
    "/api/motions/{motion_id}",
    response_class=Response,
    responses={200: {"model": schemas.PlayerOut}, **problems(404)},
)
async def player(found: FoundMotion, request: Request) -> Response:
    """A stored clip as joint positions, for a player."""
    async with request.app.state.turns:
        text = await run_in_threadpool(lambda: json.dumps(player_data(found)))
    return Response(text, media_type="application/json")


async def _answer(
    kind: Kind, body: AnyBody, wait: bool, request: Request, response: Response
) -> schemas.JobOut:
    engine = request.app.state.engine
    job = engine.submit(await _job(engine, kind, body))
    if wait:
        await _wait(engine, job, request)
        response.status_code = 200
    return _job_out(engine, job)


async def _job(engine: Engine, kind: Kind, body: AnyBody) -> Job:
    """The job that a request asks for, once it is known that its model takes it."""
    name = body.model or next(iter(engine.models))
    model = engine.models.get(name)
    if model is None:
        known = ", ".join(engine.models)
        raise HTTPException(404, f"there is no model {name!r} here; there is {known}")

    def checked() -> tuple:
        tasks = body.tasks(lambda motion: _stored(engine, motion).clip)
        model.check(tasks[0])  # the others differ in their seeds
        return tuple(tasks)

    tasks = await _refusing(checked)
    text = f"{kind} {body.model_copy(update={'model': name}).model_dump_json()}"
    return Job(kind, name, tasks, key=hashlib.sha256(text.encode()).hexdigest())


async def _wait(engine: Engine, job: Job, request: Request) -> None:
    """Until the job is done; it is cancelled where the client hangs up.

    Raises:
        HTTPException: it ended without motion.
    """
    try:
        while not job.has_ended:
            with suppress(TimeoutError):
                await asyncio.wait_for(job.end(), DISCONNECT_SECONDS)
            if await request.is_disconnected():
                engine.cancel(job)
    except asyncio.CancelledError:
        engine.cancel(job)
        raise
    if job.error is not None:
        raise HTTPException(job.status, job.error)


async def _refusing(function: Callable, *arguments: Any) -> Any:
    """What it returns, computed in a thread; its ValueErrors become answers."""
    try:
        return await run_in_threadpool(function, *arguments)
    except ValueError as error:
        raise HTTPException(422, str(error)) from None


def _stored(engine: Engine, name: str) -> StoredMotion:
    motion = engine.motions.get(name)
    if motion is None:
        raise HTTPException(404, "there is no such motion, or it was stored long ago")
    return motion


def _job_out(engine: Engine, job: Job) -> schemas.JobOut:
    return schemas.JobOut(
        id=job.id,
        kind=job.kind,
        state=job.state,
        position=engine.position(job),
        progress=round(job.progress, 3),
        motions=list(job.motions),
        error=job.error,
        note=job.note,
        read_as=job.read_as,
    )


def _model(model: Description) -> schemas.ModelOut:
    tuned = model.tuned
    return schemas.ModelOut(
        name=model.name,
        system=model.system,
        people=model.num_people,
        seconds=(model.min_frames / model.fps, MAX_SECONDS),
        default_seconds=DEFAULT_SECONDS,
        kinds=[schemas.KindOut(name=kind.name, example=kind.example) for kind in model.kinds],
        features=schemas.FeaturesOut(
            partner_text=model.num_people == 2,
            reaction=model.num_people == 2,
            inpaint=True,
            contacts=tuned.contacts is not None,
            paths=tuned.paths is not None,
            avoid_collisions=tuned.avoid_collisions is not None,
        ),
    )


KEY_HEADER = APIKeyHeader(name="X-API-Key", auto_error=False)
KEY_COOKIE = APIKeyCookie(name="duomotion", auto_error=False)
GivenKey = Annotated[str | None, Depends(KEY_HEADER)]


WRONG_KEY = "the header X-API-Key has to hold the service's key"


def _key_check(api_key: str) -> Callable:
    """The key in a header, or the cookie that stands for it."""
    token = _token(api_key)

    async def check(given: GivenKey, cookie: Annotated[str | None, Depends(KEY_COOKIE)]) -> None:
        if not (_same(given, api_key) or _same(cookie, token)):
            raise HTTPException(401, WRONG_KEY)

    return check


def _unlocking(api_key: str) -> Callable:
    async def unlock(request: Request, response: Response, given: GivenKey) -> None:
        """Exchange the key for a cookie, since a browser's streams and downloads send no header."""
        if not _same(given, api_key):
            raise HTTPException(401, WRONG_KEY)
        response.set_cookie(
            KEY_COOKIE.model.name,
            _token(api_key),
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )

    return unlock


def _token(api_key: str) -> str:
    """What a browser keeps in the place of the key."""
    return hmac.new(api_key.encode(), b"studio", "sha256").hexdigest()


def _same(given: str | None, wanted: str) -> bool:
    return hmac.compare_digest((given or "").encode(), wanted.encode())


async def _refuse_values(request: Request, error: Exception) -> JSONResponse:
    """One sentence, about the first field that is wrong."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return JSONResponse({"detail": "the body is not JSON"}, 422)
    where = ".".join(str(part)[: schemas.LONGEST_NAME] for part in first["loc"] if part != "body")
    sentence = first["msg"].removeprefix("Value error, ")
    return JSONResponse({"detail": f"{where}: {sentence}" if where else sentence}, 422)


async def _refuse_full(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, QueueFullError)
    return JSONResponse({"detail": str(error)}, 429, {"Retry-After": str(error.seconds)})


async def _refuse_unavailable(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, 503)
