"""The speed defaults: one class each, from which checks, panel, documents, and benchmarks are made."""

from djfast.rows import cache, database, engine, http, templates
from djfast.rows.base import Finding, Row, State

__all__ = ["ROWS", "Finding", "Row", "State", "applicable"]

ROWS: tuple[Row, ...] = (  # in the order of documents
    database.PersistentConnections(),
    database.ConnectionPool(),
    cache.RedisCache(),
    http.CachedSessions(),
    templates.CachedTemplateLoader(),
    templates.Jinja2(),
    http.Compression(),
    http.ConditionalGet(),
    http.StaticFiles(),
    http.Bundles(),
    http.TranslationOff(),
    http.Server(),
    cache.TwoTierCache(),
    cache.Fragments(),
    cache.PageCache(),
    cache.CachedUser(),
    engine.CompiledUrls(),
    engine.CompiledLoops(),
    engine.PreparedFormats(),
    engine.ModelInstances(),
    engine.NPlusOneGuard(),
    engine.HealthCheck(),
    engine.ContextSwitches(),
)


def applicable() -> list[Row]:
    """Return the defaults that a project like this one can have, in the order of documents."""
    return [row for row in ROWS if row.applies()]
