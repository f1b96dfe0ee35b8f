"""Build the static files for production: collected, hashed, bundled, minified and compressed.

    python -m config.build    # calls `build()`

A build happens in a new folder inside STATIC_ROOT; only a complete one is published. Files are then moved one
by one, new ones before those that name them, so a running server finds at any moment all files that its pages
link, also those of the build before. STATIC_ROOT may be a mount point.
"""

import io
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import django
from django.apps import apps
from django.conf import settings
from django.core.management import CommandError, call_command
from whitenoise.compress import Compressor

from djfast import static_links

MARKER = ".made-by-config-build"  # the file in STATIC_ROOT that lists the files of the last build
MANIFESTS = {"staticfiles.json", "manifest.json"}  # name other files, so they are published last
HASHED = re.compile(r"[.-][0-9a-f]{12}\.")
FOLDER = ".build-"  # begins the name of the folder of a build

# Production settings require these; no step uses them.
UNUSED = {
    "DATABASE_URL": "postgresql://127.0.0.1:1/unused",
    "DEBUG": "0",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "SECRET_KEY": "unused-by-the-build",
}


def build() -> None:
    """Build into STATIC_ROOT; print what was built.

    Raises:
        SystemExit: the build failed; the message says why, and STATIC_ROOT is as before.
    """
    os.environ.update(UNUSED)
    root = Path(settings.STATIC_ROOT)
    try:
        with (
            claimed(root),
            tempfile.TemporaryDirectory(
                prefix=FOLDER, dir=root, ignore_cleanup_errors=True
            ) as name,
        ):
            settings.STATIC_ROOT = name  # before apps load, which may look at it
            folder = Path(name)
            django.setup()
            bundles, skipped = collect(folder)
            published = publish(folder, root)
    except OSError as error:
        sys.exit(f"The build failed: {error}")
    for line in skipped:
        print(f"Served as single files, not as a bundle: {line}")
    compressed = sum(path.endswith(".br") for path in published)
    print(f"{bundles} bundles, {compressed} files with brotli, in {root}")


@contextmanager
def claimed(root: Path) -> Iterator[None]:
    """Create STATIC_ROOT, or check that a build made it; wait while another build runs.

    Raises:
        SystemExit: the folder has files that no build made.
    """
    root.mkdir(parents=True, exist_ok=True)
    names = [path.name for path in root.iterdir() if not path.name.startswith(FOLDER)]
    if names and MARKER not in names:
        sys.exit(f"STATIC_ROOT={root} has files that no build made: set it to an empty folder.")
    with (root / MARKER).open("a", encoding="utf-8") as file:
        with suppress(ImportError, OSError):  # on Windows and on file systems without locks
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
            for path in root.glob(f"{FOLDER}*"):
                shutil.rmtree(path, ignore_errors=True)  # of a build that was killed
        yield


def collect(folder: Path) -> tuple[int, list[str]]:
    """Collect, hash, bundle and compress the files of all apps.

    Returns:
        The number of bundles, and a line for each template that has a block without one.

    Raises:
        SystemExit: a step failed.
    """
    said = io.StringIO()  # collectstatic names here the file that refers to a missing one
    try:
        call_command("collectstatic", interactive=False, verbosity=0, stderr=said)
        check_static_links()
        offline = apps.is_installed("compressor") and settings.COMPRESS_OFFLINE
        return bundled(folder) if offline else (0, [])
    except (CommandError, ValueError) as error:
        text = re.sub(r" with <[^>]*>", "", f"{said.getvalue()} {error}")
        sys.exit(f"The build failed: {' '.join(text.split())}")


def check_static_links() -> None:
    """Check that each file that a template names with `static` exists.

    Raises:
        SystemExit: a template of the project names a missing one, which would be a 500 in production.
    """
    own: list[str] = []
    for missing in static_links.missing():
        text = f"{missing.template}, line {missing.line}: there is no static file {missing.name!r}"
        if missing.is_third_party:
            print(f"Warning: {text}.")
        else:
            own.append(text)
    if own:
        sys.exit(f"The build failed: {'; '.join(own)}.")


def bundled(folder: Path) -> tuple[int, list[str]]:
    """Make the bundles, and compress them as collectstatic has compressed all other files."""
    from djfast import bundles

    before = {*folder.rglob("*")}
    found = bundles.make(folder)
    extensions = getattr(settings, "WHITENOISE_SKIP_COMPRESS_EXTENSIONS", None)
    compressor = Compressor(extensions=extensions, quiet=True)
    for path in {*folder.rglob("*")} - before:
        if path.is_file() and compressor.should_compress(path.name):
            compressor.compress(str(path))
    return found


def publish(folder: Path, root: Path) -> list[str]:
    """Move the files of a build into STATIC_ROOT, and delete those that no page links any more.

    The hashed files of the build before stay for the pages that caches and browsers still have. Only files
    that a build has made are deleted.

    Args:
        folder: of the new build.
        root: STATIC_ROOT.

    Returns:
        The paths of the new build's files below `root`.
    """
    marker = root / MARKER
    try:
        before: dict[str, int] = json.loads(marker.read_text("utf-8"))  # path: how many builds ago
    except ValueError:  # empty: no build has ended, or one of a version that listed nothing
        before = {path.relative_to(root).as_posix(): 0 for path in files(root)}
    new = [path.relative_to(folder).as_posix() for path in files(folder)]
    now = dict.fromkeys(new, 0)
    # First, so that a build that is killed from here on leaves no file that nobody knows.
    marker.write_text(json.dumps(before | now), "utf-8")
    for name in sorted(
        new, key=lambda name: (Path(name).name in MANIFESTS, not HASHED.search(name))
    ):
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        (folder / name).replace(target)
    current = {name for name, age in before.items() if age == 0}
    step = 0 if current == {*new} else 1  # the same build again makes none older
    now |= {
        name: age + step
        for name, age in before.items()
        if name not in now and HASHED.search(name) and age + step < 2
    }
    for name in {*before} - {*now, MARKER}:
        (root / name).unlink(missing_ok=True)
    marker.write_text(json.dumps(now), "utf-8")
    return new


def files(folder: Path) -> Iterator[Path]:
    """Yield the files of a folder, without those of a build in it."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.relative_to(folder).parts[0].startswith(FOLDER):
            yield path
