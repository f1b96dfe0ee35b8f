"""Generated projects at work, each in a clean environment: their own checks, their team, the demo."""

import os
import re
import socket
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from conftest import PAIRS, Bake, Run, clear, commit, serving, wait_for
from processes import Terminal, working_in


@pytest.fixture
def bare(clean_environment: dict[str, str]) -> dict[str, str]:
    """Environment of a machine that has python3 and make, but no uv."""
    path = [p for p in clean_environment["PATH"].split(os.pathsep) if not Path(p, "uv").exists()]
    return clean_environment | {"PATH": os.pathsep.join(path)}


@pytest.fixture
def port() -> str:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return str(free.getsockname()[1])


@pytest.mark.parametrize("answers", PAIRS)
def test_every_pair_of_answers_passes_the_checks_of_its_project(
    bake: Bake, run: Run, answers: dict
) -> None:
    run("make", "check", cwd=bake(**answers))


@pytest.mark.parametrize("answers", PAIRS)
def test_every_pair_of_answers_passes_the_tests_of_its_project(
    bake: Bake, run: Run, answers: dict
) -> None:
    # A warning in the project's own code is an error here; in a project, packages may warn.
    run("make", "test", cwd=bake(**answers), env={"PYTEST_ADDOPTS": "-W error"})


@pytest.mark.xdist_group("jinja2-asgi-granian")
def test_a_change_of_the_code_restarts_the_asgi_server_of_development_and_an_upload_does_not(
    bake: Bake, run: Run, clean_environment: dict[str, str]
) -> None:
    project = bake(template_engine="jinja2", interface="asgi", server="granian")
    run("uv", "sync", "--quiet", cwd=project)
    (project / "media").mkdir()
    with serving(project, run, clean_environment, "-m", "config.server") as server:
        (project / "media/upload.py").touch()
        time.sleep(2)  # granian looks for changes 20 times a second
        assert "Stopping worker" not in server.log.read_text()
        (project / "core/views.py").touch()
        deadline = time.monotonic() + 20
        while "Stopping worker" not in server.log.read_text():
            assert time.monotonic() < deadline
            time.sleep(0.1)
    (project / "media/upload.py").unlink()


ORDERS = {
    "orders/models.py": """
from typing import ClassVar, Self

from django.contrib.postgres.fields import ArrayField
from django.db import models

from core.models import BaseModel
from djfast.models import Manager, QuerySet


class Tag(BaseModel):
    name = models.CharField(max_length=20)

    def __str__(self) -> str:
        return self.name


class OrderQuerySet(QuerySet["Order"]):
    def newest_first(self) -> Self:
        return self.order_by("-pk")


OrderManager = Manager.from_queryset(OrderQuerySet)


class Order(BaseModel):
    tags = models.ManyToManyField(Tag)

    objects: ClassVar = OrderManager()

    def __str__(self) -> str:
        return f"Order {self.pk}"


class Gift(Order):
    to = models.CharField(max_length=20)


class Offer(BaseModel):  # what PostgreSQL has, and SQLite has not or in another way
    net = models.DecimalField(max_digits=8, decimal_places=2, db_comment="without tax")
    gross = models.GeneratedField(
        expression=models.F("net") * 2,
        output_field=models.DecimalField(max_digits=9, decimal_places=2),
        db_persist=False,
    )
    code = models.CharField(max_length=9, null=True)
    sizes = ArrayField(models.IntegerField(), default=list)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["code"], name="once", nulls_distinct=False),
            models.UniqueConstraint(fields=["net"], include=["code"], name="including"),
        ]

    def __str__(self) -> str:
        return self.code or "Offer"


def tag(name: str) -> Tag:
    return Tag.objects.get(name=name)
""",
    "orders/admin.py": """
from django.contrib import admin

from orders.models import Order


@admin.register(Order)
class OrderAdmin(admin.ModelAdmin):
    list_display = ["pk"]
    list_filter = ["tags"]
    fieldsets = [(None, {"fields": ["tags"]})]
""",
    "tests/test_orders.py": """
import pytest

from orders.models import Gift, Order, tag


@pytest.mark.django_db
def test_a_gift_has_the_tags_of_its_order() -> None:
    for name in ("a", "b"):
        Gift.objects.create(to=name).tags.create(name=name)
    orders = Order.objects.prefetch_related("tags").newest_first()
    assert [[str(one) for one in order.tags.all()] for order in orders] == [["b"], ["a"]]
    gifts = Gift.objects.prefetch_related("tags").order_by("pk")
    assert [[str(one) for one in gift.tags.all()] for gift in gifts] == [["a"], ["b"]]
    assert str(tag("a")) == "a"
""",
}


# As Django's tutorial writes them.
POLLS = {
    "polls/models.py": """
import datetime

from django.contrib import admin
from django.db import models
from django.utils import timezone


class Question(models.Model):
    question_text = models.CharField(max_length=200)
    pub_date = models.DateTimeField("date published")

    def __str__(self):
        return self.question_text

    @admin.display(
        boolean=True,
        ordering="pub_date",
        description="Published recently?",
    )
    def was_published_recently(self):
        now = timezone.now()
        return now - datetime.timedelta(days=1) <= self.pub_date <= now


class Choice(models.Model):
    question = models.ForeignKey(Question, on_delete=models.CASCADE)
    choice_text = models.CharField(max_length=200)
    votes = models.IntegerField(default=0)

    def __str__(self):
        return self.choice_text
""",
    "polls/admin.py": """
from django.contrib import admin

from .models import Choice, Question


class ChoiceInline(admin.TabularInline):
    model = Choice
    extra = 3


class QuestionAdmin(admin.ModelAdmin):
    fieldsets = [
        (None, {"fields": ["question_text"]}),
        ("Date information", {"fields": ["pub_date"], "classes": ["collapse"]}),
    ]
    inlines = [ChoiceInline]
    list_display = ["question_text", "pub_date", "was_published_recently"]
    list_filter = ["pub_date"]
    search_fields = ["question_text"]


admin.site.register(Question, QuestionAdmin)
""",
    "polls/views.py": """
from django.db.models import F
from django.http import HttpResponseRedirect
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.views import generic

from .models import Choice, Question


class IndexView(generic.ListView):
    template_name = "polls/index.html"
    context_object_name = "latest_question_list"

    def get_queryset(self):
        \"""
        Return the last five published questions (not including those set to be
        published in the future).
        \"""
        return Question.objects.filter(pub_date__lte=timezone.now()).order_by("-pub_date")[:5]


class DetailView(generic.DetailView):
    model = Question
    template_name = "polls/detail.html"


def vote(request, question_id):
    question = get_object_or_404(Question, pk=question_id)
    try:
        selected_choice = question.choice_set.get(pk=request.POST["choice"])
    except (KeyError, Choice.DoesNotExist):
        # Redisplay the question voting form.
        return render(
            request,
            "polls/detail.html",
            {
                "question": question,
                "error_message": "You didn't select a choice.",
            },
        )
    else:
        selected_choice.votes = F("votes") + 1
        selected_choice.save()
        return HttpResponseRedirect(reverse("polls:results", args=(question.id,)))
""",
    "polls/urls.py": """
from django.urls import path

from . import views

app_name = "polls"
urlpatterns = [
    path("", views.IndexView.as_view(), name="index"),
    path("<int:pk>/", views.DetailView.as_view(), name="detail"),
    path("<int:question_id>/vote/", views.vote, name="vote"),
]
""",
    "polls/tests.py": """
import datetime

from django.test import TestCase
from django.utils import timezone

from .models import Question


class QuestionModelTests(TestCase):
    def test_was_published_recently_with_future_question(self):
        \"""
        was_published_recently() returns False for questions whose pub_date
        is in the future.
        \"""
        time = timezone.now() + datetime.timedelta(days=30)
        future_question = Question(pub_date=time)
        self.assertIs(future_question.was_published_recently(), False)
""",
}

# Settings that packages, or Django's documentation, tell a team to add.
ADDED = """
AUTHENTICATION_BACKENDS = [
    "orders.added.Backend",
    "django.contrib.auth.backends.ModelBackend",
]
CACHES["throttle"] = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
CELERY_BROKER_URL = redis_url
CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
DATABASES["archive"] = database(database_url.removesuffix("app") + "postgres", **tuned)
INSTALLED_APPS.append("django.contrib.postgres")
LANGUAGES = [("en", "English"), ("de", "German")]
LOGGING["loggers"] |= {"orders": {"level": "DEBUG"}}
MIDDLEWARE.append("orders.added.middleware")
MIDDLEWARE.insert(2, "django.middleware.locale.LocaleMiddleware")
REST_FRAMEWORK = {"PAGE_SIZE": 50}
SITE_ID = 1
TEMPLATES[-1]["OPTIONS"]["context_processors"].append("orders.added.processor")
TEST_RUNNER = "orders.added.Runner"
USE_I18N = True
"""
ORDERS["orders/added.py"] = """
import warnings
from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.test.runner import DiscoverRunner

warnings.warn("as of a package", DeprecationWarning, stacklevel=2)


class Backend(ModelBackend):
    pass


class Runner(DiscoverRunner):
    pass


def middleware(get_response: Any) -> Any:
    return get_response


def processor(request: Any) -> dict[str, Any]:
    return {"orders": 0}
"""


def test_the_first_app_of_a_team_passes_the_checks_and_the_tests(bake: Bake, run: Run) -> None:
    project = bake(fresh=True)
    for app in ("orders", "polls"):
        run("uv", "run", "--quiet", "manage.py", "startapp", app, cwd=project)
    for name, text in (ORDERS | POLLS).items():
        (project / name).write_text(text.lstrip(), "utf-8")
    settings = project / "config/settings.py"
    apps = '    "core",\n    "orders",\n    "polls",\n'
    installed = settings.read_text("utf-8").replace('    "core",\n', apps)
    settings.write_text(installed + ADDED, "utf-8")
    run("uv", "run", "--quiet", "ruff", "check", "--fix", cwd=project)
    run("uv", "run", "--quiet", "ruff", "format", cwd=project)
    run("uv", "run", "--quiet", "manage.py", "makemigrations", cwd=project)
    run("make", "stop", cwd=project)
    said = run("make", "check", cwd=project)
    assert not re.search(r"WARNING|W\d{3}|Warning", said), said
    run(".venv/bin/python", "manage.py", "makemigrations", "--check", cwd=project)
    assert "tests/test_orders.py ." in run("make", "test", cwd=project)
    assert "OK" in run(".venv/bin/python", "manage.py", "test", "polls", cwd=project)


def test_a_second_member_of_the_team_runs_and_tests_a_clone(
    bake: Bake,
    run: Run,
    bare: dict[str, str],
    port: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    first = bake(fresh=True)
    commit(run, first)
    second = tmp_path / "a clone"
    run("git", "clone", "--quiet", first.as_uri(), second, cwd=tmp_path)
    assert not (second / ".env").exists()
    request.addfinalizer(partial(clear, run, second))

    terminal = Terminal("make", "run", cwd=second, env=bare | {"PORT": port})
    try:
        _, page = wait_for(f"http://127.0.0.1:{port}/", terminal.process, terminal.log, seconds=300)
        assert b"My Shop" in page
        terminal.press_control_c(seconds=20)
    finally:
        terminal.close()
    environment = (second / ".env").read_bytes()
    assert (second / ".env").stat().st_mode & 0o777 == 0o600
    assert re.search(rb"^SECRET_KEY=[\w-]{40,}$", environment, re.MULTILINE)
    assert environment != (first / ".env").read_bytes()

    run("make", "test", cwd=second, env=bare)
    # The lock file is to be committed; all else that was made is ignored.
    assert run("git", "status", "--porcelain", cwd=second).split() == ["??", "uv.lock"]
    assert (second / ".env").read_bytes() == environment


@pytest.mark.parametrize("target", ["run", "serve"])
def test_a_make_that_is_told_to_end_takes_its_server_along(
    project: Path, clean_environment: dict[str, str], port: str, tmp_path: Path, target: str
) -> None:
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["make", target],
            cwd=project,
            env=clean_environment | {"PORT": port},
            stdout=output,
            stderr=output,
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/health/live/", process, log, seconds=120)
    finally:
        process.terminate()
    process.wait(40)
    deadline = time.monotonic() + 40
    while True:
        try:
            socket.create_server(("127.0.0.1", int(port))).close()
            break
        except OSError:
            assert time.monotonic() < deadline, "the server still listens"
            time.sleep(0.5)


def test_the_demo_serves_a_page_soon_and_leaves_nothing_running(
    repository: Path,
    run: Run,
    bare: dict[str, str],
    port: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
) -> None:
    clone = tmp_path / "djfast"
    run("git", "clone", "--quiet", repository.as_uri(), clone, cwd=tmp_path)
    request.addfinalizer(partial(clear, run, clone / "build/my-shop"))
    # Nothing downloaded or installed before: not even uv.
    cold = bare | {"UV_CACHE_DIR": str(tmp_path / "cache"), "PIP_NO_CACHE_DIR": "1", "PORT": port}
    start = time.monotonic()
    terminal = Terminal("make", "demo", cwd=clone, env=cold)
    address = f"http://127.0.0.1:{port}/"
    try:
        _, page = wait_for(address, terminal.process, terminal.log, seconds=300)
        seconds = time.monotonic() - start
        record_property("seconds from a fresh clone to the first page", round(seconds, 1))
        assert seconds < 90
        assert b"My Shop" in page
        assert address in terminal.log.read_text()
        services = (clone / "build/my-shop/.services").resolve()
        running = " ".join(working_in(clone, services))
        assert "postgres" in running
        assert "valkey" in running
        assert terminal.press_control_c(seconds=30) == 0
        assert working_in(clone, services) == []
        assert "Traceback" not in terminal.log.read_text()
    finally:
        terminal.close()
