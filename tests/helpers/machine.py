"""A machine of its own as far as peoria can tell: what it keeps of sweeps in buckets, and its decoded pictures, lie where no other looks."""

import shutil
from pathlib import Path

from peoria.records.folder import SweepFolder
from peoria.records.home import RECORDS, Home
from tests.helpers.faults import Command


class BucketCommand(Command):
    """``peoria sweep … --home s3://…`` on a machine of its own: its folder for records and its cache are nobody else's."""

    def __init__(self, folder: Path, shards: Path, url: str, *flags: str, **environment: str) -> None:
        self.url, self.records = url, folder / "records"
        place = {RECORDS: str(self.records), "XDG_CACHE_HOME": str(folder / "cache")}
        super().__init__(folder, shards, *flags, **(environment | place))
        self.words[self.words.index("--home") + 1] = url
        self.folder = SweepFolder.of(self.records / Home.of(url).path.name, "faults")

    def wipe(self) -> None:
        """The machine's disk is gone."""
        shutil.rmtree(self.records)
