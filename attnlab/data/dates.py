"""Dates as people write them in several languages, and the same in ISO form: short sequences to learn to align.

The formats and the names of months and days are those of Unicode's CLDR, through the package Babel (BSD-3; CLDR under
the Unicode licence). They are made when asked for; nothing is stored and nothing is downloaded.
"""

from __future__ import annotations

import datetime
import random

LOCALES = ("en_US", "fr_FR", "es_ES", "de_DE")
FORMATS = ("short", "medium", "long", "full")
FIRST, LAST = datetime.date(1970, 1, 1), datetime.date(2069, 12, 31)


def written_date(day: datetime.date, locale: str = "en_US", form: str = "full") -> str:
    """One date as that language writes it, in lower case: "monday, july 20, 2026"."""
    from babel.dates import format_date

    # CLDR puts a narrow no-break space where others put a space.
    return format_date(day, format=form, locale=locale).lower().replace("\u202f", " ").replace("\xa0", " ")


def load_dates(
    count: int, seed: int = 0, locales: tuple[str, ...] = LOCALES, forms: tuple[str, ...] = FORMATS[1:]
) -> list[tuple[str, str]]:
    """`count` pairs (as written, ISO), drawn by the seed: the same on every machine with the same Babel.

    "short" has two digits for the year, which cannot tell 1970 from 2070; the years here are one century.
    """
    draw = random.Random(seed)
    days = (LAST - FIRST).days
    pairs = []
    for _ in range(count):
        day = FIRST + datetime.timedelta(days=draw.randint(0, days))
        pairs.append((written_date(day, draw.choice(locales), draw.choice(forms)), day.isoformat()))
    return pairs
