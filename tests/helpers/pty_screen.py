"""A command on a pseudo-terminal, and what a terminal shows of what it wrote."""

import fcntl
import os
import pty
import re
import select
import struct
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

_CODES = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|\x1b[=>]|\r|\n|\x07|\x08")


@dataclass
class Terminal:
    """As much of one as is needed here: text, line ends, movements of the cursor, erasing; lines that scroll off stay in ``lines``."""

    cols: int = 80
    lines: list[str] = field(default_factory=lambda: [""])
    row: int = 0
    col: int = 0
    cursor: bool = True
    widest: int = 0
    """Of anything that was ever drawn."""

    def feed(self, text: str) -> "Terminal":
        at = 0
        for code in _CODES.finditer(text):
            self._write(text[at : code.start()])
            self._do(code)
            at = code.end()
        self._write(text[at:])
        return self

    def _write(self, text: str) -> None:
        for letter in text:
            if self.col == self.cols:
                self._down()
                self.col = 0
            line = self.lines[self.row].ljust(self.col)
            self.lines[self.row] = line[: self.col] + letter + line[self.col + 1 :]
            self.col += 1
            self.widest = max(self.widest, self.col)

    def _down(self) -> None:
        self.row += 1
        if self.row == len(self.lines):
            self.lines.append("")

    def _do(self, code: re.Match[str]) -> None:
        numbers, kind = code[1] or "", code[2]
        num = int(numbers) if numbers.isdigit() else 1
        if code[0] == "\r":
            self.col = 0
        elif code[0] == "\n":
            self._down()
        elif kind == "A":
            self.row = max(0, self.row - num)
        elif kind == "B":
            self.row = min(len(self.lines) - 1, self.row + num)
        elif kind == "K":
            self.lines[self.row] = "" if numbers == "2" else self.lines[self.row][: self.col]
        elif kind == "J":
            self.lines[self.row :] = [self.lines[self.row][: self.col]]
        elif numbers == "?25":
            self.cursor = kind == "h"

    @property
    def shown(self) -> list[str]:
        return [line.rstrip() for line in self.lines]


Act = Callable[[int, int], object]  # the process and the terminal's file


def run_in_terminal(
    words: Sequence[str],
    *,
    rows: int = 24,
    cols: int = 80,
    environment: Mapping[str, str] | None = None,
    acts: Sequence[tuple[str, Act]] = (),
    limit_s: float = 300.0,
) -> tuple[str, int]:
    """What it wrote, and its exit status (negative: a signal).

    Args:
        acts: each done once, in order, when its text has been written since the one before.
    """
    pid, file = pty.fork()
    if pid == 0:
        try:
            fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
            os.execvpe(words[0], list(words), {**os.environ, "TERM": "xterm-256color", **(environment or {})})
        finally:
            os._exit(127)
    written, looked, todo, deadline = b"", 0, list(acts), time.monotonic() + limit_s
    while True:
        assert time.monotonic() < deadline, written.decode(errors="replace")[-3000:]
        if select.select([file], [], [], 0.2)[0]:
            try:
                data = os.read(file, 1 << 16)
            except OSError:
                break
            if not data:
                break
            written += data
        while todo and todo[0][0].encode() in written[looked:]:
            looked = len(written)
            todo.pop(0)[1](pid, file)
    os.close(file)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert not todo, (todo[0][0], written.decode(errors="replace")[-3000:])
    return written.decode(errors="replace"), status


def resize(file: int, rows: int, cols: int) -> None:
    fcntl.ioctl(file, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))
