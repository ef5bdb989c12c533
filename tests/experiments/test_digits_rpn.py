from pathlib import Path

from fpn_jax.training.config import Config
from fpn_jax.training.experiment import load_experiment

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def test_the_written_out_experiment_is_the_default_job():
    assert load_experiment(EXPERIMENTS / "digits_rpn.py") == Config()
