import pytest

from fpn_jax.data.digits.dataset import write_digits


@pytest.fixture(scope="session")
def digits_directory(tmp_path_factory):
    """The first 40 training and 6 validation scenes, prepared."""
    directory = tmp_path_factory.mktemp("digits") / "1.1.0"
    write_digits(directory, {"train": 40, "validation": 6})
    return directory
