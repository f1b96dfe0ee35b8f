"""An application as in a generated project's `config/asgi.py`."""

from djfast.engine.handler import get_asgi_application

application = get_asgi_application()
