"""pybullet's takes, where installed: bones of one length, feet near the floor, a walk that comes round again."""

import importlib.util

import numpy as np
import pytest

from attnlab.data import motion

needs_takes = pytest.mark.skipif(
    importlib.util.find_spec("pybullet_data") is None, reason="pybullet, which carries the takes, is not installed"
)


def test_without_pybullet_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match="Expected the package pybullet.*pip install pybullet==3.2.7"):
        motion.load_motion("walk")


def test_the_identity_stands_upright():
    frames = np.zeros((1, 44))
    frames[:, [4, 8, 12, 16, 21, 25, 30, 35, 39]] = 1.0  # every quaternion (1, 0, 0, 0)
    pose = motion.positions_of(np.zeros((1, 3)), motion.turns_of(frames))[0]
    places = dict(zip(motion.MOTION_JOINTS, pose, strict=True))
    assert np.allclose(places["neck"], (0, 0.460045, 0))
    assert np.allclose(places["left ankle"], (0, -0.831416, -0.084887))
    assert places["right wrist"][2] > 0 > places["left wrist"][2]


def test_a_quarter_turn_about_z_by_hand():
    assert np.allclose(motion.about_z(np.array([np.pi / 2]))[0] @ (1, 0, 0), (0, 1, 0))
    assert np.allclose(motion.from_quaternions(np.array([[2.0, 2.0, 0, 0]]))[0] @ (0, 1, 0), (0, 0, 1))


def test_a_camera_in_front_sees_what_one_behind_sees_mirrored():
    positions = np.random.default_rng(0).normal(size=(2, 4, 5, 3))
    front, behind = (motion.seen_from(positions, np.full(2, angle)) for angle in (0.3, 0.3 + np.pi))
    assert front.shape == (2, 4, 5, 2)
    assert np.allclose(front[..., 0], -behind[..., 0]) and np.allclose(front[..., 1], positions[..., 1])
    assert np.allclose(front[:, :, 0, 0], 0)


def test_resampling_a_straight_line_gives_the_line():
    times = np.array([0.0, 0.1, 0.3, 1.0])
    line = motion.Motion(np.tile(times[:, None, None], (1, 2, 3)), times)
    assert np.allclose(line.resampled(20)[:, 1, 2], np.arange(20) / 20)


@needs_takes
def test_fifteen_takes_of_fifteen_joints():
    names = motion.motion_names()
    assert len(names) == 15 and {"walk", "run", "kick", "cartwheel"} <= set(names)
    for name in names:
        take = motion.load_motion(name)
        assert take.positions.shape == (len(take.seconds), 15, 3) and np.isfinite(take.positions).all()
        assert (np.diff(take.seconds) > 0).all()


@needs_takes
def test_bones_keep_their_length():
    for name in motion.motion_names():
        positions = motion.load_motion(name).positions
        lengths = np.linalg.norm([positions[:, a] - positions[:, b] for a, b in motion.MOTION_BONES], axis=-1)
        assert np.allclose(lengths, lengths[:, :1], atol=1e-9), name


@needs_takes
def test_a_walk_is_periodic_and_upright_with_feet_near_the_floor():
    walk = motion.load_motion("walk").positions
    body = walk - walk[:, :1]
    there_and_back = np.linalg.norm(body[-1] - body[0], axis=-1).max()
    half_way = np.linalg.norm(body[len(body) // 2] - body[0], axis=-1).max()
    assert there_and_back < 0.1 < half_way
    joints = dict(zip(motion.MOTION_JOINTS, np.moveaxis(walk, 1, 0), strict=True))
    assert (joints["neck"][:, 1] > joints["pelvis"][:, 1]).all()
    assert joints["left ankle"][:, 1].min() < 0.15 and joints["right ankle"][:, 1].min() < 0.15
    assert walk[-1, 0, 0] > 1.0  # it gets on, forwards


@needs_takes
def test_in_a_cartwheel_the_feet_are_above_the_head():
    positions = motion.load_motion("cartwheel").positions
    neck, ankle = (positions[:, motion.MOTION_JOINTS.index(joint), 1] for joint in ("neck", "left ankle"))
    assert (ankle - neck).max() > 0.5


@needs_takes
def test_a_take_that_is_not_there_is_told_what_there_is():
    with pytest.raises(FileNotFoundError, match="backflip.*got 'swim'"):
        motion.load_motion("swim")
