"""gunicorn's settings for a project that has no server of its own; older releases ignore new names."""

control_socket_disable = True  # both sides would create the same socket
errorlog = "-"
