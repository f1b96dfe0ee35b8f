"""Django's performance guide, claim by claim: each piece of advice is tested on the workload."""

from importlib import import_module

from djfast_bench.advice.base import ADVICE, Advice, measure_advice

__all__ = ["ADVICE", "Advice", "measure_advice"]

# Each module adds its advice to ADVICE, in the order of documents.
for topic in (
    "database",
    "writing",
    "python",
    "http",
    "caching",
    "static",
    "templates",
    "compiled",
):
    import_module(f"{__name__}.{topic}")
