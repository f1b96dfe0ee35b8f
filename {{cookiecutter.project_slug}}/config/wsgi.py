"""The application that the production server loads: static files first, Django for the rest."""

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from whitenoise import WhiteNoise

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = get_wsgi_application()
if not settings.DEBUG:  # runserver finds the files by itself, without a build
    # Around Django instead of in its middleware: a file costs neither a request object nor the chain.
    application = WhiteNoise(
        application,
        root=settings.STATIC_ROOT,
        prefix=settings.STATIC_URL,
        # A hash in the name: Django's (app.0123456789ab.css), the bundles' (output.0123456789ab.css).
        immutable_file_test=r"^.+[.-][0-9a-f]{12}\..+$",
    )
