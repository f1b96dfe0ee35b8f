"""The benchmarks of a Django project: speed defaults, Django's performance guide, comparisons, load."""
