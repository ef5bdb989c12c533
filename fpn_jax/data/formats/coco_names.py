"""The categories of COCO 2014 and 2017, which detectors trained on it predict.

Ids run from 1 to 90; ten of them were announced and never annotated.
"""

from fpn_jax.data.example import Category

UNUSED = "N/A"

# fmt: off
_NAMES = (  # of the ids 1 … 90
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck",
    "boat", "traffic light", "fire hydrant", UNUSED, "stop sign", "parking meter",
    "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear",
    "zebra", "giraffe", UNUSED, "backpack", "umbrella", UNUSED, UNUSED, "handbag",
    "tie", "suitcase", "frisbee", "skis", "snowboard", "sports ball", "kite",
    "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket",
    "bottle", UNUSED, "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana",
    "apple", "sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut",
    "cake", "chair", "couch", "potted plant", "bed", UNUSED, "dining table", UNUSED,
    UNUSED, "toilet", UNUSED, "tv", "laptop", "mouse", "remote", "keyboard",
    "cell phone", "microwave", "oven", "toaster", "sink", "refrigerator", UNUSED,
    "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)
# fmt: on

COCO_IDS = tuple(Category(id_, name) for id_, name in enumerate(_NAMES, start=1))
"""One category for each id 1 … 90, also for those without objects."""

COCO = tuple(category for category in COCO_IDS if category.name != UNUSED)
"""The 80 categories that have objects, as annotation files list them."""
