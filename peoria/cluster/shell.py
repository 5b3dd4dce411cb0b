"""The shell commands of a cluster file, as far as a check needs them: which programs they start, with which arguments and environment."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from peoria.cluster.cluster_file import mapping

LISTS = (
    "initialization_commands",
    "setup_commands",
    "head_setup_commands",
    "worker_setup_commands",
    "head_start_ray_commands",
    "worker_start_ray_commands",
)
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_BEFORE = ("env", "sudo", "nohup", "exec", "time", "if", "do", "then", "else", "while", "!", "{")
_ENDS = re.compile(r"[();|&\n]+")


@dataclass(frozen=True)
class Call:
    """One program of a command: its words, and the variables that the command sets for it."""

    words: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)

    def ray_start(self) -> tuple[str, ...] | None:
        """The words after `ray start`; None where it starts something else."""
        for at, word in enumerate(self.words[:-1]):
            if word.rpartition("/")[2] == "ray" and self.words[at + 1] == "start":
                return self.words[at + 2 :]
        return None

    def pip_install(self) -> tuple[str, ...] | None:
        """The words after `pip install`, also of `python -m pip` and `uv pip`; None where it starts something else."""
        for at, word in enumerate(self.words[:-1]):
            if re.fullmatch(r"pip[\d.]*", word.rpartition("/")[2]) and self.words[at + 1] == "install":
                return self.words[at + 2 :]
        return None


def calls(command: str, environment: dict[str, str] | None = None) -> list[Call]:
    """The programs of a command in their order, also those inside `bash -c`. Raises ValueError where a quote is not closed."""
    lexer = shlex.shlex(command.replace("\\\n", " "), posix=True, punctuation_chars="();|&<>\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t\r", True, ""
    exported, own, found, words = dict(environment or {}), dict[str, str](), list[Call](), list[str]()
    for word in [*lexer, ";"]:
        if not _ENDS.fullmatch(word):
            words.append(word)
            continue
        found += _simple(words, exported, own)
        words = []
    return found


def _simple(words: list[str], exported: dict[str, str], own: dict[str, str]) -> list[Call]:
    """The program of a simple command; ``exported`` are the variables that programs get, ``own`` those that stay with the shell."""
    words = words[: next((at for at, word in enumerate(words) if word.startswith("#")), len(words))]
    given = {match[1]: match[2] for word in words if (match := _ASSIGNMENT.fullmatch(word))}
    if words and words[0] == "export":
        exported |= given | {word: own[word] for word in words[1:] if word in own}
        return []
    at = next((at for at, word in enumerate(words) if not _ASSIGNMENT.fullmatch(word) and word not in _BEFORE and not word.startswith("-")), None)
    if at is None:  # nothing is started: variables of this shell, which programs see only where they are exported
        own |= given
        exported |= {name: value for name, value in given.items() if name in exported}
        return []
    ray = next((at for at, pair in enumerate(pairwise(words)) if pair[0].rpartition("/")[2] == "ray" and pair[1] == "start"), at)
    before = [match for word in words[: max(at, ray)] if (match := _ASSIGNMENT.fullmatch(word))]  # also as in `sudo -u user NAME=value ray start`
    environment = exported | ({match[1]: match[2] for match in before} if words[at] != "echo" else {})
    if words[at].rpartition("/")[2] in ("bash", "sh", "dash") and (scripts := _scripts(words[at:])):
        return [call for script in scripts for call in calls(script, environment)]
    return [Call(tuple(words[at:]), environment)]


def _scripts(words: list[str]) -> list[str]:
    return [words[at + 1] for at, word in enumerate(words[:-1]) if re.fullmatch(r"-[a-z]*c[a-z]*", word)]


def option(words: tuple[str, ...], name: str) -> str | None:
    """The value of ``--name=value`` or ``--name value``, the last where it is given twice; None where it is not."""
    found = None
    for at, word in enumerate(words):
        if word == name and at + 1 < len(words):
            found = words[at + 1]
        elif word.startswith(f"{name}="):
            found = word.removeprefix(f"{name}=")
    return found


def commands(cluster: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(path of keys, command) of every command, those of single node types too."""
    yield from _listed(cluster, "")
    for name, kind in mapping(cluster.get("available_node_types")).items():
        yield from _listed(mapping(kind), f"available_node_types.{name}.")


def _listed(holder: dict[str, Any], before: str) -> Iterator[tuple[str, str]]:
    for name in LISTS:
        listed = holder.get(name)
        for at, command in enumerate(listed if isinstance(listed, list) else []):
            if isinstance(command, str):
                yield f"{before}{name}[{at}]", command


def assigned(cluster: dict[str, Any], name: str) -> list[tuple[str, str]]:
    """(path of keys, value) of each ``NAME=value`` in a command, also of one that is written into a file as .bashrc."""
    pattern = re.compile(rf"(?<![\w$]){re.escape(name)}=(\"[^\"]*\"|'[^']*'|[^\s\"';|&]*)")
    return [(where, match[1].strip("\"'")) for where, command in commands(cluster) for match in pattern.finditer(command)]
