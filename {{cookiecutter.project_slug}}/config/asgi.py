"""The application that the production server loads: static files first, Django for the rest."""

import os

from djfast.engine.handler import get_asgi_application
from djfast.static import StaticFilesASGI

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

# context switches: Django's own handler changes threads for each middleware, before and after the view.
# Static files around Django instead of in MIDDLEWARE: see djfast.static.
application = StaticFilesASGI(get_asgi_application())
