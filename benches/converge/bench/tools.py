"""The tools that are compared, each in its best configuration; `../README.md` has the reasons."""

import json
import os
import re
import shlex
import shutil

from . import workload
from .shell import Failed, run

# What every OpenSSH client is told, Ansible's included: this key, these host keys, nothing of the user's own settings.
SSH = (
    "-F none -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=yes -o GlobalKnownHostsFile=/dev/null "
    "-o UserKnownHostsFile={known_hosts}"
)


class Tool:
    """One tool, set up for one fleet in a folder of its own."""

    name = ""
    # Whether it does anything but connect.
    converges = True

    def __init__(self, fleet, venv):
        self.fleet, self.venv = fleet, venv
        self.dir = f"{fleet.work}/{self.name}"
        os.makedirs(f"{self.dir}/home")
        self.ssh = SSH.format(known_hosts=fleet.known_hosts)
        self.set_up()

    def environment(self):
        """All of the tool's environment: nothing of the user's own gets in."""
        return {"PATH": os.environ["PATH"], "HOME": f"{self.dir}/home", "LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}

    def set_up(self):
        """Writes the tool's files."""

    def version(self):
        """Its version, for the table."""
        raise NotImplementedError

    def before(self):
        """Called before each run: every run begins with a fresh connection."""

    def command(self, nodes, count):
        """The command that converges the first `nodes` nodes to `count` tasks."""
        raise NotImplementedError

    def changed(self, said):
        """How many tasks were changed, on all nodes together, by the tool's own account."""
        raise NotImplementedError

    def write(self, name, text):
        """Writes one of the tool's files."""
        path = f"{self.dir}/{name}"
        with open(path, "w") as file:
            file.write(text)
        return path


class Bare(Tool):
    """The floor: log in on every node at once, run `true`, log out."""

    name = "ssh"
    converges = False

    def version(self):
        return re.search(r"OpenSSH_([\w.]+)", run("sh", "-c", "ssh -V 2>&1"))[1]

    def command(self, nodes, count):
        one = f"ssh {self.ssh} -o ControlPath=none -i {shlex.quote(self.fleet.key)} "
        if nodes == 1:
            return shlex.split(one + f"{self.fleet.nodes[0].user}@{self.fleet.nodes[0].address} true")
        logins = (f'{one}{node.user}@{node.address} true & jobs="$jobs $!"' for node in self.fleet.nodes[:nodes])
        return ["sh", "-c", "; ".join((*logins, "for job in $jobs; do wait $job || exit; done"))]

    def changed(self, said):
        return 0


class Stead(Tool):
    """Stead."""

    name = "stead"

    def version(self):
        return run(self.fleet.stead, "--version").split()[1]

    @classmethod
    def available(cls, stead):
        """Whether this program has the command."""
        return "converge" in run(stead, "--help")

    def command(self, nodes, count):
        names = self.fleet.names[:nodes]
        return self.fleet.command("--json", "--quiet", "converge", "--playbook", f"bench-{count}", *names)

    def changed(self, said):
        rows = json.loads(said.splitlines()[-1])
        return sum(row["changed"] for row in rows)


class Ansible(Tool):
    """Ansible."""

    name = "ansible"
    strategy = "free"

    def settings(self):
        """What `ansible.cfg` has in its section of defaults, beside what both ways of running Ansible share."""
        return ""

    def set_up(self):
        self.write(
            "ansible.cfg",
            "[defaults]\n"
            f"inventory = {self.dir}/inventory.ini\n"
            f"home = {self.dir}/home\n"
            f"private_key_file = {self.fleet.key}\n"
            "remote_user = stead\n"
            # Looking for an interpreter would cost a round trip.
            "interpreter_python = /usr/bin/python3\n"
            "gathering = explicit\n"
            "retry_files_enabled = False\n"
            "deprecation_warnings = False\n"
            "nocolor = True\n"
            f"{self.settings()}"
            "[ssh_connection]\n"
            "pipelining = True\n"
            f"ssh_args = {self.ssh} -C -o ControlMaster=auto -o ControlPersist=60s\n"
            f"control_path_dir = {self.dir}/c\n",
        )
        for count in workload.SIZES:
            self.write(f"bench-{count}.yaml", workload.ansible(count, self.strategy))
        for nodes in range(1, len(self.fleet.nodes) + 1):
            chosen = zip(self.fleet.names[:nodes], self.fleet.nodes[:nodes], strict=True)
            addresses = (f"{name} ansible_host={node.address}" for name, node in chosen)
            self.write(f"inventory-{nodes}.ini", "\n".join(addresses) + "\n")

    def environment(self):
        return super().environment() | {"ANSIBLE_CONFIG": f"{self.dir}/ansible.cfg"}

    def version(self):
        return re.search(r"core ([\w.]+)", run(f"{self.venv}/bin/ansible", "--version"))[1]

    def before(self):
        # The persistent processes end with each run; a socket that one left would only be in the way.
        shutil.rmtree(f"{self.dir}/c", ignore_errors=True)

    def command(self, nodes, count):
        inventory = f"{self.dir}/inventory-{nodes}.ini"
        playbook = f"{self.dir}/bench-{count}.yaml"
        return [f"{self.venv}/bin/ansible-playbook", "-i", inventory, "-f", str(nodes), playbook]

    def changed(self, said):
        recap = said.split("PLAY RECAP")[-1]
        return sum(map(int, re.findall(r"\bchanged=(\d+)", recap)))


class Mitogen(Ansible):
    """Ansible with Mitogen's strategy."""

    name = "mitogen"
    strategy = "mitogen_free"

    def settings(self):
        plugins = f"{self.venv}/lib/*/site-packages/ansible_mitogen/plugins/strategy"
        found = run("sh", "-c", f"ls -d {plugins}").strip()
        return f"strategy_plugins = {found}\n"

    def version(self):
        own = run(f"{self.venv}/bin/python", "-c", "import mitogen; print(*mitogen.__version__, sep='.')").strip()
        return f"{own} on Ansible {super().version()}"


class Pyinfra(Tool):
    """pyinfra."""

    name = "pyinfra"

    def set_up(self):
        for count in workload.SIZES:
            self.write(f"bench_{count}.py", workload.pyinfra(count))
        data = {
            "ssh_user": "stead",
            "ssh_key": self.fleet.key,
            "ssh_known_hosts_file": self.fleet.known_hosts,
            "ssh_strict_host_key_checking": "yes",
            "ssh_allow_agent": False,
            "ssh_look_for_keys": False,
            "ssh_config_file": "/dev/null",
        }
        for nodes in range(1, len(self.fleet.nodes) + 1):
            hosts = [(node.address, data) for node in self.fleet.nodes[:nodes]]
            self.write(f"inventory_{nodes}.py", f"hosts = {hosts!r}\n")

    def version(self):
        return run(f"{self.venv}/bin/pip", "show", "pyinfra").split("Version: ")[1].split()[0]

    def command(self, nodes, count):
        files = f"{self.dir}/inventory_{nodes}.py", f"{self.dir}/bench_{count}.py"
        return [f"{self.venv}/bin/pyinfra", "-y", "--no-wait", "--parallel", str(nodes), *files]

    def changed(self, said):
        total = re.search(r"Grand total\s+\d+\s+(\d+|-)", said)
        if not total:
            raise Failed("pyinfra gave no results")
        return int(total[1].replace("-", "0"))


ALL = {tool.name: tool for tool in (Bare, Stead, Ansible, Mitogen, Pyinfra)}
