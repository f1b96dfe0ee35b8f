"""The application that the production server loads: static files first, Django for the rest."""

import os

from django.core.wsgi import get_wsgi_application
from djfast.static import StaticFiles

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

# Around Django instead of in MIDDLEWARE: see djfast.static.
application = StaticFiles(get_wsgi_application())
