"""What reads the files of other people, each with sound files to begin with."""

import json
import os
import pickle
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save_file

from fpn_jax.backbones.dummy import Dummy
from fpn_jax.data.batching import Batching
from fpn_jax.data.example import Category, UnreadableImage
from fpn_jax.data.loader import Changes, training_batches
from fpn_jax.data.sources import open_source
from fpn_jax.data.transforms import FitCanvas
from fpn_jax.detectors.proposal_network import ProposalNetwork
from fpn_jax.evaluation.records import coco_ground_truth
from fpn_jax.heads.rpn import RPNHead
from fpn_jax.necks.fpn import FPN
from fpn_jax.training.config import Config
from fpn_jax.training.run import Run, load_run, save_run
from fpn_jax.weights.pickles import load_pickle
from fpn_jax.weights.state_dicts import load_state_dict
from tests.support.formats import FORMS, miniature

_CANVAS = (64, 64)


class Reader(NamedTuple):
    """`write(folder)` makes sound files; `read(folder, rng)` reads all of them."""

    write: Callable[[Path], object]
    read: Callable[[Path, random.Random], object]


def _write_form(form: str, root: Path) -> None:
    write, _ = FORMS[form]
    if form == "coco":
        write(root / "data", miniature(3))
        return
    (root / "data").mkdir()
    write(root / "data", miniature(3), "train")


def _write_polygons(root: Path) -> None:
    """A COCO folder with a polygon, runs and keypoints."""
    folder = root / "data" / "train"
    folder.mkdir(parents=True)
    thing = {"image_id": 1, "category_id": 1, "bbox": [4, 4, 20, 20], "iscrowd": 0}
    polygon = [[4, 4, 24, 4, 24, 24, 4, 24]]
    runs = {"size": [48, 64], "counts": [100, 20, 28, 20, 48 * 64 - 168]}
    points = [10, 10, 2, 20, 12, 1]
    content = {
        "images": [{"id": 1, "file_name": "1.png", "height": 48, "width": 64}],
        "annotations": [
            thing | {"id": 1, "segmentation": polygon, "keypoints": points},
            thing | {"id": 2, "segmentation": runs, "area": 40.0},
        ],
        "categories": [
            {
                **{"id": 1, "name": "dog", "keypoints": ["left_ear", "right_ear"]},
                "skeleton": [[1, 2]],
            }
        ],
    }
    (folder / "annotations.json").write_text(json.dumps(content))
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    cv2.imwrite(str(folder / "1.png"), image)


def _write_yolo_keypoints(root: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    for name in ("a.jpg", "b.webp"):
        (root / "data/images/train").mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(root / "data/images/train" / name), image)
    (root / "data/labels/train").mkdir(parents=True)
    label = "0 .5 .5 .5 .5 .2 .2 2 .6 .6 1 .3 .3 2\n"
    (root / "data/labels/train/a.txt").write_text(label)
    (root / "data/train.txt").write_text(
        "./images/train/a.jpg\n./images/train/b.webp\n"
    )
    (root / "data/data.yaml").write_text(
        "path: .\ntrain: train.txt\nval: images/train\nnames: {0: dog}\n"
        "kpt_shape: [3, 3]\nflip_idx: [1, 0, 2]\n"
    )


def _read_data_set(root: Path, rng: random.Random) -> None:
    """As training, evaluation and the doctor do."""
    source = open_source(
        str(root / "data"),
        "train",
        masks=rng.random() < 0.3,
        keypoints=rng.random() < 0.3,
        strict=rng.random() < 0.3,
    )
    str([*map(str, source.defects)])
    examples = []
    for index in range(len(source)):
        try:
            examples.append(source[index])
        except UnreadableImage:
            continue
    json.dumps(coco_ground_truth(examples, source.categories, source.keypoint_spec))
    if examples:
        batching = Batching(
            batch_size=2, canvas=_CANVAS, max_boxes=8, max_errors=len(source)
        )
        changes = Changes(transforms=(FitCanvas(_CANVAS),))
        next(iter(training_batches(source, batching, changes=changes, seed=0)))


_ARRAYS = {f"layer{i}.weight": np.full((4, 3), i, np.float32) for i in range(4)}


def _write_torch(root: Path, *, zipped: bool = True) -> None:
    import torch

    tensors = {name: torch.tensor(array) for name, array in _ARRAYS.items()}
    content = {"model": tensors, "epoch": 3, "lr": 0.02}
    file = root / "model.pth"
    torch.save(content, file, _use_new_zipfile_serialization=zipped)


class _Hostile:
    """Makes a directory where a pickle of it is run."""

    def __init__(self, marker: Path):
        self.marker = str(marker)

    def __reduce__(self):
        return os.mkdir, (self.marker,)


def _write_hostile(root: Path, *, zipped: bool) -> None:
    import torch

    content = {"model": {"a.b": torch.ones(3)}, "args": _Hostile(root / "marker")}
    file = root / "model.pth"
    torch.save(content, file, _use_new_zipfile_serialization=zipped)


def _read_torch(root: Path, _: random.Random) -> None:
    try:
        load_state_dict(root / "model.pth")
    finally:
        # Mutations may change the name of the directory, but make none elsewhere.
        made = [path for path in root.iterdir() if path.is_dir()]
        assert not made, f"the file was run: {made}"


def _write_pickle(root: Path) -> None:
    content = {"model": _ARRAYS, "__author__": "a", "iteration": 3}
    (root / "model.pkl").write_bytes(pickle.dumps(content, protocol=2))


def _write_run(root: Path) -> None:
    model = ProposalNetwork(
        Dummy(), FPN(8), RPNHead(anchor_sizes=((8,), (16,), (32,), (64,), (128,)))
    )
    variables = model.init(
        jax.random.key(0), jnp.zeros((1, 64, 64, 3)), jnp.full((1, 2), 64)
    )
    save_run(
        root / "run", Run(Config(model=model), variables, 0, (Category(1, "dog"),))
    )


READERS = {
    **{form: Reader(partial(_write_form, form), _read_data_set) for form in FORMS},
    "polygons": Reader(_write_polygons, _read_data_set),
    "yolo keypoints": Reader(_write_yolo_keypoints, _read_data_set),
    "torch": Reader(_write_torch, _read_torch),
    "torch, older": Reader(partial(_write_torch, zipped=False), _read_torch),
    "torch, hostile": Reader(partial(_write_hostile, zipped=True), _read_torch),
    "torch, older, hostile": Reader(partial(_write_hostile, zipped=False), _read_torch),
    "safetensors": Reader(
        lambda root: save_file(_ARRAYS, root / "model.safetensors"),
        lambda root, _: load_state_dict(root / "model.safetensors"),
    ),
    "pickle": Reader(_write_pickle, lambda root, _: load_pickle(root / "model.pkl")),
    "run": Reader(_write_run, lambda root, _: load_run(root / "run")),
}
