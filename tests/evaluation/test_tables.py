"""What a reader sees of the metrics."""

import math

from rich.console import Console

from fpn_jax.evaluation.tables import class_metrics_table, image_count, metrics_table


def cells(table) -> list[list[str]]:
    """Returns the words of each line of a printed table that has any."""
    console = Console(width=200)
    with console.capture() as capture:
        console.print(table)
    lines = (line.replace("│", " ").split() for line in capture.get().splitlines())
    return [line for line in lines if any(word.isascii() for word in line)]


def test_proposals_have_their_recall_by_size():
    metrics = {"AR@700": 0.75, "AR@100": 0.5, "ARs@100": 0.25, "ARm@100": math.nan}
    metrics["loss"] = 1.5

    assert cells(metrics_table(metrics, title="validation")) == [
        ["validation"],
        "┃ ┃ all ┃ small ┃ medium ┃ large ┃ 0.50 ┃ 0.75 ┃".split(),
        ["AR@100", "0.500", "0.250", "-"],
        ["AR@700", "0.750"],
        ["loss", "1.5000"],
    ]


def test_boxes_and_masks_have_a_section_each():
    names = "AR@1 AR@100 ARl@100 AP APs APm APl AP50 AP75 mask/AP mask/AP50".split()
    metrics = {name: number / 10 for number, name in enumerate(names)}

    lines = cells(metrics_table(metrics, title=""))

    assert lines[1:] == [
        ["AP", "0.300", "0.400", "0.500", "0.600", "0.700", "0.800"],
        ["AR@1", "0.000"],
        ["AR@100", "0.100", "0.200"],
        ["mask/AP", "0.900", "1.000"],
    ]


def test_classes_are_listed_best_first():
    metrics = {"AP": 0.5, "AP/cat": 0.2, "AP/big dog": 0.8}
    metrics |= {"mask/AP": 0.4, "mask/AP/cat": 0.3, "mask/AP/big dog": 0.5}

    assert cells(class_metrics_table(metrics))[1:] == [
        ["big", "dog", "0.800", "0.500"],
        ["cat", "0.200", "0.300"],
    ]


def test_brackets_in_names_are_no_markup():
    metrics = {"AP": 0.5, "AP/[/bold]": 0.2, "AP/[red]cat": 0.8}
    lines = cells(class_metrics_table(metrics))
    assert lines[1:] == [["[red]cat", "0.800"], ["[/bold]", "0.200"]]
    assert cells(metrics_table(metrics, title="[/data]/x"))[0] == ["[/data]/x"]


def test_a_title_counts_the_images_that_were_read():
    assert image_count(3, 3) == "3 images"
    assert image_count(1, 1) == "1 image"
    assert image_count(2, 3) == "2 of 3 images"


def test_the_best_f1_and_its_threshold_stand_below_with_the_loss():
    metrics = {"AP": 0.5, "F1": 0.625, "F1/threshold": 0.43, "loss": 0.25}
    metrics |= {"F1/precision": 0.75, "F1/recall": 0.5}
    table = metrics_table(metrics, title="")
    assert table.caption == (
        "F1 0.625 from score 0.430: precision 0.750, recall 0.500\nloss 0.2500"
    )
    assert metrics_table({"AP": 0.5, "F1": math.nan}, title="").caption is None
