"""Machines of a cluster, on this one: each a network, mount, host-name and process-id namespace with an own /tmp, an own home of root and an sshd.

What they share: the Python and the packages of this machine, the code under test at /mnt/code, and one folder at /mnt/peoria, as of a network's disk.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
INSIDE = """
set -e
mount --make-rprivate /
hostname {name}
mkdir -p {folder}/home {folder}/tmp
chmod 700 {folder}/home
chmod 1777 {folder}/tmp
mount -t tmpfs none /mnt
mkdir /mnt/peoria /mnt/code
mount --bind {shared} /mnt/peoria
mount --rbind {code} /mnt/code
mount -t tmpfs none /opt
mount -t tmpfs none /run
mkdir /run/sshd
case {python}/ in "$HOME"/*) rest={python}; rest=${{rest#"$HOME"/}}; mkdir -p {folder}/home/$rest; mount --bind {python} {folder}/home/$rest;; esac
mkdir -p {folder}/home/.ssh
cp {key}.pub {folder}/home/.ssh/authorized_keys
touch {folder}/home/.bashrc
cp {key} {folder}/home/.ssh/host_key
mount --rbind {folder}/home "$HOME"
mount --bind {folder}/tmp /tmp
cd /
exec {sshd} -D -e -h "$HOME/.ssh/host_key" -f /dev/null -o ListenAddress={address} -o UsePAM=no -o PermitRootLogin=prohibit-password \
  -o StrictModes=no -o PidFile=none
"""


def cannot() -> str | None:
    """Why there can be no such machines here; None where there can."""
    if os.geteuid() != 0:
        return "takes root"
    if SSHD is None or shutil.which("rsync") is None or shutil.which("ip") is None:
        return "takes sshd, rsync and ip: apt-get install openssh-server rsync iproute2"
    name = f"peo{secrets.token_hex(3)}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if made.returncode:
        return f"takes network namespaces: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", name], check=True)
    made = subprocess.run(["unshare", "-m", "-u", "-p", "-f", "--mount-proc", "true"], capture_output=True, text=True)
    return f"takes namespaces of mounts and processes: {made.stderr.strip()}" if made.returncode else None


@dataclass
class Host:
    name: str
    address: str
    folder: Path
    sshd: "subprocess.Popen[bytes]"

    @property
    def home(self) -> Path:
        return self.folder / "home"


class Hosts:
    """Machines on a network of their own; this one is on it too, as ``outside``, and a laptop, which is a place on that network and this machine's in
    all else: what it gives a port of its own to disturbs nobody here."""

    def __init__(self, folder: Path, num: int, *, share: bool = True) -> None:
        """
        Args:
            share: the folder at /mnt/peoria; else each has one of its own there.
        """
        self._share = share
        self.folder, self.mark = folder, secrets.token_hex(2)
        self.net = f"10.{200 + secrets.randbelow(50)}.{secrets.randbelow(250)}"
        self.key, self.shared = folder / "key", folder / "shared"
        self.shared.mkdir()
        self.hosts: list[Host] = []
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key)], check=True)
        self._ip("link", "add", self._bridge, "type", "bridge")
        self._ip("addr", "add", f"{self.net}.254/24", "dev", self._bridge)
        self._ip("link", "set", self._bridge, "up")
        self.outside, self._laptop = f"{self.net}.254", f"peo{self.mark}lt"
        self._join(self._laptop, f"{self.net}.200")
        for _ in range(num):
            self.add()

    def add(self) -> Host:
        """One more."""
        self.hosts.append(self._start(len(self.hosts) + 1))
        return self.hosts[-1]

    def lose(self, host: Host) -> None:
        """At once, with all that runs on it, and all of its disk."""
        os.killpg(host.sshd.pid, signal.SIGKILL)  # unshare, and with it the first process of the namespace, which ends all others there
        host.sshd.wait()
        deadline = time.monotonic() + 20
        while host.folder.exists():
            shutil.rmtree(host.folder, ignore_errors=True)
            assert time.monotonic() < deadline, list(host.folder.rglob("*"))[:5]

    def on_the_laptop(self, command: str) -> list[str]:
        """The words that run it there."""
        return ["ip", "netns", "exec", self._laptop, "bash", "-c", command]

    def stop(self) -> None:
        for host in self.hosts:
            if host.sshd.poll() is None:
                os.killpg(host.sshd.pid, signal.SIGKILL)
                host.sshd.wait()
            self._ip("netns", "del", host.name)
        self._ip("netns", "del", self._laptop)
        self._ip("link", "del", self._bridge)

    def words(self, host: Host, command: str) -> list[str]:
        """Of ssh, to run it there."""
        options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-i", str(self.key)]
        return ["ssh", *options, f"root@{host.address}", command]

    def ssh(self, host: Host, command: str, timeout_s: float = 60) -> str:
        """What it prints there."""
        ran = subprocess.run(self.words(host, command), capture_output=True, text=True, timeout=timeout_s)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout.strip()

    @property
    def _bridge(self) -> str:
        return f"peo{self.mark}br"

    def _join(self, name: str, address: str) -> None:
        """A network namespace of that name and address."""
        self._ip("netns", "add", name)
        self._ip("link", "add", f"{name}o", "type", "veth", "peer", "name", f"{name}i")
        self._ip("link", "set", f"{name}i", "netns", name)
        self._ip("link", "set", f"{name}o", "master", self._bridge, "up")
        for words in (f"addr add {address}/24 dev {name}i", f"link set {name}i up", "link set lo up", f"route add default via {self.net}.254"):
            self._ip("-n", name, *words.split())  # the first default route is how Ray finds out which address is its own

    def _start(self, at: int) -> Host:
        name, address, folder = f"peo{self.mark}n{at}", f"{self.net}.{at}", self.folder / f"host{at}"
        folder.mkdir()
        shared = self.shared if self._share else folder / "own"
        shared.mkdir(exist_ok=True)
        self._join(name, address)
        inside = INSIDE.format(name=name, folder=folder, shared=shared, code=ROOT, python=sys.base_prefix, key=self.key, sshd=SSHD, address=address)
        words = ["ip", "netns", "exec", name, "unshare", "-m", "-u", "-p", "-f", "--kill-child", "--mount-proc", "bash", "-c", inside]
        with (folder / "sshd.log").open("wb") as log:
            host = Host(name, address, folder, subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True))
        deadline = time.monotonic() + 20
        while b"Server listening" not in (log := (folder / "sshd.log").read_bytes()):
            assert host.sshd.poll() is None, log.decode()
            assert time.monotonic() < deadline, log.decode()
            time.sleep(0.1)
        return host

    def _ip(self, *words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True)
