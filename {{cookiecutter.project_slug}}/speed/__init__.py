"""What Django leaves out: one module per default, and `defaults.py`, the table of them all."""

__version__ = "0.1"
