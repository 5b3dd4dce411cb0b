"""What changed in a sweep's folder as one object: a tar of files, or of what was added to them, behind an index. Replayed in order they make it."""

import io
import json
import os
import tarfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO, NamedTuple

from peoria.errors import RecordError
from peoria.records.folder import SweepFolder, TrialFolder
from shards.files import write_atomic

_INDEX = "index.json"
_TAIL = 64 << 10  # bytes before the end, by which a file that grew is known from another in its inode's place
_SWEEP, _TRIAL = SweepFolder(Path()), TrialFolder(Path())
APPENDED = (_SWEEP.journal.name, _TRIAL.points.name)  # files that only grow
NOT_KEPT = (_SWEEP.holder.name, _SWEEP.stopping.name, _SWEEP.ray_log.name, _SWEEP.library_log.name)  # of the process alone
# Of a trial: they put them themselves.
OF_WORKERS = tuple(path.name for path in (_TRIAL.checkpoint, _TRIAL.checkpoint_before, _TRIAL.model, _TRIAL.val_scores, _TRIAL.worker))


@dataclass
class Delta:
    """One step of a folder."""

    nonce: str
    """Of its writer, so that no two are equal."""
    files: dict[str, bytes] = field(default_factory=dict)
    """By path in the folder, with ``/``."""
    starts: dict[str, int] = field(default_factory=dict)
    """Of those that are added to a file: from which byte on."""
    removed: tuple[str, ...] = ()

    def pack(self) -> bytes:
        sink = io.BytesIO()
        index = json.dumps({"nonce": self.nonce, "starts": self.starts, "removed": self.removed}, sort_keys=True).encode()
        with tarfile.open(fileobj=sink, mode="w:gz", format=tarfile.PAX_FORMAT, compresslevel=3) as made:
            for name, data in {_INDEX: index, **self.files}.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                made.addfile(info, io.BytesIO(data))
        return sink.getvalue()

    @classmethod
    def unpack(cls, data: bytes, where: str) -> "Delta":
        """
        Raises:
            RecordError: it is not what `pack` made, or names a file outside the folder.
        """
        try:
            files = {}
            with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as found:
                for info in found:
                    read = found.extractfile(info) if info.isreg() else None
                    if read is None:
                        raise ValueError(f"{info.name}: no file")
                    files[info.name] = read.read()
            index = json.loads(files.pop(_INDEX))
            delta = cls(str(index["nonce"]), files, {str(name): int(start) for name, start in index["starts"].items()}, tuple(index["removed"]))
            for name in (*delta.files, *delta.starts, *delta.removed):
                path = PurePosixPath(name)
                if not path.parts or path.is_absolute() or ".." in path.parts or "\0" in name:
                    raise ValueError(f"{name!r}: outside the folder")
        except (tarfile.TarError, zlib.error, OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            words = (str(error).splitlines() or [type(error).__name__])[0][:200]
            raise RecordError(f"{where}: {words}; a step of a sweep's record", hint="was it changed in the store?") from None
        return delta

    def apply(self, folder: Path, where: str) -> None:
        """
        Raises:
            RecordError: it does not go on where the folder ends.
        """
        for name, data in self.files.items():
            path, start = folder / name, self.starts.get(name)
            if start is None:
                write_atomic(path, data)
                continue
            size = path.stat().st_size if path.is_file() else -1
            if size != start:
                raise RecordError(f"{where}: {name} goes on at byte {start}, and ends at {size}; the steps of one record in a row")
            with path.open("ab") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        for name in self.removed:
            (folder / name).unlink(missing_ok=True)


class Place(NamedTuple):
    """A file as it was seen."""

    inode: int
    size: int
    changed_ns: int
    tail: int = 0
    """Of a file that only grows: CRC-32 of its last bytes. An inode's number is given again to another file."""


@dataclass
class Seen:
    """A folder's files as they were at the last step."""

    folder: Path
    known: dict[str, Place] = field(default_factory=dict)
    """By path."""

    def changes(self, keys: Iterable[str] | None, nonce: str) -> tuple[Delta, dict[str, Place]]:
        """What has changed since, and the files as they are now, which the caller keeps once the step is stored.

        Args:
            keys: of the trials that may have changed; None: any may.
        """
        chosen = None if keys is None else set(keys)
        now = {path.relative_to(self.folder).as_posix(): path for path in self._files(chosen)}
        after = {name: place for name, place in self.known.items() if chosen is not None and _other_trial(name, chosen)}
        delta = Delta(nonce)
        for name, path in sorted(now.items()):
            try:
                with path.open("rb") as file:
                    about, before = os.fstat(file.fileno()), self.known.get(name)
                    place = Place(about.st_ino, about.st_size, about.st_mtime_ns)
                    if before is not None and before[:3] == place[:3]:
                        place = before
                    else:
                        start = 0
                        if path.name in APPENDED:
                            if (
                                before is not None
                                and before.inode == place.inode
                                and before.size < place.size
                                and _tail(file, before.size) == before.tail
                            ):
                                start = delta.starts[name] = before.size
                            place = place._replace(tail=_tail(file, place.size))
                        file.seek(start)
                        delta.files[name] = file.read(place.size - start)
            except FileNotFoundError:
                continue
            after[name] = place
        delta.removed = tuple(sorted(self.known.keys() - after.keys()))
        return delta, after

    def _files(self, keys: set[str] | None) -> Iterable[Path]:
        trials = self.folder / "trials"
        for top in (self.folder, trials) if keys is None else (self.folder, *(trials / key for key in sorted(keys))):
            for folder, below, names in os.walk(top):
                here = Path(folder)
                if here == self.folder:
                    below[:] = [name for name in below if name not in (_SWEEP.tune.name, "trials") and not name.startswith(".")]
                for name in names:
                    kept = not name.startswith(".") and name not in NOT_KEPT and not name.endswith((".lock", ".tmp"))
                    if kept and not (name in OF_WORKERS and "trials" in here.relative_to(self.folder).parts):
                        yield here / name


def _tail(file: BinaryIO, end: int) -> int:
    file.seek(max(0, end - _TAIL))
    return zlib.crc32(file.read(min(end, _TAIL)))


def _other_trial(name: str, keys: set[str]) -> bool:
    parts = PurePosixPath(name).parts
    return len(parts) > 2 and parts[0] == "trials" and parts[1] not in keys
