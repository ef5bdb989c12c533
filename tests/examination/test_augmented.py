"""Every kind of change, shown once."""

from fpn_jax.examination.augmented import every_transform
from tests.support.gray_source import GraySource


def test_objects_are_pasted_only_where_there_are_masks():
    shown = every_transform(GraySource(1), (32, 32), masks=False)
    assert {"copy-paste"} == every_transform(
        GraySource(1), (32, 32), masks=True
    ).keys() - shown.keys()
