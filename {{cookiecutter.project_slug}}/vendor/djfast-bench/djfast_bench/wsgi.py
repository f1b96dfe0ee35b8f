"""The WSGI application of a project that has no server of its own: what its WSGI_APPLICATION names."""

from django.core.servers.basehttp import get_internal_wsgi_application

application = get_internal_wsgi_application()
