import pytest

from fpn_jax.data.formats.image_rows import image_ids, number_of


@pytest.mark.parametrize(
    ("stems", "ids"),
    [
        (["000005", "2007_000027"], [5, 2007000027]),
        (["0", "00"], [1, 2]),
        (["7", "b"], [1, 2]),
        # A time stamp of 20 digits is no number of 64 bits.
        (["20230615_143025_123456", "5"], [1, 2]),
        ([str(2**63 - 1)], [2**63 - 1]),
        ([str(2**63)], [1]),
        (["9" * 5000], [1]),
        (["²"], [1]),
    ],
)
def test_ids_are_the_numbers_of_names_or_places(stems, ids):
    assert image_ids(stems) == ids


def test_zeros_before_a_number_do_not_count():
    assert number_of("0" * 30 + "12") == 12 and number_of("_1") is None
