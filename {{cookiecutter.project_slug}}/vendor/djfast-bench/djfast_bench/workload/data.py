"""The rows of the workload: the same on every machine."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import product
from random import Random

from django.db import transaction
from django.utils.text import slugify

from djfast_bench.workload.models import Category, Item, Tag
from djfast_bench.workload.visitor import create_visitor, sign_in

# Some names need escaping. No quotes, which Django and Jinja2 escape differently.
CATEGORIES = """
Bath, Beds & linen, Books, Camping, Cycling, Desks & chairs, Doors, Fabrics, Garden, Glass, Kitchen,
Lamps, Music, Paint & brushes, Paper, Pets, Shoes, Tools, Toys & games, Travel
"""
THINGS = """
basket, bench, bottle, bowl, brush, cable <3 m, chair, clock, cup & saucer, drawer, hook, jar, kettle,
lamp, mirror, pan, salt & pepper mill, shelf, table, tray
"""
COLOURS = ["amber", "black", "blue", "green", "grey", "ochre", "pink", "red", "violet", "white"]
SIZES = ["tiny", "small", "medium", "large", "huge"]
WORDS = """
a as by every for from good hand in is it light made makers of old on plain quiet sturdy that the
this to use which who with without wood work years
"""

FIRST = datetime(2024, 1, 1, 12, tzinfo=UTC)  # noon: the same day in most time zones


@transaction.atomic
def seed(items: int = 1000) -> str:
    """Fill empty tables with 20 categories, 50 tags, `items` items and a visitor.

    Returns:
        The value of the visitor's Cookie header.
    """
    random = Random(1)
    categories = Category.objects.bulk_create(
        Category(name=name, slug=slugify(name)) for name in split(CATEGORIES)
    )
    tags = Tag.objects.bulk_create(
        Tag(name=f"{size} {colour}", slug=f"{size}-{colour}")
        for size, colour in product(SIZES, COLOURS)
    )
    things, words = split(THINGS), WORDS.split()
    names = [
        f"{random.choice(COLOURS).capitalize()} {random.choice(things)} {number}"
        for number in range(1, items + 1)
    ]
    created = Item.objects.bulk_create(
        Item(
            name=name,
            slug=slugify(name),
            category=random.choice(categories),
            price=Decimal(random.randrange(100, 100_000)) / 100,
            stock=random.randrange(50),
            description=" ".join(random.choices(words, k=25)).capitalize() + ".",
            created=FIRST + timedelta(days=random.randrange(700)),
        )
        for name in names
    )
    labelled = Item.tags.through
    labelled.objects.bulk_create(
        labelled(item=item, tag=tag) for item in created for tag in random.sample(tags, 3)
    )
    create_visitor()
    return sign_in()


def split(text: str) -> list[str]:
    """Split a list at its commas."""
    return [" ".join(part.split()) for part in text.split(",")]
