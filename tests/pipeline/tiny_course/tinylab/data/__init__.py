from pathlib import Path


def load_numbers():
    return [float(word) for word in (Path(__file__).parent / "numbers.txt").read_text().split()]
