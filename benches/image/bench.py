"""Times the building of one image, beside what its users would pick instead: README.md beside this file."""

import argparse
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

IMAGE = "agent-node"
# The same packages, and nothing of the profile.
PLAIN = "plain"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def say(text):
    print(text, file=sys.stderr, flush=True)


def run(command, log, **more):
    """Runs a command to its end, its talk in a file; gives its wall time in seconds."""
    begun = time.monotonic()
    with open(log, "wb") as talk:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=talk, stderr=talk, **more)
    seconds = time.monotonic() - begun
    if done.returncode:
        raise Failed(f"{Path(str(command[0])).name} ended with {done.returncode}", log)
    return seconds


class Failed(Exception):
    """A program that did not do what it was asked for."""

    def __init__(self, text, log):
        lines = [line.strip() for line in Path(log).read_text(errors="replace").splitlines()]
        complaints = [line for line in lines if re.search(r"mapper|failed|cannot|unable|^E:", line, flags=re.I)]
        super().__init__(f"{text}: {(complaints or lines or ['it said nothing'])[0]}")


class Stead:
    """Stead, with a fleet and a cache of its own."""

    name = "stead: root and bootable disk"

    def __init__(self, program, work):
        self.program, self.work = program, work / "stead"
        self.fleet, self.log = self.work / "fleet", self.work / "log"
        self.env = dict(os.environ, STEAD_CACHE_DIR=str(self.work / "cache"))
        self.work.mkdir()
        run([program, "init", "--name", "bench", str(self.fleet)], self.log, env=self.env)
        self.image("lock", IMAGE)
        self.image("lock", "tools")

    def command(self, *words):
        return [self.program, "--json", "--fleet", str(self.fleet), "image", *words]

    def image(self, *words):
        return run(self.command(*words), self.log, env=self.env)

    def said(self, *words):
        done = subprocess.run(self.command(*words), env=self.env, capture_output=True, check=True, text=True)
        return json.loads(done.stdout.strip().splitlines()[-1])

    def lock(self):
        return json.loads(next((self.fleet / "images" / IMAGE).glob("lock.*.json")).read_text())

    def forget(self, packages):
        for name in ["stages", "disks"] + (["debs", "apt"] if packages else []):
            shutil.rmtree(self.work / "cache" / name, ignore_errors=True)

    def cold(self):
        """With the archives' lists and the resolving, which the others do in every build."""
        self.forget(packages=True)
        for lock in (self.fleet / "images").glob("*/lock.*.json"):
            lock.unlink()
        return self.image("lock", IMAGE) + self.image("lock", "tools") + self.image("build", IMAGE)

    def warm(self):
        self.forget(packages=False)
        return self.image("build", IMAGE)

    def change(self, source, number):
        """Another playbook in the definition, as an operator makes it all day; then builds."""
        (self.fleet / "playbooks").mkdir(exist_ok=True)
        task = f'file: {{path: /etc/bench, content: "{number}\\n", mode: "0644"}}'
        (self.fleet / "playbooks/bench.yaml").write_text(f"name: bench\ntasks:\n  - {task}\n")
        text = (source / "images" / IMAGE / "image.yaml").read_text()
        text = re.sub(r"^playbooks: \[(.*)\]$", r"playbooks: [\1, bench]", text, flags=re.M)
        (self.fleet / "images" / IMAGE / "image.yaml").write_text(text)
        return self.image("build", IMAGE)

    def plain(self, source):
        """An image of the same packages, with the network and the agent that a node needs, and nothing of the profile."""
        folder = self.fleet / "images" / PLAIN
        folder.mkdir()
        text = (source / "images" / IMAGE / "image.yaml").read_text()
        text = re.sub(r"^hardening:.*\n", "", text, flags=re.M).replace(f"name: {IMAGE}", f"name: {PLAIN}")
        text = re.sub(r"^playbooks:.*$", "playbooks: [base]", text, flags=re.M)
        (folder / "image.yaml").write_text(text)
        for lock in (self.fleet / "images" / IMAGE).glob("lock.*.json"):
            shutil.copy(lock, folder)
        self.image("build", PLAIN)

    def disk(self):
        return Path(self.said("build", IMAGE)["disk"])


class Peer:
    """A peer builds the root of the same packages into `self.root`."""

    def __init__(self, work, lock, archive):
        self.work = work / type(self).__name__.lower()
        self.work.mkdir()
        self.log, self.root = self.work / "log", self.work / "root"
        self.suite, self.arch, self.archive = lock["suite"], lock["arch"], archive
        # What those need comes along, as in the lock. Names with a version in them may be the security archive's alone.
        self.packages = lock["requested"]

    def cold(self):
        self.forget()
        return self.warm()

    def forget(self):
        """Removes what it keeps of packages."""

    def warm(self):
        shutil.rmtree(self.root, ignore_errors=True)
        return self.build()

    def tree(self):
        """The root as a folder."""
        return self.root


class Mmdebstrap(Peer):
    name = "mmdebstrap: root, as a folder"

    def build(self):
        source = f"deb [signed-by={KEYRING}] {self.archive} {self.suite} main"
        command = ["mmdebstrap", "--mode=root", "--variant=apt", "--format=directory", f"--architectures={self.arch}"]
        names = ",".join(self.packages)
        return run([*command, f"--include={names}", self.suite, str(self.root), source], self.log)


class Mkosi(Peer):
    name = "mkosi: root, as a folder"

    def forget(self):
        shutil.rmtree(self.work / "cache", ignore_errors=True)

    def build(self):
        (self.work / "cache").mkdir(exist_ok=True)
        packages = "".join(f"    {name}\n" for name in self.packages)
        (self.work / "mkosi.conf").write_text(
            f"[Distribution]\nDistribution=debian\nRelease={self.suite}\nMirror={self.archive}\n"
            f"[Output]\nFormat=directory\nOutput={self.root}\nBootable=no\n"
            f"[Content]\nPackages=\n{packages}"
            # Without it, systemd would have to rule this machine.
            f"[Host]\nCache={self.work}/cache\nNspawnKeepUnit=yes\n"
        )
        return run(["mkosi", "--directory", str(self.work), "--force", "build"], self.log)


class Debos(Peer):
    name = "debos: root, as a tar"

    def build(self):
        self.root.mkdir()
        packages = "".join(f"      - {name}\n" for name in self.packages)
        (self.work / "root.yaml").write_text(
            f"architecture: {self.arch}\nactions:\n"
            f"  - action: debootstrap\n    suite: {self.suite}\n    mirror: {self.archive}\n    variant: minbase\n"
            f"    keyring-file: {KEYRING}\n    components: [main]\n"
            f"  - action: apt\n    recommends: false\n    packages:\n{packages}"
            f"  - action: pack\n    file: root.tar\n    compression: none\n"
        )
        scratch = {**os.environ, "TMPDIR": str(self.work)}
        command = ["debos", "--disable-fakemachine", "--artifactdir", str(self.root), str(self.work / "root.yaml")]
        return run(command, self.log, cwd=self.work, env=scratch)

    def tree(self):
        unpacked = self.work / "tree"
        unpacked.mkdir(exist_ok=True)
        run(["tar", "-C", str(unpacked), "--numeric-owner", "-xpf", str(self.root / "root.tar")], self.log)
        return unpacked


class Vmdb2(Peer):
    name = "vmdb2: root on a disk"

    def build(self):
        packages = "".join(f"      - {name}\n" for name in self.packages)
        self.root.mkdir()
        (self.work / "disk.yaml").write_text(
            'steps:\n  - mkimg: "{{ output }}"\n    size: 4G\n'
            '  - mklabel: gpt\n    device: "{{ output }}"\n'
            '  - mkpart: primary\n    device: "{{ output }}"\n    start: 0%\n    end: 100%\n    tag: /\n'
            '  - kpartx: "{{ output }}"\n  - mkfs: ext4\n    partition: /\n  - mount: /\n'
            f"  - debootstrap: {self.suite}\n    mirror: {self.archive}\n    target: /\n    keyring: {KEYRING}\n"
            f"  - apt: install\n    packages:\n{packages}    tag: /\n"
        )
        command = ["vmdb2", "--output", str(self.root / "disk.img"), str(self.work / "disk.yaml")]
        return run(command, self.log)


def archive():
    """This machine's own archive, from what apt was told."""
    said = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(SITE) $(RELEASE)", "Created-By: Packages"],
        capture_output=True, check=True, text=True,
    ).stdout
    sites = [line.split()[0] for line in said.splitlines() if not line.split()[1].endswith("-security")]
    if not sites:
        sys.exit("apt knows no archive: look at /etc/apt/sources.list")
    return sites[0]


def sized(tree, work, megabytes=4096):
    """The size of a folder as a compressed disk, made as for all others, in bytes."""
    raw, disk, log = work / "sized.raw", work / "sized.qcow2", work / "sized.log"
    with open(raw, "wb") as file:
        file.truncate(megabytes << 20)
    run(["mke2fs", "-q", "-t", "ext4", "-d", str(tree), str(raw)], log)
    convert = ["qemu-img", "convert", "-c", "-O", "qcow2", "-o", "compression_type=zstd"]
    run([*convert, str(raw), str(disk)], log)
    size = disk.stat().st_size
    raw.unlink()
    disk.unlink()
    return size


def main():
    parser = argparse.ArgumentParser(prog="benches/image/run", description=__doc__)
    parser.add_argument("--stead", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=3, help="how often each is done, in turn [default: 3]")
    parser.add_argument("--boot", action="store_true", help="boot the image, and one of the same packages without profile")
    parser.add_argument("--json", metavar="FILE", help="write all figures there")
    options = parser.parse_args()
    source = Path(__file__).resolve().parents[2]
    with tempfile.TemporaryDirectory(prefix="stead-image-bench.", dir=os.environ.get("TMPDIR", "/var/tmp")) as folder:
        figures = measure(options, source, Path(folder))
    figures["machine"] = f"{os.cpu_count()} cores, {platform.machine()}, Linux {platform.release()}"
    if options.json:
        Path(options.json).write_text(json.dumps(figures, indent=1) + "\n")
    report(figures, options.rounds)


def measure(options, source, work):
    say("resolving the lock")
    stead = Stead(options.stead, work)
    lock, site = stead.lock(), archive()
    tools = [stead] + [peer(work, lock, site) for peer in (Mmdebstrap, Mkosi, Debos, Vmdb2)]
    seconds, sizes, missing = {}, {}, {}
    for number in range(options.rounds):
        # Whoever is first finds the archive, or a cache on the way to it, cold: another one in each round.
        turn = tools[number % len(tools):] + tools[:number % len(tools)]
        for kind in ("cold", "warm"):
            for tool in [tool for tool in turn if tool.name not in missing]:
                say(f"round {number + 1} of {options.rounds}: {kind}, {tool.name}")
                try:
                    took = getattr(tool, kind)()
                    seconds.setdefault(kind, {}).setdefault(tool.name, []).append(took)
                except Failed as why:
                    say(str(why))
                    missing[tool.name] = str(why)
        # What comes after uses what the stored build left.
        seconds.setdefault("unchanged", {}).setdefault(stead.name, []).append(stead.image("build", IMAGE))
        changed = stead.change(source, number)
        seconds.setdefault("playbook changed", {}).setdefault(stead.name, []).append(changed)
        shutil.rmtree(stead.fleet / "playbooks")
        (stead.fleet / "images" / IMAGE / "image.yaml").unlink()
    say("sizes")
    stead.image("build", IMAGE)
    sizes[stead.name] = stead.disk().stat().st_size
    for tool in [tool for tool in tools[1:] if tool.name not in missing]:
        sizes[tool.name] = sized(tool.tree(), work)
    return {"seconds": seconds, "sizes": sizes, "missing": missing, "boots": boots(options, stead, source),
            "packages": len(lock["packages"])}


def boots(options, stead, source):
    """Seconds until the first login and in userspace, in turn."""
    found = {}
    if options.boot:
        stead.plain(source)
        for number in range(options.rounds):
            for image in (IMAGE, PLAIN):
                say(f"boot {number + 1} of {options.rounds}: {image}")
                try:
                    found.setdefault(image, []).append(stead.said("boot", image, "--firmware", "bios"))
                except subprocess.CalledProcessError as failed:
                    say(f"{image} does not boot as it should: {failed.stderr.strip().splitlines()[-1]}")
    return found


def middle(values):
    spread = f" ({min(values):.2f} to {max(values):.2f})" if len(values) > 1 else ""
    return f"{statistics.median(values):.2f}{spread}"


def report(figures, rounds):
    print(f"{figures['machine']}; {figures['packages']} packages; {rounds} rounds, in turn; median (range) in seconds\n")
    for kind, tools in figures["seconds"].items():
        for name, values in sorted(tools.items(), key=lambda item: statistics.median(item[1])):
            print(f"{kind:<17} {name:<30} {middle(values)}")
    print()
    for name, size in sorted(figures["sizes"].items(), key=lambda item: item[1]):
        print(f"{'compressed disk':<17} {name:<30} {size / (1 << 20):.1f} MiB")
    for image, reports in figures["boots"].items():
        for phase in ("ssh", "userspace"):
            values = [boot["seconds"][phase] for report in reports for boot in report["boots"] if phase in boot["seconds"]]
            if values:
                print(f"{'boot: ' + phase:<17} {image:<30} {middle(values)}")
    for name, why in figures["missing"].items():
        print(f"\n{name} could not run here: {why}")


if __name__ == "__main__":
    main()
