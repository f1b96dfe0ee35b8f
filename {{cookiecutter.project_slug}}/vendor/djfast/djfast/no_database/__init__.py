"""The database of a development process that found none running."""
