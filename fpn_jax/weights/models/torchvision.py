"""torchvision's published weights: detectors of COCO, and classifiers of ImageNet.

Addresses, sizes and figures are those of torchvision 0.28, whose file names carry the
first eight digits of their SHA-256. The plain name of a classifier is its first set of
weights, which torchvision's detectors were trained from; `_v2` is the second.
"""

from collections.abc import Mapping

from fpn_jax.weights.models.entry import PublishedModel, Task

_ADDRESS = "https://download.pytorch.org/models/"
_LICENSE = "BSD-3-Clause"
_SIDES = "RGB, ImageNet's mean and deviation; shorter side 800, longer at most 1333"
_SMALL_SIDES = (
    "RGB, ImageNet's mean and deviation; shorter side 320, longer at most 640"
)
_OF_BACKBONES = "RGB, ImageNet's mean and deviation"


def _detector(
    file: str,
    mebibytes: float,
    *,
    task: Task = "boxes",
    name: str = "",
    inputs: str = _SIDES,
    norm_epsilon: float | None = None,
    **figures: float,
) -> PublishedModel:
    model = file.rpartition("-")[0].removesuffix("_coco")
    return PublishedModel(
        name=name or model,
        model=model,
        source="torchvision",
        task=task,
        url=f"{_ADDRESS}{file}",
        digest=_digest(file),
        mebibytes=mebibytes,
        license=_LICENSE,
        figures=figures,
        inputs=inputs,
        norm_epsilon=norm_epsilon,
    )


def _classifier(file: str, mebibytes: float, top_1: float) -> PublishedModel:
    model = file.rpartition("-")[0]
    second = file in _SECOND
    return PublishedModel(
        name=f"{model}_v2" if second else model,
        model=model,
        source="torchvision",
        task="classes",
        url=f"{_ADDRESS}{file}",
        digest=_digest(file),
        mebibytes=mebibytes,
        license=_LICENSE,
        figures={"top-1": top_1},
        inputs=_OF_BACKBONES,
    )


def _digest(file: str) -> str:
    return f"sha256:{file.rpartition('-')[2].removesuffix('.pth')}"


DETECTOR_ROWS = (
    _detector("fasterrcnn_resnet50_fpn_coco-258fb6c6.pth", 159.743, boxes=37.0),
    _detector("fasterrcnn_resnet50_fpn_v2_coco-dd69338a.pth", 167.104, boxes=46.7),
    _detector("fasterrcnn_mobilenet_v3_large_fpn-fb6a3cc7.pth", 74.239, boxes=32.8),
    _detector(
        "fasterrcnn_mobilenet_v3_large_320_fpn-907ea3f9.pth",
        74.239,
        inputs=_SMALL_SIDES,
        boxes=22.8,
    ),
    _detector("retinanet_resnet50_fpn_coco-eeacb38b.pth", 130.267, boxes=36.4),
    _detector("retinanet_resnet50_fpn_v2_coco-5905b1c5.pth", 146.037, boxes=41.5),
    _detector("fcos_resnet50_fpn_coco-99b0c9b7.pth", 123.608, boxes=39.2),
    _detector(
        "maskrcnn_resnet50_fpn_coco-bf2d0c1e.pth",
        169.84,
        task="masks",
        boxes=37.9,
        masks=34.6,
    ),
    _detector(
        "maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth",
        177.219,
        task="masks",
        boxes=47.4,
        masks=41.8,
    ),
    _detector(
        "keypointrcnn_resnet50_fpn_coco-fc266e95.pth",
        226.054,
        task="keypoints",
        boxes=54.6,
        keypoints=65.0,
    ),
    _detector(
        "keypointrcnn_resnet50_fpn_coco-9f466800.pth",
        226.054,
        task="keypoints",
        name="keypointrcnn_resnet50_fpn_legacy",
        norm_epsilon=1e-5,
        boxes=50.6,
        keypoints=61.1,
    ),
)

_SECOND = {
    "mobilenet_v2-7ebf99e0.pth",
    "mobilenet_v3_large-5c1a4163.pth",
    "resnet50-11ad3fa6.pth",
    "resnet101-cd907fc2.pth",
    "resnet152-f82ba261.pth",
    "resnext50_32x4d-1a0047aa.pth",
    "resnext101_32x8d-110c445d.pth",
    "wide_resnet50_2-9ba9bcbe.pth",
    "wide_resnet101_2-d733dc28.pth",
}

_CLASSIFIERS: Mapping[str, tuple[float, float]] = {  # file: MiB, accuracy
    "mobilenet_v2-b0353104.pth": (13.555, 71.878),
    "mobilenet_v2-7ebf99e0.pth": (13.598, 72.154),
    "mobilenet_v3_large-8738ca79.pth": (21.114, 74.042),
    "mobilenet_v3_large-5c1a4163.pth": (21.107, 75.274),
    "mobilenet_v3_small-047dcff4.pth": (9.829, 67.668),
    "resnet18-f37072fd.pth": (44.661, 69.758),
    "resnet34-b627a593.pth": (83.275, 73.314),
    "resnet50-0676ba61.pth": (97.781, 76.13),
    "resnet50-11ad3fa6.pth": (97.79, 80.858),
    "resnet101-63fe2227.pth": (170.511, 77.374),
    "resnet101-cd907fc2.pth": (170.53, 81.886),
    "resnet152-394f9c45.pth": (230.434, 78.312),
    "resnet152-f82ba261.pth": (230.474, 82.284),
    "resnext50_32x4d-7cdf4587.pth": (95.789, 77.618),
    "resnext50_32x4d-1a0047aa.pth": (95.833, 81.198),
    "resnext101_32x8d-8ba56ff5.pth": (339.586, 79.312),
    "resnext101_32x8d-110c445d.pth": (339.673, 82.834),
    "resnext101_64x4d-173b62eb.pth": (319.318, 83.246),
    "wide_resnet50_2-95faca4d.pth": (131.82, 78.468),
    "wide_resnet50_2-9ba9bcbe.pth": (263.124, 81.602),
    "wide_resnet101_2-32ee1156.pth": (242.896, 78.848),
    "wide_resnet101_2-d733dc28.pth": (484.747, 82.51),
    "vgg11-8a719046.pth": (506.84, 69.02),
    "vgg11_bn-6002323d.pth": (506.881, 70.37),
    "vgg13-19584684.pth": (507.545, 69.928),
    "vgg13_bn-abd245e5.pth": (507.59, 71.586),
    "vgg16-397923af.pth": (527.796, 71.592),
    "vgg16_bn-6c64b313.pth": (527.866, 73.36),
    "vgg19-dcbb9e9d.pth": (548.051, 72.376),
    "vgg19_bn-c79401a0.pth": (548.143, 74.218),
}
CLASSIFIER_ROWS = tuple(_classifier(file, *row) for file, row in _CLASSIFIERS.items())
