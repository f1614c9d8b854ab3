"""Whole numbers in words, through the package num2words (LGPL): "quatre-vingt-dix-sept" is 97.

Made when asked for; nothing is stored and nothing is downloaded.
"""

from __future__ import annotations


def number_in_words(number: int, language: str = "fr") -> str:
    """In the words of a language, by its two-letter code."""
    from num2words import num2words

    return num2words(number, lang=language)


def load_number_words(numbers: range | list[int], language: str = "fr") -> list[tuple[str, str]]:
    """A pair (in words, in digits) for each number."""
    return [(number_in_words(number, language), str(number)) for number in numbers]
