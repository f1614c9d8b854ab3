"""Dates and number words are those of the libraries, the same for one seed, and short."""

import datetime

from attnlab.data import load_dates, load_number_words, number_in_words, written_date


def test_a_date_in_four_languages():
    day = datetime.date(2026, 7, 20)
    assert written_date(day) == "monday, july 20, 2026"
    assert written_date(day, "fr_FR") == "lundi 20 juillet 2026"
    assert written_date(day, "de_DE", "medium") == "20.07.2026"
    assert written_date(day, "es_ES", "long") == "20 de julio de 2026"


def test_one_seed_gives_the_same_dates_and_another_seed_others():
    assert load_dates(50, seed=3) == load_dates(50, seed=3) != load_dates(50, seed=4)


def test_pairs_hold_the_day_they_are_written_from():
    for written, iso in load_dates(200, seed=1):
        day = datetime.date.fromisoformat(iso)
        assert len(iso) == 10 and str(day.year) in written and written == written.lower()
        assert not set("\u202f\xa0") & set(written)


def test_number_words():
    assert number_in_words(97) == "quatre-vingt-dix-sept"
    assert load_number_words([1, 80, 21], "de") == [("eins", "1"), ("achtzig", "80"), ("einundzwanzig", "21")]
