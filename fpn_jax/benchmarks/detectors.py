"""Whole detectors beside torchvision's: pixels to final boxes, and training steps.

The peer is torchvision's builder as a user calls it (eager, norms frozen as beside its
COCO weights), contiguous and channels last. Both sides have the same weights: random,
with predictors scaled until some tens of boxes pass the thresholds.
"""

import copy
from collections.abc import Callable
from functools import partial
from types import ModuleType

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from fpn_jax.benchmarks.peer import import_torchvision
from fpn_jax.benchmarks.timing import OURS, Contest
from fpn_jax.detectors import zoo
from fpn_jax.inference import Detector
from fpn_jax.training.state import TrainState
from fpn_jax.training.step import train_step
from fpn_jax.weights.convert import StateDict
from fpn_jax.weights.torchvision import load_detector

# 2 x multiply-accumulate of one image at 800 x 1344, 91 outputs, 1000 RoIs, and 100
# detections with masks or keypoints: the sum over the layers.
GFLOP = {
    "fasterrcnn_resnet50_fpn": 432,
    "maskrcnn_resnet50_fpn": 538,
    "keypointrcnn_resnet50_fpn": 1131,
    "retinanet_resnet50_fpn": 509,
    "fcos_resnet50_fpn": 431,
}
_CANVAS = (800, 1333)


def inference_contest(peer: bool, *, name: str) -> Contest:
    """One uint8 image of 800x1333 to its final detections, batch 1, float32."""
    image = _image(_CANVAS)
    model = getattr(zoo, name)()
    flop = GFLOP[name] * 1e9
    if not peer:
        variables = _random_variables(model)
        detector = Detector(model, variables, _CANVAS, ())
        return Contest({OURS: partial(detector, image)}, runs=5, flop=flop)
    torch, _ = import_torchvision()
    theirs = _torchvision_model(name, model.backbone.norm_epsilon).eval()
    variables = load_detector(_numpy_state(theirs), model)
    detector = Detector(model, jax.device_put(variables), _CANVAS, ())
    contestants = {OURS: partial(detector, image)}
    tensor = torch.from_numpy(image.transpose(2, 0, 1).copy()) / 255
    for label, module in _memory_formats(torch, theirs).items():
        contestants[label] = _no_gradients(torch, module, tensor)
    found = contestants["torchvision"]()["scores"].numpy()
    difference = _score_difference(detector(image).scores, found)
    return Contest(contestants, runs=5, flop=flop, difference=difference)


def training_contest(peer: bool, *, name: str) -> Contest:
    """One SGD step on two images of 320x320, five objects each, stem and C2 frozen."""
    model = getattr(zoo, name)()
    batch = _batch()
    optimizer = optax.sgd(1e-4, momentum=0.9)
    if not peer:
        run = _our_step(model, _random_variables(model), batch, optimizer)
        return Contest({OURS: run}, runs=9)
    torch, _ = import_torchvision()
    theirs = _torchvision_model(name, model.backbone.norm_epsilon)
    theirs.transform.min_size, theirs.transform.max_size = (320,), 320
    variables = load_detector(_numpy_state(theirs), model)
    contestants = {OURS: _our_step(model, variables, batch, optimizer)}
    for label, module in _memory_formats(torch, theirs).items():
        contestants[label] = _their_step(torch, module, batch)
    ours, loss = (contestants[who]() for who in (OURS, "torchvision"))
    return Contest(contestants, runs=9, difference=abs(ours - loss) / loss)


def _our_step(model, variables, batch, optimizer) -> Callable[[], float]:
    params = jax.tree.map(jnp.array, variables["params"])
    state = TrainState(
        step=jnp.int32(0),
        params=params,
        batch_stats=jax.tree.map(jnp.array, variables["batch_stats"]),
        opt_state=optimizer.init(params),
        key=jax.random.key(0),
        ema=None,
    )
    step = jax.jit(
        partial(train_step, model=model, optimizer=optimizer), donate_argnums=0
    )
    holder = [state]

    def run() -> float:
        holder[0], losses = step(holder[0], batch)
        return float(losses["loss"])

    return run


def _their_step(torch: ModuleType, module, batch: dict) -> Callable[[], float]:
    parameters = [p for p in module.parameters() if p.requires_grad]
    sgd = torch.optim.SGD(parameters, lr=1e-4, momentum=0.9)
    images = [torch.from_numpy(x.transpose(2, 0, 1) / 255.0) for x in batch["images"]]
    images = [image.float() for image in images]
    targets = [
        {"boxes": torch.from_numpy(boxes), "labels": torch.from_numpy(labels).long()}
        for boxes, labels in zip(batch["boxes"], batch["labels"], strict=True)
    ]
    module.train()

    def run() -> float:
        sgd.zero_grad()
        loss = sum(module(images, targets).values())
        loss.backward()
        sgd.step()
        return loss.item()

    return run


def _memory_formats(torch: ModuleType, model) -> dict:
    last = copy.deepcopy(model).to(memory_format=torch.channels_last)
    return {"torchvision": model, "torchvision channels_last": last}


def _no_gradients(torch: ModuleType, module, tensor) -> Callable[[], dict]:
    @torch.inference_mode()
    def run():
        return module([tensor])[0]

    return run


def _torchvision_model(name: str, epsilon: float):
    """torchvision's builder as beside its COCO weights, decided as after training."""
    torch, torchvision = import_torchvision()
    detection = torchvision.models.detection
    build, num_outputs, dense = {
        "fasterrcnn_resnet50_fpn": (detection.FasterRCNN, 91, False),
        "maskrcnn_resnet50_fpn": (detection.MaskRCNN, 91, False),
        "keypointrcnn_resnet50_fpn": (detection.KeypointRCNN, 2, False),
        "retinanet_resnet50_fpn": (detection.RetinaNet, 91, True),
        "fcos_resnet50_fpn": (detection.FCOS, 91, True),
    }[name]
    levels = {}
    if dense:
        extra = torchvision.ops.feature_pyramid_network.LastLevelP6P7(256, 256)
        levels = {"returned_layers": [2, 3, 4], "extra_blocks": extra}
    torch.manual_seed(0)
    backbone = detection.backbone_utils.resnet_fpn_backbone(
        backbone_name="resnet50",
        weights=None,
        norm_layer=partial(torchvision.ops.FrozenBatchNorm2d, eps=epsilon),
        trainable_layers=3,
        **levels,
    )
    for name, buffer in backbone.named_buffers():
        if name.endswith("bn3.weight"):  # residuals small beside their shortcuts
            buffer.fill_(0.3)
    model = build(backbone, num_outputs)
    _decide(model)
    return model


# Standard deviations of the predictors' outputs, roughly those of trained detectors.
_SPREADS = {
    "rpn.head.cls_logits": 3.0,
    "rpn.head.bbox_pred": 0.2,
    "roi_heads.box_predictor.cls_score": 2.0,
    "roi_heads.box_predictor.bbox_pred": 0.5,
    "roi_heads.mask_predictor.mask_fcn_logits": 2.0,
    "roi_heads.keypoint_predictor.kps_score_lowres": 2.0,
    "head.classification_head.cls_logits": 0.7,
    "head.regression_head.bbox_reg": 0.3,
    "head.regression_head.bbox_ctrness": 1.0,
}


def _decide(model) -> None:
    """Scales the weights of each predictor until its outputs spread as they should."""
    torch, _ = import_torchvision()
    image = torch.from_numpy(_image((320, 320)).transpose(2, 0, 1) / 255.0).float()
    model.eval()
    for name, spread in _SPREADS.items():
        if name not in dict(model.named_modules()):
            continue
        module = model.get_submodule(name)
        seen = []
        hook = module.register_forward_hook(
            lambda _, inputs, output, seen=seen: seen.append(output)
        )
        with torch.inference_mode():
            model([image])
        hook.remove()
        values = torch.cat([output.flatten() for output in seen])
        with torch.no_grad():
            module.weight.mul_(spread / values.std())


def _image(size: tuple[int, int]) -> np.ndarray:
    """A photograph [h, w, 3], RGB."""
    import cv2
    from sklearn.datasets import load_sample_image

    return cv2.resize(load_sample_image("china.jpg"), size[::-1])


def _batch() -> dict[str, np.ndarray]:
    """Two training images with five objects each."""
    random = np.random.default_rng(0)
    corners = random.uniform(0, 160, (2, 5, 2))
    sides = np.exp(random.uniform(np.log(16), np.log(150), (2, 5, 2)))
    return {
        "images": np.stack([_image((320, 320)), _image((320, 320))[:, ::-1]]),
        "sizes": np.full((2, 2), 320, np.int32),
        "boxes": np.concatenate([corners, corners + sides], -1).astype(np.float32),
        "labels": np.zeros((2, 5), np.int32),
        "valid": np.ones((2, 5), bool),
        "crowd": np.zeros((2, 5), bool),
    }


def _random_variables(model: nn.Module) -> dict:
    images, sizes = jnp.zeros((1, 320, 320, 3)), jnp.full((1, 2), 320)
    return {"batch_stats": {}} | jax.jit(model.init)(jax.random.key(0), images, sizes)


def _numpy_state(module) -> StateDict:
    return {name: tensor.numpy() for name, tensor in module.state_dict().items()}


def _score_difference(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The largest by rank; infinite if one side has found more."""
    if len(ours) != len(theirs):
        return float("inf")
    return float(np.abs(ours - theirs).max(initial=0.0))
