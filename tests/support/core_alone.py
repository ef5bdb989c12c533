"""Using a detector with the core dependencies alone: core_alone.py FOLDER [FILE.pth]

Converts random weights (of a torchvision Faster R-CNN with FILE.pth) to a run in
FOLDER, loads it, and finds things in an image of another size. CI runs it where nothing
else is installed, and a test where nothing else can be imported.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import fpn_jax
from fpn_jax.backbones.dummy import Dummy
from fpn_jax.compilation import call_once
from fpn_jax.data.example import Category
from fpn_jax.detectors.two_stage import TwoStage
from fpn_jax.heads.box import BoxHead
from fpn_jax.heads.mask import MaskHead
from fpn_jax.heads.roi_pool import RoIPool
from fpn_jax.heads.rpn import RPNHead
from fpn_jax.necks.fpn import FPN
from fpn_jax.training.config import Config, DataConfig
from fpn_jax.training.conversion import load_torchvision, run_from_torchvision
from fpn_jax.training.run import Run, load_run, save_run

NAME = "fasterrcnn_mobilenet_v3_large_320_fpn"


def main(folder: Path, *files: Path) -> None:
    folder.mkdir(exist_ok=True)
    pool = RoIPool(size=3, levels=(3, 4))
    model = TwoStage(
        backbone=Dummy(4, levels=(3, 4)),
        neck=FPN(8, extra="none"),
        rpn=RPNHead(anchor_sizes=((16,), (32,)), pre_nms=20, post_nms=12),
        box_head=BoxHead(3, pool=pool, hidden_features=8, score_threshold=0.0),
        mask_head=MaskHead(3, pool=pool, num_convs=1, channels=8),
    )
    image = jnp.zeros((1, 64, 96, 3))
    variables = call_once(model.init, jax.random.key(0), image, jnp.full((1, 2), 64))
    config = Config(model=model, data=DataConfig(canvas=(64, 96)))
    categories = tuple(Category(i, f"class {i}") for i in range(3))
    save_run(folder / "run", Run(config, variables, 0, categories))

    detect = fpn_jax.load(folder / "run")
    pixels = np.random.default_rng(0).integers(0, 256, (150, 200, 3), dtype=np.uint8)
    found = detect(pixels)
    assert len(found.scores) > 0 and (found.boxes[:, 2] <= 200).all()
    assert found.masks.shape == (len(found.scores), 150, 200) and found.masks.any()
    try:
        detect(__file__)
    except ValueError as error:
        print(error)
    for file in files:
        run = run_from_torchvision(NAME, load_torchvision(NAME, file))
        save_run(folder / NAME, run)
        assert load_run(folder / NAME).config == run.config
    print(f"{len(found.scores)} detections by the core dependencies alone")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
