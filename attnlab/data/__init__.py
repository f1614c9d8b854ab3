"""Small real data that comes with the course; where each file is from stands in ORIGIN.md."""

from attnlab.data.clip import CLIP_SECONDS, load_clip
from attnlab.data.digits import load_digits
from attnlab.data.minilm import minilm_folder
from attnlab.data.photos import Photo, load_photos
from attnlab.data.sentence_pairs import load_sentence_pairs
from attnlab.data.verified import DataError

__all__ = ["CLIP_SECONDS", "DataError", "Photo", "load_clip", "load_digits", "load_photos", "load_sentence_pairs"]
__all__ += ["minilm_folder"]
