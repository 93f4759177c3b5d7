"""Other programs, run from here."""

import subprocess


class Failed(Exception):
    """Something that the benchmark needs does not work."""


def run(*command, stdin=None, env=None, cwd=None, check=True):
    """Runs a program to its end and gives what it wrote to stdout.

    In a session of its own: Ctrl-C is for the driver alone, which takes down in order what was made.
    """
    source = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
    done = subprocess.run(command, env=env, cwd=cwd, capture_output=True, text=True, start_new_session=True, **source)
    if check and done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()[-5:]
        raise Failed(" ".join(map(str, command))[:200] + f" exited with {done.returncode}: " + "\n".join(said))
    return done.stdout


def drives(pid):
    """Whether there is such a process, and it is a driver of this benchmark."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return b"bench" in file.read().split(b"\0")
    except OSError:
        return False
