"""Options as other libraries call them, and what they are here.

Most people who train detectors know the names of Ultralytics, Detectron2 or
torchvision. Each is refused in a line that names the option of this package, with a
value.
"""

import re
from collections.abc import Callable, Mapping, Sequence

from fpn_jax.options.epochs import steps_for

# In an answer, {value} is the value that was given, and {example} the same, or the
# example behind "|" where none was given.
_LEARNING_RATE = "give --optimizer.learning-rate {example|0.001}"
_BATCH = "give --data.batch-size {example|8}"
_WEIGHTS = "give --train.pretrained {example|fasterrcnn_resnet50_fpn}"
_WORKDIR = "give --workdir {example|runs/mine}, the directory of one run"
_DEVICES = (
    "all devices of this machine are used: set CUDA_VISIBLE_DEVICES=0 or "
    "JAX_PLATFORMS=cpu before the command to choose"
)
_HALF = (
    "give --model.backbone.dtype bfloat16 --model.neck.dtype bfloat16, and the same "
    "for the heads; no loss scaling is needed"
)
_EXPERIMENT = (
    "give an experiment, a Python file with get_config(), as the first argument: "
    "fpn-jax train my_experiment.py"
)
_TRAIN: dict[str, str] = {
    **dict.fromkeys(("lr", "lr0", "base-lr", "learning-rate"), _LEARNING_RATE),
    **dict.fromkeys(("batch", "batch-size", "ims-per-batch"), _BATCH),
    **dict.fromkeys(
        ("weights", "pretrained", "pretrained-weights", "init-weights", "checkpoint"),
        _WEIGHTS,
    ),
    **dict.fromkeys(
        ("output-dir", "save-dir", "work-dir", "run-dir", "project", "name"), _WORKDIR
    ),
    "resume": "a run is continued where --workdir names its directory: --workdir "
    "{example|runs/digits-1}",
    **dict.fromkeys(("amp", "half", "fp16", "bf16", "precision"), _HALF),
    **dict.fromkeys(("device", "devices", "gpus", "num-gpus"), _DEVICES),
    **dict.fromkeys(
        ("workers", "num-workers", "nworkers"), "give --data.workers {example|4}"
    ),
    **dict.fromkeys(
        ("data", "dataset", "data-path", "source", "data-dir"),
        "give --data.source {example|my_data}",
    ),
    **dict.fromkeys(("config-file", "config", "cfg"), _EXPERIMENT),
    **dict.fromkeys(
        ("eval-only", "test-only", "val"), "give the run to: fpn-jax evaluate RUN"
    ),
    **dict.fromkeys(
        ("iters", "max-iter", "max-iters", "iterations"),
        "give --train.steps {example|700}",
    ),
    "optimizer": "give --optimizer.name sgd, adamw or muon",
    "wd": "give --optimizer.weight-decay {example|0.0001}",
    "patience": "give --train.patience {example|10}, counted in evaluations",
    "time": "give --train.hours {example|1}",
    "cos-lr": "give --optimizer.schedule cosine, which is the default",
    "warmup-epochs": "give --optimizer.warmup-steps 100: it is counted in steps",
    "freeze": "give --model.backbone.frozen-stages 2: the stem is the first stage",
    "close-mosaic": "give --data.unmixed-steps 100: it is counted in steps",
    "fliplr": "give --data.flip True or False",
    "save-period": "give --train.save-every 200: it is counted in steps",
    "aspect-ratio-group-factor": "give --data.group-by-aspect",
    "rect": "give --data.group-by-aspect",
    "model-ema": "give --train.ema-decay 0.999",
    "world-size": "give --distributed on each machine",
    **dict.fromkeys(
        ("conf", "conf-thres", "iou", "iou-thres", "max-det"),
        "thresholds are options of predict and evaluate: --score-threshold 0.25, "
        "--nms-threshold 0.5, --max-detections 100",
    ),
    "save-txt": "labels are written by: fpn-jax predict RUN IMAGE --yolo labels",
}
_RUN_FIRST = "give the run or the name of a model as the first argument: "
_THRESHOLDS = {
    **dict.fromkeys(
        ("conf", "conf-thres", "confidence", "confidence-threshold"),
        "give --score-threshold {example|0.5}",
    ),
    **dict.fromkeys(("iou", "iou-thres"), "give --nms-threshold {example|0.5}"),
    "max-det": "give --max-detections {example|100}",
}
_USES: dict[str, str] = {
    **_THRESHOLDS,
    **dict.fromkeys(("device", "devices", "gpus", "num-gpus"), _DEVICES),
    **dict.fromkeys(
        ("imgsz", "img", "img-size", "image-size"),
        "the size is the one that the run was trained for; --tiles 640 looks at large "
        "images in squares",
    ),
}
_WEIGHT_NAMES = ("weights", "model", "ckpt", "resume", "pretrained", "config-file")
_ANSWERS: Mapping[str, Mapping[str, str]] = {
    "train": _TRAIN,
    "preflight": _TRAIN,
    "predict": {
        **_USES,
        **dict.fromkeys(
            ("source", "input", "image", "image-path", "img-path", "data"),
            "give it as an argument: fpn-jax predict RUN {example|photos}",
        ),
        **dict.fromkeys(
            _WEIGHT_NAMES, _RUN_FIRST + "fpn-jax predict {example|RUN} photos"
        ),
        **dict.fromkeys(
            ("project", "name", "output", "output-dir", "save-dir"),
            "give --out {example|predictions}",
        ),
        "batch": "give --batch-size {example|8}",
        "save-txt": "give --yolo labels, a directory",
        "save-crop": "give --crops crops, a directory",
        "save-json": "give --json found.json",
        "nosave": "give --no-pictures",
        "augment": "give --tta flip,0.8,1.2",
        "vid-stride": "give --every {example|5}",
        **dict.fromkeys(
            ("half", "fp16", "amp"),
            "a run computes in the type that it was trained in; evaluate and export "
            "have --dtype bfloat16",
        ),
    },
    "evaluate": {
        **_USES,
        **dict.fromkeys(_WEIGHT_NAMES, _RUN_FIRST + "fpn-jax evaluate {example|RUN}"),
        **dict.fromkeys(
            ("source", "dataset", "data-path"), "give --data {example|my_data}"
        ),
        **dict.fromkeys(("half", "fp16", "amp"), "give --dtype bfloat16"),
        **dict.fromkeys(
            ("batch", "batch-size", "workers"),
            "it is a setting of the run: fpn-jax train --evaluation.batch-size 8 "
            "--data.workers 4",
        ),
        "save-json": "give --json metrics.json",
        **dict.fromkeys(
            ("output-dir", "project", "name"), "give --json {example|metrics.json}"
        ),
        "augment": "give --tta flip,0.8,1.2",
        **dict.fromkeys(("eval-only", "test-only", "val"), "leave it out"),
    },
    "export": {
        **_THRESHOLDS,
        **dict.fromkeys(_WEIGHT_NAMES, _RUN_FIRST + "fpn-jax export {example|RUN} OUT"),
        "include": "give --format onnx, savedmodel or stablehlo",
        "batch-size": "give --batch {example|1}",
        "dynamic": "give --batch dynamic",
        **dict.fromkeys(("imgsz", "img-size"), "give --canvas {sides|640 640}"),
        **dict.fromkeys(("half", "fp16"), "give --dtype bfloat16"),
        **dict.fromkeys(
            ("nms", "agnostic-nms", "end2end"), "leave it out: suppression is inside"
        ),
        **dict.fromkeys(("device", "gpus"), "leave it out: the file runs on any"),
        **dict.fromkeys(
            ("output", "output-dir", "name"),
            "give the file as the second argument: fpn-jax export RUN {example|OUT}",
        ),
    },
    "doctor": {
        **dict.fromkeys(
            ("data", "source", "dataset"),
            "give it as the first argument: fpn-jax doctor {example|my_data}",
        ),
        "split": "give --splits {example|train}",
        "imgsz": "give --canvas {sides|640 640}",
    },
}


def check_other_names(command: str, arguments: Sequence[str]) -> None:
    """Raises ValueError where options, or `key=value`, have the names of others.

    All of them are named, each with the option of this package.
    """
    answers = _ANSWERS.get(command, {})
    lines = {}
    for number, word in enumerate(arguments):
        name, equals, value = word.partition("=")
        bare = re.fullmatch(r"(--)?([a-z][\w-]*)", name)
        if bare is None or not (bare[1] or equals):
            continue
        if not equals and not "".join(arguments[number + 1 :][:1]).startswith("--"):
            value = "".join(arguments[number + 1 :][:1])
        key = bare[2].replace("_", "-")
        answer = _answer(command, key, value, arguments) or answers.get(key)
        if answer is not None:
            given = word if equals else f"{word} {value}".rstrip()
            lines[key] = f"{given}: {_filled(answer, value)}"
    if lines:
        raise ValueError("; ".join(lines.values()))


def _answer(command: str, key: str, value: str, arguments: Sequence[str]) -> str | None:
    """Returns an answer that depends on the other arguments, or None."""
    if command not in ("train", "preflight"):
        return None
    if key in ("epochs", "num-epochs", "max-epochs", "epoch"):
        return steps_for(value, arguments)
    if key in ("imgsz", "img", "img-size", "image-size"):
        side = _whole_side(value)
        return f"give --data.canvas {side} {side}, height and width, multiples of 32"
    return None


def _filled(answer: str, value: str) -> str:
    """Returns an answer with the value that was given in its places."""
    fill: dict[str, Callable[[str], str]] = {
        "example": lambda example: value or example,
        "sides": lambda example: f"{value} {value}" if value.isdecimal() else example,
    }
    return re.sub(r"\{(\w+)\|([^}]*)\}", lambda m: fill[m[1]](m[2]), answer)


def _whole_side(value: str) -> int:
    """Returns the multiple of 32 that is nearest to a side; 640 where it is none."""
    return max(32, round(int(value) / 32) * 32) if value.isdecimal() else 640
