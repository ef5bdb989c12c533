"""From JPEG files to padded training batches, on one core."""

import atexit
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

from fpn_jax.benchmarks.timing import OURS, Contest
from fpn_jax.data.batching import Batching
from fpn_jax.data.formats.coco import open_coco_file
from fpn_jax.data.loader import Changes, training_batches
from fpn_jax.data.transforms import HorizontalFlip, ScaleJitter
from fpn_jax.parity.live_torchvision import import_torchvision

_IMAGES, _BATCH = 64, 8
_SIZE = 480, 640  # height, width of the files
_CANVAS = 640, 640
_SCALES = 0.8, 1.25
_OBJECTS = 8
_RANDOM = HorizontalFlip(), ScaleJitter(_CANVAS, *_SCALES)
_FIXED = (ScaleJitter(_CANVAS, 1.0, 1.0),)


def loading_contest(peer: bool) -> Contest:
    """64 photographs of 640 x 480, decoded, flipped, jittered and padded in batches.

    Both have one core: ours for the threads of its loader, torch's `DataLoader` in its
    own process, with Pillow's decoder and torchvision's transforms v2. `difference` is
    the mean of the pixels, as a share of 255, where nothing is random.
    """
    folder = Path(tempfile.mkdtemp(prefix="fpn_jax-loading-"))
    atexit.register(shutil.rmtree, folder)
    _write(folder)
    contestants = {OURS: partial(_on_one_core, partial(_ours, folder, _RANDOM))}
    if not peer:
        return Contest(contestants, runs=8)
    random, fixed = (_torch_batches(folder, chance=chance) for chance in (True, False))
    contestants["torchvision"] = partial(_on_one_core, random)
    ours = np.concatenate(_ours(folder, _FIXED))
    order = np.argsort(np.concatenate(_ours(folder, _FIXED, "image_ids")))
    pixels = np.abs(ours[order].astype(int) - np.concatenate(fixed()).astype(int))
    return Contest(contestants, runs=8, difference=float(pixels.mean() / 255))


def _ours(folder: Path, transforms: tuple, name: str = "images") -> list[np.ndarray]:
    batches = training_batches(
        open_coco_file(folder),
        Batching(batch_size=_BATCH, canvas=_CANVAS, max_boxes=_OBJECTS, max_errors=0),
        changes=Changes(transforms),
        seed=0,
    )
    taken = [next(batches)[name] for _ in range(_IMAGES // _BATCH)]
    batches.close()
    return taken


def _torch_batches(folder: Path, *, chance: bool) -> Callable[[], list[np.ndarray]]:
    """Returns a function that gives as many batches of torch's loader."""
    torch, _ = import_torchvision(compiled=True)
    torch.set_num_threads(1)  # its pool would not stay on one core
    from torchvision import tv_tensors
    from torchvision.transforms import v2

    content = json.loads((folder / "annotations.json").read_text())
    boxes = {row["id"]: [] for row in content["images"]}
    for row in content["annotations"]:
        boxes[row["image_id"]].append(row["bbox"])
    scales = _SCALES if chance else (1.0, 1.0)
    steps = [v2.ScaleJitter(_CANVAS, scales, antialias=False)]  # as ours
    if chance:
        crop = v2.RandomCrop(_CANVAS, pad_if_needed=True)
        steps = [v2.RandomHorizontalFlip(), *steps, crop, v2.SanitizeBoundingBoxes()]
    transform = v2.Compose(steps)

    class Files(torch.utils.data.Dataset):
        def __len__(self):
            return _IMAGES

        def __getitem__(self, index):
            row = content["images"][index]
            picture = Image.open(folder / row["file_name"]).convert("RGB")
            image = v2.functional.pil_to_tensor(picture)
            target = {
                "boxes": tv_tensors.BoundingBoxes(  # pyright: ignore[reportCallIssue]
                    boxes[row["id"]], format="XYWH", canvas_size=_SIZE
                ),
                "labels": torch.zeros(_OBJECTS, dtype=torch.int64),
            }
            return transform(tv_tensors.Image(image), target)

    def collate(rows):
        images = torch.zeros((len(rows), 3, *_CANVAS), dtype=torch.uint8)
        truth = torch.zeros((len(rows), _OBJECTS, 4))
        for number, (image, target) in enumerate(rows):
            images[number, :, : image.shape[1], : image.shape[2]] = image
            truth[number, : len(target["boxes"])] = target["boxes"]
        return images, truth

    loader = torch.utils.data.DataLoader(
        Files(), batch_size=_BATCH, shuffle=chance, collate_fn=collate
    )
    return lambda: [images.permute(0, 2, 3, 1).numpy() for images, _ in loader]


def _on_one_core(run: Callable[[], object]) -> object:
    """Returns what a function gives; threads that it starts share its core."""
    if not hasattr(os, "sched_setaffinity"):
        return run()
    every = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(every)})
    try:
        return run()
    finally:
        os.sched_setaffinity(0, every)


def _write(folder: Path) -> None:
    """Parts of scikit-learn's photographs as a COCO folder, with random boxes."""
    rng = np.random.default_rng(0)
    photographs = load_sample_images().images
    images, annotations = [], []
    for number in range(_IMAGES):
        picture = photographs[number % 2]
        top, left = rng.integers(0, 64, 2)
        part = np.ascontiguousarray(picture[top : top + 360, left : left + 480])
        picture = cv2.resize(part, _SIZE[::-1], interpolation=cv2.INTER_CUBIC)
        name = f"{number:012d}.jpg"
        _, data = cv2.imencode(".jpg", picture[..., ::-1])
        (folder / name).write_bytes(data.tobytes())
        images.append(
            {
                **{"id": number, "file_name": name},
                **{"height": _SIZE[0], "width": _SIZE[1]},
            }
        )
        for _ in range(_OBJECTS):
            x, y, width, height = rng.uniform(20, 240, 4).tolist()
            row = {"image_id": number, "category_id": 0, "id": len(annotations)}
            annotations.append(row | {"bbox": [x, y, width, height]})
    content = {"images": images, "annotations": annotations}
    content["categories"] = [{"id": 0, "name": "thing"}]
    (folder / "annotations.json").write_text(json.dumps(content))
