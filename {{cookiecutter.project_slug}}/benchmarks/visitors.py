"""The visitors of `make load`: let them do what yours do.

A process of its own, which benchmarks/load.py starts: locust puts gevent's sockets and threads in
the place of Python's. It prints what each second brought as a line of JSON.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import gevent
from locust import FastHttpUser, constant, events
from locust.env import Environment

order = json.loads(sys.argv[1])  # of load.py: port, cookie, pages, stages, seconds
taken: list[float] = []  # ms: the answers of this second
reasons: list[str] = []  # why others failed


class Visitor(FastHttpUser):
    """Asks for one page after the other, for the next as soon as one has come."""

    host = f"http://127.0.0.1:{order['port']}"  # this machine and no other
    wait_time = constant(0)

    def visit(self) -> None:
        for page in order["pages"]:
            self.client.get(page, headers={"cookie": order["cookie"]}, allow_redirects=False)

    tasks = [visit]  # noqa: RUF012 - as locust declares it


def note(response_time: float, exception: Exception | None, **rest: Any) -> None:
    """Take down an answer; locust calls a status of 400 and above an exception."""
    if exception:
        reasons.append(str(exception))
    else:
        taken.append(round(response_time, 2))


def busy() -> float:
    """Return the seconds that this process has worked so far or, on Linux, waited for a core."""
    try:
        worked, waited, _ = Path("/proc/self/schedstat").read_text().split()
    except OSError:
        return time.process_time()
    return max(time.process_time(), (int(worked) + int(waited)) / 1e9)


def main() -> None:
    """Let the users of each stage come; print what they got, and how busy this process was."""
    events.request.add_listener(note)
    runner = Environment(user_classes=[Visitor], events=events).create_local_runner()
    clock, used = time.perf_counter(), busy()
    for users in order["stages"]:
        runner.start(users, spawn_rate=users)
        for _ in range(order["seconds"]):
            gevent.sleep(1)
            seconds, work = time.perf_counter() - clock, busy() - used
            clock, used = clock + seconds, used + work
            second = {"users": users, "seconds": seconds, "generator": work / seconds}
            print(json.dumps(second | {"taken": taken, "reasons": reasons}), flush=True)
            taken.clear()
            reasons.clear()
    runner.quit()


if __name__ == "__main__":
    main()
