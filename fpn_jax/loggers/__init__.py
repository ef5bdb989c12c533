"""Places outside a run's own files that its numbers and pictures go to as well.

A logger takes the numbers of a step, a picture of a step, and is closed at the end.
`TensorBoard` is always there. Weights & Biases and MLflow are asked for by
`--train.loggers`; what they are told about a run that goes on continues what they have.
"""
