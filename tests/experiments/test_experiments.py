from pathlib import Path

from fpn_jax.training.config import Config
from fpn_jax.training.experiment import load_experiment
from fpn_jax.zoo.digits import digits_proposal_network

EXPERIMENTS = Path(__file__).parents[2] / "experiments"


def test_the_written_out_experiment_is_the_default_job():
    assert load_experiment(EXPERIMENTS / "digits_faster_rcnn.py") == Config()


def test_the_proposals_are_those_of_the_zoo():
    config = load_experiment(EXPERIMENTS / "digits_rpn.py")
    assert config.model == digits_proposal_network()
    assert config.evaluation.best == "AR@100"
