"""The app of a small project, whose pages the tests render on several releases of Django."""
