"""torchvision's side of the rows of whole detectors, as its user runs it: eager."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fpn_jax.benchmarks.inputs import photograph
from fpn_jax.parity.layouts import image_tensor
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.parity.random_detectors import lively_detector
from fpn_jax.parity.torchvision_detectors import freeze_norms
from fpn_jax.zoo.torchvision import TORCHVISION


def peer_detector(name: str, canvas: tuple[int, int]) -> Any:
    """torchvision's detector as it is beside its COCO weights, but with random ones.

    The norms of its ResNet are frozen, with the epsilon of the detector in our zoo. So
    are its stem and its first stage. An R-CNN is made less sure of the background, so
    that it finds as many as it may: masks and keypoints of 100 boxes, as ours. Images
    of `canvas`, height and width, keep their size.

    Raises ValueError where torchvision does not load with its compiled operators.
    """
    import_torchvision(compiled=True)
    sizes = {"min_size": min(canvas), "max_size": max(canvas)}
    model = lively_detector(name, [photograph(canvas)], **sizes)
    freeze_norms(model, TORCHVISION[name]().backbone.norm_epsilon)
    if hasattr(model, "roi_heads"):
        model.roi_heads.box_predictor.cls_score.bias.data[0] -= 4.0
    for stage in (model.backbone.body.conv1, model.backbone.body.layer1):
        stage.requires_grad_(False)
    return model


def peer_inference(model: Any, image: np.ndarray) -> Callable[[], dict]:
    """A function that returns the detections of a uint8 image."""
    torch, _ = import_torchvision(compiled=True)
    tensor = image_tensor(image)

    @torch.inference_mode()
    def run():
        return model([tensor])[0]

    return run


def peer_training(model: Any, batch: dict) -> Callable[[], float]:
    """A function that makes a step of SGD on the batch and returns its loss."""
    torch, _ = import_torchvision(compiled=True)
    trained = [p for p in model.parameters() if p.requires_grad]
    sgd = torch.optim.SGD(trained, lr=1e-4, momentum=0.9)
    images = [image_tensor(image) for image in batch["images"]]
    targets = [
        {"boxes": torch.from_numpy(boxes), "labels": torch.from_numpy(labels).long()}
        for boxes, labels in zip(batch["boxes"], batch["labels"], strict=True)
    ]
    model.train()

    def run() -> float:
        sgd.zero_grad()
        loss = torch.stack([*model(images, targets).values()]).sum()
        loss.backward()
        sgd.step()
        return loss.item()

    return run
