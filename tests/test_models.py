"""The models command: all models within 80 columns, and one of them in full."""

from fpn_jax.models import main, models_table
from fpn_jax.weights.models.cache import model_folder
from fpn_jax.weights.models.table import MODELS


def test_the_table_has_every_model_within_80_columns(capsys):
    assert main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert {line.split()[0] for line in lines if line} >= MODELS.keys()
    assert (
        "maskrcnn_resnet50_fpn                 masks       37.9 / 34.6   170" in lines
    )
    assert lines.count("YOLOX's detectors (Apache-2.0)") == 1


def test_a_file_in_the_cache_is_marked(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    entry = MODELS["resnet18"]
    assert not models_table([entry]).endswith("yes")
    model_folder(entry).mkdir(parents=True)
    (model_folder(entry) / entry.file).touch()
    assert models_table([entry]).endswith("45  yes")


def test_a_name_gives_all_that_is_known(capsys):
    assert main(["mask_rcnn_R_50_FPN_3x", "yolox_s"]) == 0
    printed = capsys.readouterr().out
    assert "137849600/model_final_f10217.pkl" in printed
    assert "MD5 begins with f10217" in printed and "CC-BY-SA-3.0" in printed
    assert "boxes 41.0, masks 37.2" in printed
    assert "not published: the first download counts" in printed
