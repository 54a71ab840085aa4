"""The queue before the worker, with a worker that does what the test says."""

import asyncio

import pytest
from motions import standing

from duomotion.loading import checkpoint_name
from duomotion.motion.interaction import Reading
from duomotion.sampling.request import AS_TUNED
from duomotion.serving import engine as engines
from duomotion.serving import worker
from duomotion.serving.engine import Engine, Limits, QueueFullError, UnavailableError
from duomotion.serving.jobs import Job, JobStore
from duomotion.serving.motions import MotionStore
from duomotion.serving.tasks import Call, Description

TOY = Description(
    name="toy",
    system="toy",
    num_people=2,
    fps=30,
    frame_unit=1,
    min_frames=15,
    max_frames=300,
    tuned=AS_TUNED,
    kinds=(),
)


class Worker:
    """In place of a process."""

    made: list["Worker"]
    is_healthy: bool

    at_once = worker.AT_ONCE

    def __init__(self, deliver):
        self.deliver, self.sent = deliver, []
        self.made.append(self)
        deliver(self, worker.Ready((TOY,)) if self.is_healthy else None)

    def send(self, message):
        self.sent.append(message)

    def stop(self):
        self.sent.append("stop")

    @property
    def started(self):
        return [each.job for each in self.sent if isinstance(each, worker.Start)]

    async def says(self, message):
        """None: it died."""
        self.deliver(self, message)
        await settle()

    async def finishes(self, job, clips=1):
        await self.says(worker.Finished(job.id, (standing(),) * clips))


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
def workers(monkeypatch):
    Worker.made, Worker.is_healthy = [], True
    monkeypatch.setattr(engines, "PAUSE", 0)
    return Worker.made


async def started(**limits):
    engine = Engine(Worker, limits=Limits(**limits))
    await engine.start()
    return engine


def job(key, clips=1):
    return Job("generate", "toy", (Call("generate", {"text": "they wave"}),) * clips, key=key)


def test_jobs_run_as_far_as_there_is_room_and_in_their_order(workers):
    async def scenario():
        engine = await started()
        jobs = [engine.submit(job(str(n), clips=8)) for n in range(4)]
        assert workers[0].started == [each.id for each in jobs[:2]]
        assert [engine.position(each) for each in jobs] == [None, None, 0, 1]
        await workers[0].finishes(jobs[1], 8)
        assert jobs[1].state == "done" and len(set(jobs[1].motions)) == 8
        assert jobs[2].state == "running" and engine.position(jobs[3]) == 0
        await workers[0].says(worker.Progressed(jobs[0].id, 0.5))
        assert jobs[0].progress == 0.5

    asyncio.run(scenario())


def test_a_full_queue_says_when_to_come_again(workers):
    async def scenario():
        engine = await started(queue=2)
        jobs = [engine.submit(job(str(n))) for n in range(2)]
        with pytest.raises(QueueFullError) as caught:
            engine.submit(job("2"))
        assert 1 <= caught.value.seconds <= 60
        await workers[0].finishes(jobs[0])
        jobs.append(engine.submit(job("2")))
        engine.cancel(jobs[1])
        engine.submit(job("3"))

    asyncio.run(scenario())


def test_an_answer_is_remembered_while_its_motion_is(workers):
    async def scenario():
        engine = await started(motions=1)  # of which the last clip alone is kept
        first = engine.submit(job("a"))
        await workers[0].finishes(first)
        again = engine.submit(job("a"))
        assert again.state == "done" and again.motions == first.motions
        other = engine.submit(job("b"))
        await workers[0].finishes(other)
        assert engine.submit(job("a")).state == "running"

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("reading", "begins"),
    [
        (Reading("wave", 0.8, True), None),
        (Reading("wave + wave", 0.8, True, composed=True), "'they wave' is known only from clips"),
        (Reading("march", 0.3, False), "nothing like 'they wave' was in the training data"),
    ],
)
def test_a_job_says_what_its_prompt_is_known_from(workers, reading, begins):
    async def scenario():
        engine = await started()
        each = engine.submit(job("a"))
        clip = standing(people=2).with_caption("they wave", reading)
        await workers[0].says(worker.Finished(each.id, (clip,)))
        assert each.read_as == reading.kind
        assert each.note is None if begins is None else str(each.note).startswith(begins)

    asyncio.run(scenario())


def test_what_a_dead_worker_did_is_done_again_alone_and_once(workers):
    async def scenario():
        engine = await started()
        jobs = [engine.submit(job(str(n))) for n in range(3)]
        assert len(workers[0].started) == 3
        await workers[0].says(None)
        assert workers[1].started == [jobs[0].id]  # which may have been the cause
        assert [each.state for each in jobs] == ["running", "queued", "queued"]
        await workers[1].says(None)
        assert jobs[0].state == "failed" and jobs[0].status == 503
        assert workers[2].started == [jobs[1].id]
        for each in jobs[1:]:
            await workers[2].finishes(each)
            assert each.state == "done"
        assert engine.status == "ok"

    asyncio.run(scenario())


def test_what_was_cancelled_or_comes_from_a_replaced_worker_is_ignored(workers):
    async def scenario():
        engine = await started()
        one, other = (engine.submit(job(str(n))) for n in range(2))
        engine.cancel(one)
        assert one.state == "cancelled" and workers[0].sent[-1] == worker.Cancel(one.id)
        await workers[0].finishes(one)
        assert one.motions == ()
        await workers[0].says(None)
        await workers[0].finishes(other)
        assert other.state == "running"
        await workers[1].says(worker.Failed(other.id, "no", is_refused=True))
        assert (other.state, other.error, other.status) == ("failed", "no", 422)

    asyncio.run(scenario())


def test_what_was_cancelled_takes_room_until_the_worker_answers(workers):
    async def scenario():
        engine = await started()
        cancelled = engine.submit(job("a", clips=worker.AT_ONCE))
        engine.cancel(cancelled)
        other = engine.submit(job("b"))
        assert other.state == "queued"
        await workers[0].finishes(cancelled, worker.AT_ONCE)
        assert other.state == "running" and cancelled.state == "cancelled"

    asyncio.run(scenario())


def test_workers_that_can_not_be_started_again_are_given_up(workers):
    async def scenario():
        engine = await started()
        waiting = engine.submit(job("a"))

        def no_memory(deliver):
            raise OSError("no memory")

        engine._start_workers = no_memory
        await workers[0].says(None)
        await asyncio.wait_for(waiting.end(), 10)
        assert engine.status == "failed" and waiting.status == 503

    asyncio.run(scenario())


def test_what_one_of_several_workers_lost_is_done_again_and_the_others_go_on(workers):
    async def scenario():
        engine = await started()
        lost, other = (engine.submit(job(str(n))) for n in range(2))
        await workers[0].says(worker.Lost(lost.id, is_first=True))
        assert (lost.state, other.state) == ("queued", "running")
        await workers[0].finishes(other)
        assert (lost.state, other.state) == ("running", "done")
        await workers[0].says(worker.Lost(lost.id, is_first=False))
        assert (lost.state, lost.status) == ("failed", 503)
        assert len(workers) == 1 and engine.metrics.restarts._value.get() == 1

    asyncio.run(scenario())


def test_workers_that_give_up_answer_what_runs_and_waits(workers):
    async def scenario():
        engine = await started()
        jobs = [engine.submit(job(str(n), clips=16)) for n in range(2)]
        await workers[0].says(worker.Unable("no replica is left"))
        assert {(each.state, each.error, each.status) for each in jobs} == {
            ("failed", "no replica is left", 503)
        }
        with pytest.raises(UnavailableError, match="no replica is left"):
            engine.submit(job("a"))
        await engine.stop()
        assert workers[0].sent[-1] == "stop"

    asyncio.run(scenario())


def test_a_worker_that_never_gets_ready_is_given_up(workers):
    async def scenario():
        Worker.is_healthy = False
        engine = Engine(Worker)
        with pytest.raises(ValueError, match="can't be started"):
            await asyncio.wait_for(engine.start(), 10)
        assert engine.status == "failed" and len(workers) == engines.FAILED_STARTS
        with pytest.raises(UnavailableError):
            engine.submit(job("a"))

    asyncio.run(scenario())


def test_the_end_finishes_what_runs_and_answers_what_waits(workers):
    async def scenario():
        engine = await started()
        running, waiting = (engine.submit(job(str(n), clips=16)) for n in range(2))
        end = asyncio.create_task(engine.drain())
        await settle()
        assert not end.done() and engine.status == "draining"
        assert waiting.state == "failed" and waiting.status == 503
        with pytest.raises(UnavailableError):
            engine.submit(job("a"))
        await workers[0].finishes(running, 16)
        await asyncio.wait_for(end, 5)
        assert running.state == "done"

    asyncio.run(scenario())


def test_a_worker_that_dies_at_the_end_is_not_replaced(workers):
    async def scenario():
        engine = await started()
        running = engine.submit(job("a"))
        end = asyncio.create_task(engine.drain())
        await settle()
        await workers[0].says(None)
        await asyncio.wait_for(end, 5)
        assert running.state == "failed" and running.status == 503 and len(workers) == 1

    asyncio.run(scenario())


def test_stores_are_bounded():
    clip = standing(frames=10)
    size = clip.root_positions.nbytes + clip.rotations.nbytes * 4 // 3
    store = MotionStore(3 * size)
    names = [store.add(clip).id for _ in range(3)]
    assert store.get(names[0]) is not None  # and with that the last that is forgotten
    store.add(clip)
    assert len(store) == 3 and names[0] in store and names[1] not in store
    jobs = JobStore(2)
    ended = [job(str(n)) for n in range(4)]
    for each in ended:
        jobs.add(each)
        jobs.end(each)
    assert [jobs.get(each.id) for each in ended] == [None, None, *ended[2:]]


def test_models_of_one_name_are_refused():
    with pytest.raises(ValueError, match="two models are called run-best"):
        worker.Worker(lambda message: None, ["a/run/best", "b/run/best"], "cpu", None)


def test_checkpoints_are_called_as_their_folders(tmp_path, monkeypatch):
    (tmp_path / "generator" / "best").mkdir(parents=True)
    (tmp_path / "mine").symlink_to(tmp_path / "generator" / "best")
    assert checkpoint_name(tmp_path / "generator" / "best") == "generator-best"
    assert checkpoint_name(str(tmp_path / "mine")) == "mine"
    assert checkpoint_name("intermask-open") == "intermask-open"
    monkeypatch.chdir(tmp_path / "generator")
    assert checkpoint_name(".") == "generator"
