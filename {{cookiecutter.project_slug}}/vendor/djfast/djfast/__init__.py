"""What a fast Django project needs beyond Django and its packages; README.md explains each module."""

__version__ = "0.3.0"
