"""Ours held against other libraries: for tests, experiments, benchmarks and `convert`.

torch and torchvision are imported by `live_torchvision.import_torchvision` when a
function is called, never with a module. Of the files

- `layouts` changes arrays [N, H, W, C] into tensors [N, C, H, W] and back;
- `torchvision_detectors` builds torchvision's detectors and gives them weights;
- `random_detectors` makes them find things with random weights;
- `prove` and `prove_backbone` compare converted models with theirs, map by map and
  detection by detection.
"""
