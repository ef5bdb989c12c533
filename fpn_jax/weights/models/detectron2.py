"""The detectors with FPN of Detectron2's zoo (its MODEL_ZOO.md).

The zoo says no sizes; its file names carry the first six digits of their MD5. A model's
name is its configuration's: 1x and 3x are schedules of one architecture.
"""

from fpn_jax.weights.models.entry import PublishedModel, Task

_ADDRESS = "https://dl.fbaipublicfiles.com/detectron2/"
_INPUTS = "RGB less ImageNet's mean; shorter side 800, longer at most 1333"


def _published(
    path: str, task: Task = "boxes", *, proposals: str | None = None, **figures: float
) -> PublishedModel:
    """`path`: folder/configuration/number/digits."""
    folder, name, number, digits = path.split("/")
    return PublishedModel(
        name=name,
        model=name.rpartition("_")[0],
        source="detectron2",
        task=task,
        url=f"{_ADDRESS}{folder}/{name}/{number}/model_final_{digits}.pkl",
        digest=f"md5:{digits}",
        mebibytes=None,
        license="CC-BY-SA-3.0",
        figures=figures,
        inputs=_INPUTS,
        proposals=proposals,
    )


_BOXES = "COCO-Detection"
_MASKS = "COCO-InstanceSegmentation"
_POINTS = "COCO-Keypoints"

DETECTRON2_ROWS = (
    _published(f"{_BOXES}/rpn_R_50_FPN_1x/137258492/02ce48", "proposals", recall=58.0),
    _published(
        f"{_BOXES}/fast_rcnn_R_50_FPN_1x/137635226/e5f7ce",
        proposals="rpn_R_50_FPN_1x",
        boxes=37.8,
    ),
    _published(f"{_BOXES}/faster_rcnn_R_50_FPN_1x/137257794/b275ba", boxes=37.9),
    _published(f"{_BOXES}/faster_rcnn_R_50_FPN_3x/137849458/280758", boxes=40.2),
    _published(f"{_BOXES}/faster_rcnn_R_101_FPN_3x/137851257/f6e8b1", boxes=42.0),
    _published(f"{_BOXES}/faster_rcnn_X_101_32x8d_FPN_3x/139173657/68b088", boxes=43.0),
    _published(f"{_BOXES}/retinanet_R_50_FPN_1x/190397773/bfca0b", boxes=37.4),
    _published(f"{_BOXES}/retinanet_R_50_FPN_3x/190397829/5bd44e", boxes=38.7),
    _published(f"{_BOXES}/retinanet_R_101_FPN_3x/190397697/971ab9", boxes=40.4),
    *(
        _published(f"{folder}/{path}", "masks", boxes=boxes, masks=masks)
        for folder, path, boxes, masks in (
            (_MASKS, "mask_rcnn_R_50_FPN_1x/137260431/a54504", 38.6, 35.2),
            (_MASKS, "mask_rcnn_R_50_FPN_3x/137849600/f10217", 41.0, 37.2),
            (_MASKS, "mask_rcnn_R_101_FPN_3x/138205316/a3ec72", 42.9, 38.6),
            (_MASKS, "mask_rcnn_X_101_32x8d_FPN_3x/139653917/2d9806", 44.3, 39.5),
            ("Misc", "cascade_mask_rcnn_R_50_FPN_1x/138602847/e9d89b", 42.1, 36.4),
            ("Misc", "cascade_mask_rcnn_R_50_FPN_3x/144998488/480dd8", 44.3, 38.5),
        )
    ),
    *(
        _published(f"{_POINTS}/{path}", "keypoints", boxes=boxes, keypoints=keypoints)
        for path, boxes, keypoints in (
            ("keypoint_rcnn_R_50_FPN_1x/137261548/04e291", 53.6, 64.0),
            ("keypoint_rcnn_R_50_FPN_3x/137849621/a6e10b", 55.4, 65.5),
            ("keypoint_rcnn_R_101_FPN_3x/138363331/997cc7", 56.4, 66.1),
            ("keypoint_rcnn_X_101_32x8d_FPN_3x/139686956/5ad38f", 57.3, 66.0),
        )
    ),
)
