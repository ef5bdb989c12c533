"""YOLOv3 on digits: the data, backbone and optimizer of the default job.

python -m fpn_jax.train experiments/digits_yolov3.py
"""

from fpn_jax.heads import YOLOv3Head
from fpn_jax.training import Config
from fpn_jax.zoo import digits_one_stage


def get_config() -> Config:
    return Config(
        model=digits_one_stage(
            YOLOv3Head(
                num_classes=10,
                # Clusters of the training boxes by IoU, as the paper's of COCO's.
                anchor_shapes=(
                    ((6, 10), (10, 15), (15, 22)),
                    ((21, 32), (29, 43), (37, 58)),
                    ((47, 70), (59, 91), (70, 111)),
                    ((80, 114), (87, 137), (104, 152)),
                ),
            )
        ),
    )
