"""Runs of earlier versions, in the words of this one."""

from fpn_jax.training.config import Config, DataConfig
from fpn_jax.training.config_file import from_json, to_json
from fpn_jax.training.old_configs import upgraded, with_pool

DATA = "fpn_jax.training.config.DataConfig"
POOL = "fpn_jax.heads.roi_pool.RoIPool"


def test_colour_is_color():
    tree = {"class": DATA, "colour": 0.5, "crop": 0.1}
    assert upgraded([tree]) == [{"class": DATA, "color": 0.5, "crop": 0.1}]


def test_a_config_written_with_colour_opens():
    config = Config(data=DataConfig(color=0.5))
    assert from_json(to_json(config).replace('"color"', '"colour"')) == config


def test_another_class_may_have_a_colour():
    tree = {"class": "my.Backbone", "colour": 3}
    assert upgraded(tree) == tree


def test_the_five_fields_of_pooling_are_one_value():
    head = {
        "class": "fpn_jax.heads.box.BoxHead",
        "num_classes": 3,
        "levels": [3, 4],
        "canonical_size": 64.0,
        "size": 5,
        "sampling_ratio": 0,
        "aligned": True,
    }
    pool = {key: head[key] for key in head if key not in ("class", "num_classes")}
    assert with_pool(head, 7) == {
        "class": "fpn_jax.heads.box.BoxHead",
        "num_classes": 3,
        "pool": {"class": POOL} | pool,
    }


def test_a_head_that_says_little_of_its_pooling_keeps_its_size():
    head = {"class": "fpn_jax.heads.mask.MaskHead", "levels": [2]}
    pool = with_pool(head, 14)["pool"]
    assert pool == {"class": POOL, "size": 14, "levels": [2]}


def test_a_head_of_today_stays():
    head = {"class": "fpn_jax.heads.box.BoxHead", "pool": {"class": POOL, "size": 7}}
    assert with_pool(head, 7) == head
