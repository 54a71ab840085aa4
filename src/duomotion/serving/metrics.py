"""What the service counts, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class Metrics:
    """The service's counters in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "duomotion_http_requests",
            "Answered HTTP requests",
            ["method", "path", "status"],
            registry=self.registry,
        )
        self.jobs = Counter(
            "duomotion_jobs", "Ended jobs", ["kind", "state"], registry=self.registry
        )
        self.job_seconds = Histogram(
            "duomotion_job_seconds",
            "Seconds from a job's arrival to its end",
            ["kind"],
            buckets=(0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250),
            registry=self.registry,
        )
        self.clips = Counter("duomotion_clips", "Clips made", ["model"], registry=self.registry)
        self.cached = Counter(
            "duomotion_cached_answers", "Jobs answered by an earlier one", registry=self.registry
        )
        self.batch = Histogram(
            "duomotion_batch_size",
            "Requests that shared a pass of a model",
            buckets=range(1, 9),
            registry=self.registry,
        )
        self.restarts = Counter(
            "duomotion_worker_restarts", "Workers that died", registry=self.registry
        )
        self.waiting = Gauge("duomotion_waiting_jobs", "Jobs that wait", registry=self.registry)
        self.running = Gauge("duomotion_running_jobs", "Jobs that run", registry=self.registry)
        self.motions = Gauge("duomotion_stored_motions", "Clips held", registry=self.registry)
