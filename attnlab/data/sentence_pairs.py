"""Eight pairs of English sentences that mean about the same in other words; written for this course, CC0."""

PAIRS = (
    ("The cat sat on the mat.", "A kitten was resting on a rug."),
    ("Stock markets fell sharply today, and nobody knew why.", "Shares lost much of their value on Friday."),
    ("He plays the guitar in a band.", "She is a musician in a rock group."),
    ("The train was late again.", "Our bus arrived an hour behind schedule."),
    ("She baked a chocolate cake for the whole school.", "They made a dessert with cocoa."),
    ("It rained all night.", "The storm brought heavy showers until morning."),
    ("The doctor examined the patient carefully before speaking.", "A physician looked at the sick man."),
    ("The child is afraid of the dark.", "A little girl could not sleep without a lamp."),
)


def load_sentence_pairs() -> list[str]:
    """Sixteen sentences; the partner of number i is number i ^ 1 (0 with 1, 2 with 3, ...)."""
    return [sentence for pair in PAIRS for sentence in pair]
