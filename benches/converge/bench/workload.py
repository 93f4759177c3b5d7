"""The same tasks for every tool: what a node should have, and how each tool is told so."""

import json
from dataclasses import dataclass
from functools import cache

ROOT = "/srv/bench"
# Ten tasks in the order in which they stand, again and again: 40 % files, 20 % directories, 20 % lines, 10 % users,
# 10 % services. Mixed, as in a grown playbook, so that no tool gains by doing all tasks of a kind in a row.
MIX = ("file", "directory", "file", "line", "file", "user", "directory", "file", "line", "service")
# So many lines go into one file, which is there before.
LINES_EACH = 10
# The numbers of tasks that are measured.
SIZES = (10, 100, 500)
# More than any workload starts; the image brings the units.
UNITS = 50


@dataclass(frozen=True)
class Task:
    """One task; `number` counts within its kind."""

    kind: str
    number: int

    @property
    def path(self):
        """The file or directory that it is about, below the node's root."""
        match self.kind:
            case "file":
                return f"{ROOT}/files/{self.number:03}.conf"
            case "directory":
                return f"{ROOT}/directories/{self.number:03}"
            case "line":
                return f"{ROOT}/lines/{self.number // LINES_EACH:02}.conf"

    @property
    def content(self):
        """A file's content."""
        return f"# Managed.\nname = file-{self.number:03}\nlisten = 127.0.0.1:{10000 + self.number}\nworkers = 4\n"

    @property
    def line(self):
        """A line, without its end."""
        return f"key-{self.number:03} = value-{self.number:03}"

    @property
    def name(self):
        """The user or unit that it is about."""
        return f"bench-{self.number:03}" if self.kind == "user" else unit(self.number)


def unit(number):
    """The name of one of the units that the image brings."""
    return f"bench-{number:03}.service"


@cache
def tasks(count):
    """The first `count` tasks."""
    seen = dict.fromkeys(MIX, 0)
    made = []
    for at in range(count):
        kind = MIX[at % len(MIX)]
        made.append(Task(kind, seen[kind]))
        seen[kind] += 1
    return tuple(made)


def line_files(count):
    """The files that lines go into, with what they hold before."""
    return {task.path: "# What was there before.\n" * 20 for task in tasks(count) if task.kind == "line"}


def actions(count):
    """The tasks as Stead's task types."""
    for task in tasks(count):
        match task.kind:
            case "file":
                mode = {"owner": "root", "group": "root", "mode": "0644"}
                yield "file", {"path": task.path, "content": task.content, **mode}
            case "directory":
                yield "directory", {"path": task.path, "owner": "root", "group": "root", "mode": "0755"}
            case "line":
                yield "line", {"path": task.path, "line": task.line}
            case "user":
                yield "user", {"name": task.name, "system": True}
            case "service":
                yield "service", {"name": task.name, "state": "started", "enabled": True}


def label(task):
    """A task's name, for people; the same for every tool."""
    return f"{task.kind} {task.number}"


def stead(count):
    """A playbook of Stead's. JSON is YAML."""
    lines = [f"name: bench-{count}", "tasks:"]
    for task, (kind, fields) in zip(tasks(count), actions(count), strict=True):
        lines.append("  - " + json.dumps({"name": label(task), kind: fields}))
    return "\n".join(lines) + "\n"


def ansible(count, strategy):
    """A playbook of Ansible's."""
    head = {"hosts": "all", "strategy": strategy, "gather_facts": False, "become": True}
    lines = ["- " + "\n  ".join(f"{key}: {json.dumps(value)}" for key, value in head.items()), "  tasks:"]
    for task in tasks(count):
        match task.kind:
            case "file":
                module = "copy"
                fields = {"dest": task.path, "content": task.content, "owner": "root", "group": "root", "mode": "0644"}
            case "directory":
                module = "file"
                fields = {"path": task.path, "state": "directory", "owner": "root", "group": "root", "mode": "0755"}
            case "line":
                module, fields = "lineinfile", {"path": task.path, "line": task.line}
            case "user":
                home = {"home": "/nonexistent", "create_home": False, "shell": "/usr/sbin/nologin"}
                module, fields = "user", {"name": task.name, "system": True, **home}
            case "service":
                module, fields = "systemd_service", {"name": task.name, "state": "started", "enabled": True}
        lines.append("    - " + json.dumps({"name": label(task), f"ansible.builtin.{module}": fields}))
    return "\n".join(lines) + "\n"


def pyinfra(count):
    """A deploy of pyinfra's."""
    lines = [
        "from io import StringIO",
        "",
        "from pyinfra import config",
        "from pyinfra.operations import files, server, systemd",
        "",
        "config.SUDO = True",
    ]
    for task in tasks(count):
        name = f"name={label(task)!r}"
        owner = "user='root', group='root'"
        match task.kind:
            case "file":
                call = f"files.put({name}, src=StringIO({task.content!r}), dest={task.path!r}, {owner}, mode='644')"
            case "directory":
                call = f"files.directory({name}, path={task.path!r}, {owner}, mode='755')"
            case "line":
                call = f"files.line({name}, path={task.path!r}, line={task.line!r})"
            case "user":
                home = "home='/nonexistent', ensure_home=False, shell='/usr/sbin/nologin'"
                call = f"server.user({name}, user={task.name!r}, system=True, {home})"
            case "service":
                call = f"systemd.service({name}, service={task.name!r}, running=True, enabled=True)"
        lines.append(call)
    return "\n".join(lines) + "\n"
