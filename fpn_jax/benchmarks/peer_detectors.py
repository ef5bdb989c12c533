"""torchvision's side of the rows of whole detectors, as its user runs it."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from fpn_jax.benchmarks.inputs import photograph
from fpn_jax.benchmarks.setting import EAGER_FLOAT32, Setting, peer_device
from fpn_jax.parity.layouts import image_tensor
from fpn_jax.parity.live_torchvision import import_torchvision
from fpn_jax.parity.random_detectors import lively_detector
from fpn_jax.parity.torchvision_detectors import freeze_norms
from fpn_jax.weights.torchvision import first_label
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
    return model.to(peer_device())


def peer_forms(model: Any, setting: Setting) -> dict[str, Any]:
    """The model eager, channels last, and by torch.compile if that is asked for."""
    torch, _ = import_torchvision(compiled=True)
    last = copy.deepcopy(model).to(memory_format=torch.channels_last)
    forms = {"torchvision": model, "torchvision channels_last": last}
    if setting.torch_compile:
        torch.compiler.reset()  # what it keeps of other rows would be eager here
        forms["torchvision torch.compile"] = torch.compile(copy.deepcopy(model))
    return forms


def peer_inference(
    model: Any, image: np.ndarray, setting: Setting = EAGER_FLOAT32
) -> Callable[[], dict]:
    """A function that returns the detections of a uint8 image, on the CPU."""
    torch, _ = import_torchvision(compiled=True)
    tensor, device = image_tensor(image), peer_device()

    @torch.inference_mode()
    def run():
        found = model([tensor.to(device)])[0]
        return {key: value.cpu() for key, value in found.items()}  # waits, as ours

    return setting.theirs(run)


def peer_training(
    model: Any, name: str, batch: dict, setting: Setting = EAGER_FLOAT32
) -> Callable[[], float]:
    """A function that makes a step of SGD on the batch and returns its loss.

    The batch is ours, of a detector of this name.
    """
    torch, _ = import_torchvision(compiled=True)
    trained = [p for p in model.parameters() if p.requires_grad]
    sgd = torch.optim.SGD(trained, lr=1e-4, momentum=0.9)
    device, first = peer_device(), first_label(TORCHVISION[name]())
    images = [image_tensor(image).to(device) for image in batch["images"]]
    targets = [
        {
            "boxes": torch.tensor(boxes, device=device),
            "labels": torch.tensor(labels, dtype=torch.int64, device=device) + first,
        }
        for boxes, labels in zip(batch["boxes"], batch["labels"], strict=True)
    ]
    model.train()
    losses = setting.theirs(
        lambda: torch.stack([*model(images, targets).values()]).sum()
    )

    def run() -> float:
        sgd.zero_grad()
        loss = losses()
        loss.backward()
        sgd.step()
        return loss.item()  # waits for the device

    return run
