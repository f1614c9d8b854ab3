"""Made-up skeletons and maps are what they say they are, so that attention can be scored on them."""

import numpy as np

from attnlab.data.action_maps import COLUMNS, MOMENTS, ROWS, make_action_maps
from attnlab.data.skeletons import LIMBS, REST, SKELETON_BONES, SKELETON_JOINTS, make_skeletons

SHIFTS = (-0.5, 0.0, 0.5)


def test_the_bones_are_a_tree_of_25_joints_in_ntu_order():
    assert len(SKELETON_JOINTS) == 25 and len(SKELETON_BONES) == 24
    assert (
        SKELETON_JOINTS[0] == "spine base" and SKELETON_JOINTS[3] == "head" and SKELETON_JOINTS[20] == "spine shoulder"
    )
    joined = {20}
    for _ in range(24):
        joined |= {j for a, b in SKELETON_BONES for j in (a, b) if a in joined or b in joined}
    assert joined == set(range(25))


def test_only_what_is_said_to_move_moves():
    clips = make_skeletons(200, seed=1, tremble=0.0, shifts=SHIFTS)
    path = np.abs(clips.joints - clips.joints[:, :1]).max(axis=(1, 3))
    still = np.abs(
        clips.joints - np.array(list(REST.values())) - np.pad(clips.shift[:, None, None, None], [(0, 0)] * 3 + [(0, 2)])
    )
    assert (path[~clips.moves] < 1e-6).all() and (still.max(axis=(2, 3))[~clips.during] < 1e-6).all()
    assert clips.during.sum(axis=1).tolist() == [3] * 200
    assert (still.max(axis=(1, 3))[clips.moves] > 0.02).all()


def test_bones_keep_their_length_while_a_limb_swings():
    joints = make_skeletons(50, seed=2, tremble=0.0).joints
    lengths = np.linalg.norm(
        joints[:, :, [a for a, _ in SKELETON_BONES]] - joints[:, :, [b for _, b in SKELETON_BONES]], axis=-1
    )
    assert np.allclose(lengths, lengths[:1, :1], atol=1e-5)


def test_equal_seeds_equal_clips():
    a, b, c = (make_skeletons(9, seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(a.joints, b.joints) and not np.array_equal(a.joints, c.joints)


def test_limbs_are_drawn_about_equally_and_hang_on_joints_that_stay():
    clips = make_skeletons(2000, seed=5)
    assert np.bincount(clips.limb).min() > 400
    for root, *rest in LIMBS.values():
        assert root not in rest and not clips.moves[:, root].any()


def test_the_map_holds_its_class_where_and_when_the_skeleton_says():
    clips = make_skeletons(300, seed=6, shifts=SHIFTS)
    maps = make_action_maps(clips, seed=7, noise=0.0, crowded=0.0)
    assert maps.features.shape == (300, MOMENTS, ROWS, COLUMNS, 16)
    filled = (maps.features != 0).any(axis=-1)
    assert np.array_equal(filled, maps.moment[:, :, None, None] & maps.place[:, None])
    pattern = maps.features[filled]
    assert all(len(np.unique(pattern[maps.label == k], axis=0)) == 1 for k in range(6))


def test_the_mean_of_a_crowded_map_says_little_about_its_class():
    maps = make_action_maps(make_skeletons(600, seed=8), seed=9)
    means = maps.features.mean(axis=(1, 2, 3))
    centres = np.stack([means[:300][maps.label[:300] == k].mean(axis=0) for k in range(6)])
    guess = np.argmin(((means[300:, None] - centres) ** 2).sum(axis=-1), axis=1)
    assert (guess == maps.label[300:]).mean() < 0.4
