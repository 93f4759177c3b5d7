"""The nodes: a fleet of the benchmark's own, and what is on them, looked at and changed past every tool.

A local node is a container, so its files are this machine's: the driver reads and writes them below `/proc/PID/root` of
the node's PID 1, and asks its systemd by entering its namespaces.
"""

import glob
import json
import os
import platform
import re
import shutil
import tempfile
import time

from . import workload
from .shell import Failed, drives, run

IMAGE = "bench-node"
PREFIX = "stead-converge."
KNOWN_HOSTS = "known_hosts"
UNIT = """[Unit]
Description=A service of the benchmark's

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true

[Install]
WantedBy=multi-user.target
"""
# What Debian starts by itself now and then, and what would then be measured.
QUIET = ("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer")
ACCOUNTS = ("passwd", "shadow", "group", "gshadow")


class Node:
    """One node."""

    def __init__(self, view):
        self.id, self.mark, self.user = view["id"], view["mark"], view["user"]
        self.address = view["addresses"][0]
        self.host_key = view["host_key"]
        self.pid = self._init()

    def _init(self):
        """The process id of its PID 1, as this machine sees it."""
        for scope in ("payload/init.scope", "init.scope"):
            for path in glob.glob(f"/sys/fs/cgroup/**/{self.mark}/{scope}/cgroup.procs", recursive=True):
                with open(path) as file:
                    if pid := file.readline().strip():
                        return pid
            unit = f"/sys/fs/cgroup/**/stead-{self.mark}.service/node/{scope}/cgroup.procs"
            for path in glob.glob(unit, recursive=True):
                with open(path) as file:
                    if pid := file.readline().strip():
                        return pid
        raise Failed(f"no control group of {self.mark}")

    def at(self, path):
        """Where a path of the node's lies here."""
        return f"/proc/{self.pid}/root{path}"

    def enter(self, *command):
        """The command that runs a command on the node as root, past SSH."""
        return ("nsenter", "-t", self.pid, "-m", "-n", "-p", "-u", "-i", "-C", "-r", "-w", "--", *command)

    def systemctl(self, *arguments):
        """Has the node's systemd do or tell something."""
        return run(*self.enter("systemctl", *arguments))

    def reset(self, count):
        """Takes back all that a workload makes; what its tasks build on is there."""
        shutil.rmtree(self.at(workload.ROOT), ignore_errors=True)
        for folder in ("files", "directories", "lines"):
            os.makedirs(self.at(f"{workload.ROOT}/{folder}"))
        for path, text in workload.line_files(count).items():
            self.write(path, text)
        for name in ACCOUNTS:
            with open(self.at(f"/etc/{name}")) as file:
                kept = [line for line in file if not line.startswith("bench-")]
            self.write(f"/etc/{name}", "".join(kept))
        units = [workload.unit(number) for number in range(workload.UNITS)]
        self.systemctl("--quiet", "disable", "--now", *units)

    def fill(self, count):
        """Makes all that the workload wants, as a converge would have left it."""
        self.reset(count)
        for task in workload.tasks(count):
            match task.kind:
                case "file":
                    self.write(task.path, task.content)
                case "directory":
                    os.mkdir(self.at(task.path))
                    os.chmod(self.at(task.path), 0o755)
                case "line":
                    self.append(task.path, task.line + "\n")
                case "user":
                    number = 300 + task.number
                    self.append("/etc/passwd", f"{task.name}:x:{number}:{number}::/nonexistent:/usr/sbin/nologin\n")
                    self.append("/etc/shadow", f"{task.name}:!:20000::::::\n")
                    self.append("/etc/group", f"{task.name}:x:{number}:\n")
                    self.append("/etc/gshadow", f"{task.name}:!::\n")
        if units := [task.name for task in workload.tasks(count) if task.kind == "service"]:
            self.systemctl("--quiet", "enable", "--now", *units)

    def drift(self, count):
        """Changes the first file, so that one task has something to do."""
        self.write(next(task for task in workload.tasks(count) if task.kind == "file").path, "changed by hand\n")

    def write(self, path, text):
        """Writes a file in place; a new one is root's, 0644."""
        with open(self.at(path), "w") as file:
            file.write(text)
        if path.startswith(workload.ROOT):
            os.chmod(self.at(path), 0o644)

    def append(self, path, text):
        """Adds to a file."""
        with open(self.at(path), "a") as file:
            file.write(text)

    def wrong(self, count):
        """What is not as the workload wants it, in words."""
        with open(self.at("/etc/passwd")) as file:
            users = {line.split(":", 1)[0]: line.rstrip("\n").split(":")[5:] for line in file}
        units = [task.name for task in workload.tasks(count) if task.kind == "service"]
        shown = self.systemctl("show", "--property=ActiveState,UnitFileState", *units) if units else ""
        blocks = shown.strip().split("\n\n") if units else []
        states = {unit: set(block.split("\n")) for unit, block in zip(units, blocks, strict=True)}
        return [
            f"{task.kind} {task.path or task.name}"
            for task in workload.tasks(count)
            if not self._is_right(task, users, states)
        ]

    def _is_right(self, task, users, states):
        def mode(path):
            status = os.stat(self.at(path))
            return status.st_mode & 0o7777, status.st_uid, status.st_gid

        def text(path):
            with open(self.at(path)) as file:
                return file.read()

        try:
            match task.kind:
                case "file":
                    return text(task.path) == task.content and mode(task.path) == (0o644, 0, 0)
                case "directory":
                    return os.path.isdir(self.at(task.path)) and mode(task.path) == (0o755, 0, 0)
                case "line":
                    return text(task.path).split("\n").count(task.line) == 1
                case "user":
                    return users.get(task.name) == ["/nonexistent", "/usr/sbin/nologin"]
                case "service":
                    return states[task.name] == {"ActiveState=active", "UnitFileState=enabled"}
        except FileNotFoundError:
            return False


class Fleet:
    """A fleet with a number of nodes, in a folder of its own. Whoever made it takes it down with `close`."""

    def __init__(self, stead, count):
        self.stead = stead
        # On a disk: /tmp may be memory, and a node's folder must carry an overlay.
        self.work = tempfile.mkdtemp(prefix=PREFIX, dir=os.environ.get("TMPDIR", "/var/tmp"))
        with open(f"{self.work}/pid", "w") as file:
            file.write(str(os.getpid()))
        self.dir = f"{self.work}/fleet"
        self.key = f"{self.dir}/.stead/keys/fleet_ssh"
        self.known_hosts = f"{self.work}/{KNOWN_HOSTS}"
        self.names = [f"n{number:02}" for number in range(count)]
        self.nodes = []
        self.id = ""

    def command(self, *arguments):
        """A command of Stead's on this fleet."""
        return (self.stead, "--fleet", self.dir, "--no-progress", *arguments)

    def open(self):
        """Writes the fleet and brings its nodes up."""
        run(self.stead, "init", self.dir, "--name", "bench", "--quiet")
        with open(f"{self.dir}/stead.yaml") as file:
            self.id = re.search(r"\bfl_\w+", file.read())[0]
        self._write("stead.yaml", self._main())
        arch = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
        image = {"name": IMAGE, "suite": "trixie", "arch": arch, "packages": ["python3"], "playbooks": ["base", IMAGE]}
        self._write(f"images/{IMAGE}/image.yaml", json.dumps(image, indent=2))
        self._write(
            f"playbooks/{IMAGE}.yaml", json.dumps({"name": IMAGE, "tasks": list(self._in_the_image())}, indent=2)
        )
        for count in workload.SIZES:
            self._write(f"playbooks/bench-{count}.yaml", workload.stead(count))
        run(*self.command("--quiet", "up"))
        for name in self.names:
            self.nodes.append(Node(json.loads(run(*self.command("--json", "--quiet", "node", "show", name)))))
        with open(self.known_hosts, "w") as file:
            file.writelines(f"{node.address} {node.host_key}\n" for node in self.nodes)

    def _main(self):
        tier = {
            "provider": "local",
            "size": {"vcpus": 1, "memory": "1GiB", "disk": "4GiB"},
            "image": IMAGE,
            "playbooks": ["bootstrap"],
        }
        return json.dumps(
            {
                "fleet": {"name": "bench", "id": self.id},
                "providers": {"local": {"kind": "local"}},
                "tiers": {"bench": tier},
                "workspaces": {name: {"tier": "bench"} for name in self.names},
            },
            indent=2,
        )

    def _in_the_image(self):
        for number in range(workload.UNITS):
            path = f"/etc/systemd/system/{workload.unit(number)}"
            yield {"file": {"path": path, "content": UNIT, "mode": "0644"}}
        for timer in QUIET:
            # As `systemctl mask` would; some of them are not on every Debian.
            yield {"symlink": {"path": f"/etc/systemd/system/{timer}", "target": "/dev/null"}}

    def _write(self, path, text):
        path = f"{self.dir}/{path}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)

    def settle(self):
        """Waits until the nodes have nothing to do by themselves."""
        deadline = time.monotonic() + 120
        for node in self.nodes:
            while node.systemctl("list-jobs", "--no-legend").strip():
                if time.monotonic() > deadline:
                    raise Failed(f"{node.mark} does not come to rest")
                time.sleep(0.5)

    def close(self):
        """Takes the nodes down, and the folder away once nothing hangs on it."""
        take_down(self.stead, self.work)


def take_down(stead, work):
    """Takes down the fleet in a work folder, and removes the folder."""
    if os.path.exists(f"{work}/fleet/.stead"):
        run(stead, "--fleet", f"{work}/fleet", "--quiet", "down", "--yes")
    if os.path.isdir(f"{work}/fleet/.stead/nodes"):
        raise Failed(f"nodes are left in {work}/fleet")
    shutil.rmtree(work, ignore_errors=True)


def sweep(stead):
    """Takes down the fleets of drivers that were killed."""
    for work in glob.glob(f"{os.environ.get('TMPDIR', '/var/tmp')}/{PREFIX}*"):
        try:
            with open(f"{work}/pid") as file:
                pid = file.read()
        except FileNotFoundError:
            pid = ""
        if not drives(pid):
            take_down(stead, work)
