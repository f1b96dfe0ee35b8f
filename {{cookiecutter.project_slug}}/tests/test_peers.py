"""The N+1 guard by its effect: on a model of its own that reads the admin's log, and on the user."""

import logging

import pytest
from django.contrib.admin.models import ADDITION, LogEntry
from django.contrib.auth import get_user_model
from django.core.exceptions import FieldFetchBlocked
from django.db import models
from django.test.utils import isolate_apps
from pytest_django import DjangoAssertNumQueries

from speed import peers

pytestmark = pytest.mark.django_db

User = get_user_model()

with isolate_apps("core"):

    class Entry(peers.Model):
        """What a project writes: a model with a foreign key."""

        user = models.ForeignKey(User, models.DO_NOTHING, related_name="+")

        class Meta:
            app_label = "core"
            db_table = LogEntry._meta.db_table
            managed = False

        def __str__(self) -> str:
            return str(self.user)


@pytest.fixture(autouse=True)
def _entries() -> None:
    for number in range(50):
        user = User.objects.create(username=f"user {number}", email=f"{number}@example.com")
        LogEntry.objects.create(user=user, object_repr="", action_flag=ADDITION)


def test_a_query_that_forgot_select_related_costs_one_more_not_fifty(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    with django_assert_num_queries(2):
        assert len({str(entry) for entry in Entry.objects.all()}) == 50


def test_a_query_that_remembered_select_related_costs_none_more(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    with django_assert_num_queries(1):
        assert len({str(entry) for entry in Entry.objects.select_related("user")}) == 50


def test_a_deferred_field_of_the_user_is_fetched_for_all_rows_at_once(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    with django_assert_num_queries(2):
        users = User.objects.filter(username__startswith="user ").only("username")
        assert len({user.email for user in users}) == 50


def test_a_hot_view_can_be_held_to_what_its_query_loads() -> None:
    with peers.raising():
        assert len([str(entry) for entry in Entry.objects.select_related("user")]) == 50
        with pytest.raises(FieldFetchBlocked, match=r"Entry\.user .* add select_related\('user'\)"):
            str(Entry.objects.first())
        with pytest.raises(FieldFetchBlocked, match=r"User\.email .* take it out of defer\(\)"):
            print([user.email for user in User.objects.defer("email")])
    assert str(Entry.objects.first())


def test_a_developer_reads_in_the_log_what_the_guard_caught(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, logger=peers.__name__):
        print([str(entry) for entry in Entry.objects.all()])
    assert [record.getMessage() for record in caplog.records] == [
        "Entry.user was not loaded with its row: add select_related('user') in the query of 50 rows."
    ]


def test_a_loop_over_a_large_table_remembers_no_row_that_went_by() -> None:
    rows = Entry.objects.select_related("user").iterator()
    assert all(not row._state.peers and not row.user._state.peers for row in rows)
