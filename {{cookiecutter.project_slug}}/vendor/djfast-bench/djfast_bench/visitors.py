"""The users of `make load`.

Runs in a process of its own, which djfast_bench/load.py starts, because locust replaces Python's
sockets and threads with gevent's. Prints the figures of each second as a line of JSON.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import gevent
from locust import FastHttpUser, constant, events
from locust.env import Environment

order = json.loads(sys.argv[1])  # from load.py: port, cookie, pages, stages, seconds
taken: list[float] = []  # ms: the responses of this second
reasons: list[str] = []  # why other requests failed


class Visitor(FastHttpUser):
    """Requests one page after the other, without a pause."""

    host = f"http://127.0.0.1:{order['port']}"  # this machine only
    wait_time = constant(0)

    def visit(self) -> None:
        for page in order["pages"]:
            self.client.get(page, headers={"cookie": order["cookie"]}, allow_redirects=False)

    tasks = [visit]  # noqa: RUF012 - as in locust


def record(response_time: float, exception: Exception | None, **rest: Any) -> None:
    """Record a response; for locust, a status of 400 or more is an exception."""
    if exception:
        reasons.append(str(exception))
    else:
        taken.append(round(response_time, 2))


def busy_seconds() -> float:
    """Return the CPU time of this process in seconds; on Linux, including the time it waited for a core."""
    try:
        ran, waited, _ = Path("/proc/self/schedstat").read_text().split()
    except OSError:
        return time.process_time()
    return max(time.process_time(), (int(ran) + int(waited)) / 1e9)


def main() -> None:
    """Run the stages; print the responses of each second, and how busy this process was."""
    events.request.add_listener(record)
    runner = Environment(user_classes=[Visitor], events=events).create_local_runner()
    clock, used = time.perf_counter(), busy_seconds()
    for users in order["stages"]:
        runner.start(users, spawn_rate=users)
        for _ in range(order["seconds"]):
            gevent.sleep(1)
            seconds, work = time.perf_counter() - clock, busy_seconds() - used
            clock, used = clock + seconds, used + work
            second = {"users": users, "seconds": seconds, "generator": work / seconds}
            print(json.dumps(second | {"taken": taken, "reasons": reasons}), flush=True)
            taken.clear()
            reasons.clear()
    runner.quit()


if __name__ == "__main__":
    main()
