"""pytest fixtures: the project's services, its production server, and a budget for each page."""
