"""What a job takes along: the sweep file, its plugins and its weights under the paths that they have here, and the checkout where that is wanted."""

import os
import stat
import subprocess
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

from peoria.cluster.job import JOB_FILE
from peoria.config.sweep import Sweep
from peoria.errors import ConfigError
from shards.files import told

MOST_BYTES = 100_000_000  # the head keeps it in memory, and each node gets it
SHOWN = 10  # of the largest files
LOADER = "torchvision"  # these weights are no file


@dataclass
class Package:
    """Files by their path in the job's working folder."""

    files: dict[str, Path] = field(default_factory=dict)
    own: dict[str, bytes] = field(default_factory=dict)
    """Made here; their owner alone may read them."""

    def sizes(self) -> dict[str, int]:
        """Bytes of each file, the largest first.

        Raises:
            FileError: one is not there, or cannot be read.
        """
        found = {name: len(data) for name, data in self.own.items()}
        for name, path in self.files.items():
            with told(path, "a file that is there"):
                found[name] = path.stat().st_size
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))

    def refuse_large(self) -> None:
        """
        Raises:
            ConfigError: it is larger than a job may take along.
        """
        sizes = self.sizes()
        if (total := sum(sizes.values())) > MOST_BYTES:
            raise ConfigError(
                f"what the job needs: {size(total)}; at most {size(MOST_BYTES)}",
                *_largest(sizes),
                hint="with --home in a bucket, weights of any size go there; or put them where every node has them (a shared disk, the nodes' "
                "image, their setup_commands) and name them by that path",
            )

    def text(self) -> str:
        """How large it is, and what is in it."""
        sizes = {name: num for name, num in self.sizes().items() if name not in self.own}
        return "\n".join([f"packed: {size(sum(sizes.values()))}, {len(sizes)} {'file' if len(sizes) == 1 else 'files'}", *_largest(sizes)])

    def write(self, path: Path) -> None:
        """A zip: the same files give the same bytes, which Ray then sends once."""
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
            for name, source in sorted(self.files.items()):
                mode = 0o755 if source.stat().st_mode & stat.S_IXUSR else 0o644
                package.writestr(_entry(name, mode), source.read_bytes())
            for name, data in sorted(self.own.items()):
                package.writestr(_entry(name, 0o600), data)


def pack_job(file: Path, sweep: Sweep, job: bytes, *, with_weights: bool = True, with_code: bool = False) -> Package:
    """
    Args:
        job: what goes into the job's own file.
        with_weights: take along those that the sweep names, where a node would not have them.
        with_code: take along the checkout that this code is of, without what git ignores; else the nodes' own peoria runs.

    Raises:
        ConfigError: a file lies outside the working folder, or there is no checkout.
    """
    package = Package(own={JOB_FILE: job})
    if with_code:
        package.files |= checkout()
    package.files[below_here(file, "sweep file")] = file
    for plugin in sweep.plugin_files:
        package.files[below_here(Path(plugin), "plugins")] = Path(plugin)
    if with_weights and (weights := named_weights(sweep)) is not None:
        package.files[below_here(Path(weights), "weights")] = Path(weights)
    return package


def named_weights(sweep: Sweep) -> str | None:
    """The path of the file of weights that has to come along, as the sweep names it; None where every node has them, or there are none.

    Raises:
        ConfigError: it is not there, or outside the working folder.
    """
    weights = sweep.shared.get("weights")
    if not isinstance(weights, str) or weights == LOADER or os.path.isabs(weights):
        return None
    if not Path(weights).is_file():
        raise ConfigError(f"weights: no file {weights}; a file below this folder, or an absolute path that every node has")
    below_here(Path(weights), "weights")
    return weights


def below_here(path: Path, what: str) -> str:
    """The path as it is written, plain. Raises ConfigError where it leads elsewhere: in the job it starts from the job's own folder."""
    plain = os.path.normpath(path)
    if os.path.isabs(plain) or plain.split(os.sep)[0] == os.pardir:
        raise ConfigError(f"{what}: {path}; a path below the folder that the command is given in", hint="the job has the same paths; cd there first")
    return Path(plain).as_posix()


def checkout() -> dict[str, Path]:
    """Files of the checkout that this code is of, new ones too, without what git ignores."""
    root = Path(__file__).parents[2]
    words = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        ran = subprocess.run(words, capture_output=True, check=True, env=environment)
    except (OSError, subprocess.CalledProcessError) as error:
        why = error.stderr.decode(errors="replace").strip() if isinstance(error, subprocess.CalledProcessError) else error.strerror
        raise ConfigError(f"--with-code: {root}: {why}; a git checkout of peoria, which says what of it is code") from None
    found = {name: root / name for name in os.fsdecode(ran.stdout).split("\0") if name and (root / name).is_file()}
    if "peoria/__init__.py" not in found:
        raise ConfigError(f"--with-code: {root}: peoria is no part of this checkout; a git checkout of peoria")
    return found


def size(num_bytes: int) -> str:
    return f"{num_bytes / 1e6:,.1f} MB" if num_bytes >= 1e6 else f"{num_bytes / 1e3:,.1f} kB"


def _largest(sizes: dict[str, int]) -> list[str]:
    lines = [f"  {size(num):>10}  {name}" for name, num in list(sizes.items())[:SHOWN]]
    return lines if len(sizes) <= SHOWN else [*lines, f"  and {len(sizes) - SHOWN:,} smaller ones"]


def _entry(name: str, mode: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.external_attr = (stat.S_IFREG | mode) << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry
