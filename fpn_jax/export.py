"""Writes a detector into a file that runs without fpn_jax.

    fpn-jax export runs/digits-1 detector.onnx
    fpn-jax export runs/digits-1 detector.hlo --batch dynamic

The file is one program from pixels to final boxes, with its weights, suppression, masks
and keypoints inside. StableHLO is for JAX on CPU, TPU and CUDA, ONNX for onnxruntime,
and SavedModel, a directory, for TensorFlow.

The file is run beside the detector on pictures before it is kept. The differences are
printed and written into the file, and a file with large differences is refused.

Exit status: 0 done, 2 wrong input.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from fpn_jax.choices import check_count, check_fraction
from fpn_jax.command_line import Positional, arg, check_output, parse, user_errors
from fpn_jax.runtime import set_up


@dataclass(frozen=True)
class Arguments:
    # Directory of a run, or the name of a published model.
    run: Positional[Path]
    # File to write, or directory where the format is savedmodel.
    out: Positional[Path]
    # Format of the file, by default onnx where its name ends in .onnx, and stablehlo
    # elsewhere.
    format: Literal["stablehlo", "onnx", "savedmodel"] | None = None
    # Images that the program takes at once, or dynamic for any number.
    batch: Annotated[int | Literal["dynamic"], arg(metavar="N|dynamic")] = 1
    # Height and width that images are scaled to fit, by default the run's.
    canvas: tuple[int, int] | None = None
    # Pictures on which the file is held against the detector, by default samples.
    images: tuple[Path, ...] = ()
    # Lowest score of a detection, by default the model's own.
    score_threshold: float | None = None
    # IoU above which the lower of two boxes of a class is dropped, by default the
    # model's own.
    nms_threshold: float | None = None
    # Most detections of an image, by default the model's own.
    max_detections: int | None = None
    # Type that the network computes in, by default the model's own.
    dtype: Literal["float32", "bfloat16", "float16"] | None = None
    # Checkpoint of the run: "best", "latest", or the number of a step.
    checkpoint: Annotated[str, arg(metavar="WHICH")] = "best"
    # Python file with your own classes, where the model has any.
    experiment: Path | None = None
    # Import your own classes from the copy of the experiment in the run.
    trust: bool = False


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status."""
    arguments = sys.argv[1:] if arguments is None else arguments
    with user_errors("export"):
        set_up()
        chosen = parse(Arguments, arguments, command="export", description=__doc__)
        form = format_of(chosen)
        if form == "savedmodel" and chosen.out.exists():
            raise ValueError(
                f"out: {str(chosen.out)!r} exists, must be a new directory"
            )
        check_output("out", chosen.out)
        if chosen.batch != "dynamic":
            check_count("batch", chosen.batch)
        if chosen.max_detections is not None:
            check_count("max-detections", chosen.max_detections)
        for side in chosen.canvas or ():
            check_count("canvas", side)
        for option in ("score_threshold", "nms_threshold"):
            if (value := getattr(chosen, option)) is not None:
                check_fraction(option.replace("_", "-"), value)
        return export_run(chosen, form)


def format_of(chosen: Arguments) -> str:
    """Returns the format; raises ValueError where the name of the file is another's."""
    form = "onnx" if chosen.out.suffix == ".onnx" else "stablehlo"
    if chosen.format is not None and form == "onnx" != chosen.format:
        raise ValueError(
            f"out: {chosen.out.name!r} is the name of a file of ONNX, not of "
            f"{chosen.format}"
        )
    return chosen.format or form


def export_run(chosen: Arguments, form: str) -> int:
    """Returns the exit status."""
    from fpn_jax.artifacts.export import export_detector, size_of
    from fpn_jax.artifacts.pictures import sample_pictures
    from fpn_jax.data.given_images import read_image
    from fpn_jax.inference.loading import load

    predictor = load(
        chosen.run,
        chosen.checkpoint,
        dtype=chosen.dtype,
        score_threshold=chosen.score_threshold,
        nms_threshold=chosen.nms_threshold,
        max_detections=chosen.max_detections,
        experiment=chosen.experiment,
        trust=chosen.trust,
    )
    images = [read_image(path) for path in chosen.images] or sample_pictures()
    proof = export_detector(
        predictor,
        chosen.out,
        form,
        images=images,
        batch=chosen.batch,
        canvas=chosen.canvas,
    )
    size = size_of(chosen.out) / 1e6
    batch = (
        "batches of any size"
        if chosen.batch == "dynamic"
        else f"a batch of {chosen.batch}"
    )
    print(f"{chosen.out}: {form}, {size:.1f} MB, for {batch}")
    print(f"beside the detector on {len(images)} pictures: {proof}")
    if not proof.detections:
        print("nothing was found in them: --images PHOTOGRAPH… proves more")
    return 0


if __name__ == "__main__":
    sys.exit(main())
