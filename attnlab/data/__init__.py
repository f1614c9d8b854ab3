"""Small real data that comes with the course; where each file is from stands in ORIGIN.md."""

from attnlab.data.action_maps import ActionMaps, make_action_maps
from attnlab.data.clip import CLIP_SECONDS, load_clip
from attnlab.data.digits import load_digits
from attnlab.data.minilm import minilm_folder
from attnlab.data.motion import MOTION_BONES, MOTION_JOINTS, Motion, load_motion, motion_names, seen_from
from attnlab.data.photos import Photo, load_photos
from attnlab.data.sentence_pairs import load_sentence_pairs
from attnlab.data.skeletons import LIMBS, SKELETON_BONES, SKELETON_JOINTS, Skeletons, make_skeletons
from attnlab.data.verified import DataError

__all__ = ["CLIP_SECONDS", "DataError", "Photo", "load_clip", "load_digits", "load_photos", "load_sentence_pairs"]
__all__ += ["minilm_folder"]
__all__ += ["MOTION_BONES", "MOTION_JOINTS", "Motion", "load_motion", "motion_names", "seen_from"]
__all__ += ["LIMBS", "SKELETON_BONES", "SKELETON_JOINTS", "Skeletons", "make_skeletons"]
__all__ += ["ActionMaps", "make_action_maps"]
