"""The application that the production server loads: static files first, Django for the rest."""

import os

from django.conf import settings
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from djfast.engine.handler import get_asgi_application
from djfast.static import WhiteNoiseASGI

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

# context switches: Django's own handler changes threads for each middleware, before and after the view.
application = get_asgi_application()
if settings.DEBUG:  # from the source folders, without a build
    application = ASGIStaticFilesHandler(application)
else:
    # Around Django instead of in its middleware: a file costs neither a request object nor the chain.
    application = WhiteNoiseASGI(
        application,
        root=settings.STATIC_ROOT,
        prefix=settings.STATIC_URL,
        # A hash in the name: Django's (app.0123456789ab.css), the bundles' (output.0123456789ab.css).
        immutable_file_test=r"^.+[.-][0-9a-f]{12}\..+$",
    )
