"""A sweep as a job of a cluster: submitted once, followed, left and joined again, and submitted again while trials are owed."""

import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from peoria.cluster.job import ENTRYPOINT, HOOK
from peoria.cluster.jobs import ClusterAwayError, Jobs, JobState, Log, job_id, next_number
from peoria.cluster.package import Package
from peoria.errors import SweepError

OWED = 3  # exit status of a sweep that the world has interrupted
ENDED_BY_OTHERS = (OWED, 129, 130, 137, 143, -1, -2, -9, -15)  # exit statuses of a driver that leaves trials owed
FIRST_WAIT_S, LONGEST_WAIT_S = 10.0, 600.0
LONG_S = 3600.0  # after a job of this length the tries are counted anew


@dataclass
class Submission:
    name: str
    """Of the sweep."""
    home: str
    command: str
    """As a person reads it, without secrets."""
    package: Package
    connect: Callable[[], AbstractContextManager[str]]
    """To the cluster: the address of its jobs API."""
    how_to_stop: str
    """The command, with ``{job}`` and ``{address}``."""
    again: int
    """How often in a row a job is submitted again, or a cluster that is away is asked again."""
    say: Callable[[str], object]
    log: Callable[[str], object]
    """What the job prints, as it comes."""
    environment: dict[str, str] = field(default_factory=dict)
    """Of the job; no secrets, for everybody on the cluster can read it."""
    first_wait_s: float = FIRST_WAIT_S
    _reached: bool = False
    _job: str | None = None  # the one that goes on, as far as we know
    _log: Log | None = None
    _address: str = ""

    def run(self) -> int:
        """The exit status of the sweep; 3 where trials are owed and it was given up.

        Raises:
            SweepError: the cluster cannot be reached, or refuses us.
            Interrupted: left; the job goes on.
        """
        try:
            return self._until_done()
        except KeyboardInterrupt:
            if self._job is not None:
                stop = self.how_to_stop.format(job=self._job, address=self._address)
                self.say(f"left: job {self._job} goes on; the same command joins it again, and this ends it: {stop}")
            raise

    def _until_done(self) -> int:
        tries, state = 0, None
        while True:
            began = time.monotonic()
            try:
                with self.connect() as self._address:
                    state = self._once(Jobs(self._address))
                why = "the cluster has lost it" if state is None else (state.message.splitlines() or ["its process was lost"])[0]
            except ClusterAwayError as error:
                if not self._reached:
                    raise SweepError(*error.problems, hint=error.hint) from None
                state, why = None, error.problems[0]
            if state is not None:
                if state.status == "SUCCEEDED":
                    return 0
                if state.status == "STOPPED":
                    self.say(f"job {state.job_id} was stopped by somebody; the same command goes on")
                    return OWED
                if state.exit_code is not None and state.exit_code not in ENDED_BY_OTHERS:
                    return state.exit_code
                why = f"job {state.job_id}: {'trials are owed' if state.exit_code == OWED else why}"
            tries = 1 if time.monotonic() - began > LONG_S else tries + 1
            if tries > self.again:
                self.say(f"{why}; given up after {self.again} more tries; the same command goes on")
                return OWED
            wait_s = min(self.first_wait_s * 2 ** (tries - 1), LONGEST_WAIT_S)
            self.say(f"{why}; again in {wait_s:g} s ({tries} of {self.again})")
            time.sleep(wait_s)

    def _once(self, jobs: Jobs) -> JobState | None:
        """Follows a job to its end: the one that went on, or one that runs, or a new one. Its state; None where the cluster has lost it."""
        self._reached = True
        if self._job is None or jobs.state(self._job) is None:
            self._job = self._begin(jobs)
            self._log = Log(self.log)
        assert self._log is not None
        state = jobs.follow(self._job, self._log)
        self._job = None
        return state

    def _begin(self, jobs: Jobs) -> str:
        """The id of the job of this sweep that runs, or else of a new one."""
        while True:
            known = jobs.of(self.name)
            if (running := next((job for job in known if job.runs), None)) is not None:
                self._join(running)
                return running.job_id
            new = job_id(self.name, next_number(known, self.name))
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder, "package.zip")
                self.package.write(path)
                metadata = {"peoria": self.name, "home": self.home, "command": self.command}
                if jobs.submit(new, ENTRYPOINT, path, hook=HOOK, environment=self.environment, metadata=metadata):
                    self.say(f"job {new}: submitted; Ctrl-C leaves it running, and the same command joins it again")
                    return new

    def _join(self, running: JobState) -> None:
        """
        Raises:
            SweepError: it is the job of a sweep of this name in another home.
        """
        if (home := running.metadata.get("home")) != self.home:
            raise SweepError(
                f"job {running.job_id}: a sweep of this name runs there with --home {home}; another name, or that home",
                hint="a sweep's name stands in its file",
            )
        self.say(f"job {running.job_id}: runs already, joined; Ctrl-C leaves it running")
        if (command := running.metadata.get("command")) != self.command:
            self.say(f"it was submitted with other flags, which hold: {command}")
