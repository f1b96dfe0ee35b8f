"""Settings of every measured process: the project's own, the workload, perhaps a default reverted.

`BENCH_SETTINGS` names the project's settings module, `BENCH_REVERT` the row of djfast.rows that is
reverted to Django's choice ("engine": all of djfast.engine), `BENCH_SIDE` a side of a comparison.
"""

import os
from importlib import import_module

from djfast_bench.layering import measured

project = vars(import_module(os.environ["BENCH_SETTINGS"]))
own = {name: value for name, value in project.items() if name.isupper()}
globals().update(own | measured(own, os.environ))
