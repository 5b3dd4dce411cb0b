"""What `ray up` would read and send: the files of `file_mounts`, the token among them, and what the commands install of them."""

import fnmatch
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from peoria.cluster.cluster_file import Problem, joined, mapping, short
from peoria.cluster.shell import assigned, calls, commands

MOST_BYTES = 100_000_000  # together; `ray up` hashes each byte, and each new node gets them
MOST_FILES = 200_000
DEFAULT_TOKEN = "~/.ray/auth_token"
_UP = "`ray up` reads every byte below it, whatever rsync_exclude and rsync_filter leave out; name a folder that holds what nodes need: `make dist`"
_TOKEN_HINT = "ray get-auth-token --generate > /dev/null && chmod 600 ~/.ray/auth_token"


def mount_problems(cluster: dict[str, Any]) -> Iterator[Problem]:
    """Mounts that are not there, cannot be read, or are large. Paths start from the working folder, as those of `ray up` do."""
    total, sizes = 0, dict[str, int]()
    for remote, given in mapping(cluster.get("file_mounts")).items():
        where = joined("file_mounts", remote)
        if not isinstance(given, str):
            yield Problem(where, short(given), "a path on this machine")
            continue
        local = Path(os.path.expanduser(given))
        try:
            num_bytes, complaint = weigh(local)
        except OSError as error:
            hint = _TOKEN_HINT if remote == DEFAULT_TOKEN else "`make dist` builds dist/" if local.name == "dist" else ""
            yield Problem(where, f"{given}: {error.strerror}", "a file or folder that is there", hint)
            continue
        if complaint:
            yield Problem(where, complaint, "files that can be read", "`ray up` ends at the first that it cannot read")
        total += num_bytes
        sizes[where] = num_bytes
    if total > MOST_BYTES:
        where = max(sizes, key=lambda name: sizes[name])
        yield Problem(where, f"{sizes[where] / 1e6:,.0f} MB, of {total / 1e6:,.0f} of all mounts", f"at most {MOST_BYTES / 1e6:.0f} MB together", _UP)


def weigh(local: Path) -> tuple[int, str]:
    """Bytes of a file, or of all files below a folder, as `ray up` reads them, and what cannot be read. Raises OSError where it is not there."""
    if not stat.S_ISDIR(os.stat(local).st_mode):
        return os.stat(local).st_size, _odd(local)
    total, seen, complaint = 0, 0, ""
    for folder, _, names in os.walk(local):
        for name in names:
            path = Path(folder, name)
            seen += 1
            if seen > MOST_FILES:
                return max(total, MOST_BYTES + 1), f"{local}: more than {MOST_FILES:,} files"
            complaint = complaint or _odd(path)
            try:
                total += os.stat(path).st_size
            except OSError:
                continue  # told as odd
    return total, complaint


def _odd(path: Path) -> str:
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return f"{path}: {error.strerror}"
    return "" if stat.S_ISREG(mode) and os.access(path, os.R_OK) else f"{path}: {'no permission' if stat.S_ISREG(mode) else 'a pipe or a device'}"


def local_of(cluster: dict[str, Any], remote: str) -> Path | None:
    """What of this machine a path of a node is a copy of; None where no mount holds it."""
    wanted = plain_remote(cluster, remote)
    for mount, given in mapping(cluster.get("file_mounts")).items():
        if not isinstance(given, str):
            continue
        start = plain_remote(cluster, mount).rstrip("/")
        if wanted == start or wanted.startswith(f"{start}/"):
            rest = wanted[len(start) :].lstrip("/")
            return Path(os.path.expanduser(given), rest) if rest else Path(os.path.expanduser(given))
    return None


def plain_remote(cluster: dict[str, Any], path: str) -> str:
    """A path of a node with `~` for the home of its user."""
    user = mapping(cluster.get("auth")).get("ssh_user", "")
    for home in ("$HOME", "${HOME}", f"/home/{user}" if user else "$HOME"):
        if path == home or path.startswith(f"{home}/"):
            return f"~{path[len(home) :]}"
    return path


def token_problems(cluster: dict[str, Any]) -> Iterator[Problem]:
    """The token's file: mounted, there, private, not empty; and no token in the file itself."""
    for where, _ in assigned(cluster, "RAY_AUTH_TOKEN"):
        yield Problem(where, "the token itself", "RAY_AUTH_TOKEN_PATH, a file", "who sees the file or a list of processes has it; " + _TOKEN_HINT)
    for remote in sorted({plain_remote(cluster, value) for _, value in assigned(cluster, "RAY_AUTH_TOKEN_PATH")} or {DEFAULT_TOKEN}):
        local = local_of(cluster, remote)
        where = joined("file_mounts", remote)
        if local is None:
            yield Problem(where, "not mounted", f"the token's file, as `{remote}: {DEFAULT_TOKEN}`", _TOKEN_HINT)
            continue
        try:
            found = os.stat(local)
        except OSError as error:
            if not any(plain_remote(cluster, mount) == remote for mount in mapping(cluster.get("file_mounts"))):  # else told as a mount
                yield Problem(where, f"{local}: {error.strerror}", "the token's file", _TOKEN_HINT)
            continue
        if not stat.S_ISREG(found.st_mode):
            yield Problem(where, f"{local}: no plain file", "the token's file", _TOKEN_HINT)
        elif found.st_mode & 0o077:
            yield Problem(where, f"{local}: mode {stat.S_IMODE(found.st_mode):o}", "600, for its owner alone", f"chmod 600 {local}")
        elif not found.st_size:
            yield Problem(where, f"{local}: empty", "a token", _TOKEN_HINT)


def install_problems(cluster: dict[str, Any]) -> Iterator[Problem]:
    """Packages that are not the locked ones, files of the mounts that are to be installed and are not there, and a Python that is too old."""
    for where, command in commands(cluster):
        for match in re.finditer(r"python=?=?\s?3\.(\d+)", command):
            if int(match[1]) < 11:
                yield Problem(where, match[0], "Python 3.11 or newer", "an image of Ubuntu 24.04 has Python 3.12")
        try:
            installs = [words for call in calls(command) if (words := call.pip_install()) is not None]
        except ValueError:
            continue  # told where the commands are read
        for words in installs:
            yield from _pip(cluster, where, words)


def _pip(cluster: dict[str, Any], where: str, words: tuple[str, ...]) -> Iterator[Problem]:
    index = [
        word
        for word in words
        if re.match(r"(--(extra-)?index-url|--find-links|--trusted-host|-i$|-f$)", word) or re.match(r"(git\+)?https?://", word)
    ]
    if index:
        yield Problem(where, f"pip's {index[0].partition('=')[0]}", "the machine's own setting of where packages come from", "remove the address")
    files = [words[at + 1] for at, word in enumerate(words[:-1]) if word in ("-r", "--requirement", "--requirements")]
    files += [word.partition("=")[2] for word in words if word.startswith(("--requirement=", "--requirements="))]
    if files and "--require-hashes" not in words:
        yield Problem(where, "pip install -r without --require-hashes", "packages by their hashes", "requirements.lock has them")
    ours = [word for word in words if re.fullmatch(r"(.*/)?peoria([-\[=<>~!@*].*)?/?", word) and word not in files]
    if ours and "--no-deps" not in words:
        yield Problem(where, f"pip install {ours[0]} without --no-deps", "dependencies from requirements.lock alone", "add --no-deps")
    if ray := [word for word in words if re.match(r"(ray$|ray\[|ray[<>~!]|.*ray-[\d.]+.*\.whl)", word)]:
        yield Problem(
            where, f"pip install {ray[0]}", "the Ray of requirements.lock", "another Ray than the laptop's is refused when a job is submitted"
        )
    for name in [*files, *(word for word in ours if "/" in word)]:
        local = local_of(cluster, name)
        mounts = [plain_remote(cluster, mount).rstrip("/") for mount in mapping(cluster.get("file_mounts"))]
        if local is None or plain_remote(cluster, name).rstrip("/") in mounts:
            continue  # in an image, or made by another command; or a mount, which is told as one
        there = local.exists() if "*" not in local.name else local.parent.is_dir() and bool(fnmatch.filter(os.listdir(local.parent), local.name))
        if local.parent.exists() and not there:
            yield Problem(where, f"{name}: not in {local.parent}", "a file of the mounts", "`make dist` builds dist/ with the wheel and the lock")
