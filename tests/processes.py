"""Commands at a terminal, and the processes that they leave behind."""

import os
import pty
import subprocess
import threading
from pathlib import Path

import psutil


class Terminal:
    """A command at a terminal of its own, where Ctrl-C means what it means to a person."""

    def __init__(self, *command: str, cwd: Path, env: dict[str, str]) -> None:
        self.keyboard, screen = pty.openpty()
        self.log = cwd.with_name(f"{cwd.name}.log")
        # --default-signal: a job in the background, as CI may be, has Ctrl-C turned off.
        self.process = subprocess.Popen(
            ["setsid", "--ctty", "env", "--default-signal=INT", *command],
            cwd=cwd,
            env=env,
            stdin=screen,
            stdout=screen,
            stderr=screen,
        )
        os.close(screen)
        threading.Thread(target=self._copy, daemon=True).start()

    def _copy(self) -> None:
        with self.log.open("wb", buffering=0) as log:
            try:
                while printed := os.read(self.keyboard, 4096):
                    log.write(printed)
            except OSError:  # the last process has closed the terminal
                pass

    def press_control_c(self, *, seconds: float) -> int:
        """Press it, and return the exit code; fails after `seconds`."""
        os.write(self.keyboard, b"\x03")
        return self.process.wait(seconds)

    def close(self) -> None:
        """End what a failed test has left."""
        self.process.kill()
        os.close(self.keyboard)


def working_in(*folders: Path) -> list[str]:
    """Return the command lines of all processes whose working directory lies in one of `folders`."""
    found = []
    for process in psutil.process_iter():
        try:
            if any(Path(process.cwd()).is_relative_to(folder) for folder in folders):
                found.append(" ".join(process.cmdline()) or process.name())
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            pass  # ended since, or another program's
    return found
