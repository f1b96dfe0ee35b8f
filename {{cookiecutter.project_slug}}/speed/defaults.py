"""The speed defaults of this project, one row each: data only."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Default:
    """One speed default.

    Attributes:
        name: what settings, documents and results call it.
        setting: where it is set.
        django: Django's own choice.
        buys: what it buys, in one sentence.
        scenario: the benchmark that shows it.
        module: what makes it, where Django and its packages do not.
    """

    name: str
    setting: str
    django: str
    buys: str
    scenario: str
    module: str = ""


DEFAULTS = (
    # {% if cookiecutter.interface == "wsgi" %}
    Default(
        name="persistent connections",
        setting="DATABASES: CONN_MAX_AGE=600, CONN_HEALTH_CHECKS",
        django="CONN_MAX_AGE=0: a new connection for each request",
        buys="A request finds its database connection open instead of making one.",
        scenario="a page with one query",
    ),
    Default(
        name="health check",
        setting="DATABASES: ENGINE speed.postgresql",
        django="CONN_HEALTH_CHECKS sends a query before the first one of each request",
        buys="A connection that was in use a moment ago is known to be alive without a query.",
        scenario="a page with one query",
        module="speed.postgresql",
    ),
    # {% else %}
    Default(
        name="connection pool",
        setting='DATABASES: OPTIONS["pool"], CONN_HEALTH_CHECKS',
        django="no pool, CONN_MAX_AGE=0: a new connection for each request",
        buys="A request borrows an open database connection instead of making one.",
        scenario="a page with one query",
    ),
    Default(
        name="context switches",
        setting="config/asgi.py: the application of speed.handler",
        django="the view changes threads, and each middleware before and after it",
        buys="A view that is not async changes threads once, together with its middleware.",
        scenario="a page without a query",
        module="speed.handler",
    ),
    # {% endif %}
    Default(
        name="lean middleware",
        setting="MIDDLEWARE: ConditionalGetMiddleware, MessageMiddleware of speed.middleware",
        django="a storage for messages and a comparison of ETags for each request",
        buys="A request without messages, and without an ETag to compare, costs neither.",
        scenario="a page without a query",
        module="speed.middleware",
    ),
    Default(
        name="redis cache",
        setting="CACHES: django-redis, one database per alias",
        django="LocMemCache, private to each process; its client for Redis makes a new client per call",
        buys="All processes share what one of them has cached, and what one of them deletes.",
        scenario="a value read from the cache",
    ),
    Default(
        name="cached sessions",
        setting="SESSION_ENGINE: cached_db",
        django="db: a query for each request of a signed-in visitor",
        buys="Reading a session costs no query.",
        scenario="a page that names its signed-in visitor",
    ),
    # {% if cookiecutter.template_engine == "jinja2" %}
    Default(
        name="jinja2",
        setting="TEMPLATES: Jinja2, with the environment of config/jinja2.py",
        django="Django templates",
        buys="A page is rendered by compiled Python instead of a tree of nodes.",
        scenario="a list page of 50 rows",
        module="speed.jinja",
    ),
    # {% endif %}
    Default(
        name="cached template loader",
        setting="TEMPLATES: loaders, cached",
        django="the same, until somebody sets loaders",
        buys="A template is read and parsed once per process.",
        scenario="the sign-in page of the admin",
    ),
    Default(
        name="whitespace",
        setting="TEMPLATES: speed.whitespace.Loader in loaders",
        django="templates as they are written",
        buys="Indentation costs no bytes.",
        scenario="a list page of 50 rows",
        module="speed.whitespace",
    ),
    Default(
        name="compiled urls",
        setting="TEMPLATES: speed.urls in builtins",
        django="each link of each page is looked up and interpreted anew",
        buys="A link is a look-up, a format and a match.",
        scenario="a list page of 50 rows",
        module="speed.urls",
    ),
    # {% if cookiecutter.template_engine == "django" %}
    Default(
        name="compiled loops",
        setting="TEMPLATES: speed.loops in builtins",
        django="the body of a loop is interpreted, node by node, for each of its rows",
        buys="The body of a loop is one Python function.",
        scenario="a list page of 50 rows",
        module="speed.loops",
    ),
    # {% endif %}
    Default(
        name="prepared formats",
        setting="TEMPLATES: speed.formats in builtins",
        django="each date and price of each page has its format taken apart anew",
        buys="A date or a price is written by a format that is ready.",
        scenario="a list page of 50 rows",
        module="speed.formats",
    ),
    Default(
        name="two-tier cache",
        setting="CACHES: template_fragments",
        django="one tier: each read crosses the network",
        buys="A fragment that is read often is read from memory.",
        scenario="a list page of 50 rows, kept as a fragment",
        module="speed.tiers",
    ),
    Default(
        name="fragments",
        setting="TEMPLATES: speed.fragments in builtins; cache_each in a template",
        django="the `cache` tag: all of a list is fetched and made again when one row changes",
        buys="A list asks for the keys and versions of its rows, and makes those that have changed.",
        scenario="a list page of 50 rows, none of them changed",
        module="speed.fragments",
    ),
    Default(
        name="page cache",
        setting="MIDDLEWARE: PageCacheMiddleware; @cached_page on a view",
        django="cache_page: shares pages that are personal, renders for all when one expires",
        buys="A page that is the same for all strangers is made once.",
        scenario="a list page of 50 rows for strangers",
        module="speed.pages",
    ),
    Default(
        name="model instances",
        setting="speed/peers.py: Model inherits instances.Model",
        django="each row goes through Model.__init__, each set of a row looks for its fields anew",
        buys="A row becomes an object by setting its values; its sets copy what the first one found.",
        scenario="a list page of 50 rows",
        module="speed.instances",
    ),
    Default(
        name="N+1 guard",
        setting="core/models.py: peers.Model",
        django="a query for each row that a view forgot to join",
        buys="What a query left out is fetched for all of its rows at once.",
        scenario="a list of 50 rows whose view forgot select_related",
        module="speed.peers",
    ),
    Default(
        name="cached user",
        setting="MIDDLEWARE: CachedUserMiddleware, off",
        django="a query for each request of a signed-in visitor",
        buys="The visitor is read from beside the session.",
        scenario="a page that names its signed-in visitor",
        module="speed.users",
    ),
    Default(
        name="compression",
        setting="MIDDLEWARE: HttpCompressionMiddleware",
        django="none",
        buys="A page takes a fraction of the bytes.",
        scenario="a list page of 50 rows",
    ),
    Default(
        name="conditional GET",
        setting="MIDDLEWARE: ConditionalGetMiddleware below compression",
        django="none",
        buys="A page that the visitor already has is sent as an empty 304.",
        scenario="a second visit",
    ),
    Default(
        name="static files",
        setting="STORAGES: hashed names; config: WhiteNoise around the application",
        django="plain names, served by nobody",
        buys="A browser asks for a file once, and gets it as brotli.",
        scenario="the sign-in page of the admin, and again a day later",
    ),
    Default(
        name="bundles",
        setting="COMPRESS_OFFLINE, compress blocks in templates",
        django="one request per file, not minified",
        buys="A page needs one stylesheet and one script, both minified.",
        scenario="the home page, and again a day later",
    ),
    Default(
        name="translation off",
        setting="USE_I18N=False",
        django="True",
        buys="A page of a site with one language looks up no translations.",
        scenario="a list page of 50 rows",
    ),
    Default(
        name="server",
        setting="config/server.py: {{ cookiecutter.server }}, one process per core",
        django="runserver, for development only",
        buys="All cores answer, and a request that waits for the database holds up no other.",
        scenario="concurrent visitors",
    ),
)
