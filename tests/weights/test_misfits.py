"""Names that do not fit: few are listed, many are counted by module."""

from fpn_jax.weights.misfits import by_module, misfit_report

BODY = [f"body.layer{i}.conv{j}.weight" for i in (1, 2) for j in range(10)]


def test_five_names_are_listed_each_with_its_nearest():
    missing = [f"layer{i}.bias" for i in range(5)]
    report = misfit_report(missing, ["layer3.bais"], [], missing).split("\n")
    assert report[0].endswith("5 missing, 1 unknown, 0 of another shape")
    assert report[4] == "  missing layer3.bias (nearest: layer3.bais)"
    assert report[6] == "  unknown layer3.bais (nearest: layer3.bias)"
    assert len(report) == 7


def test_more_are_counted_by_the_modules_they_are_in():
    missing = [*BODY, "head.weight", "head.bias"]
    assert misfit_report(missing, ["body.layer2.conf0.weight"], [], missing).split(
        "\n"
    ) == [
        "state_dict does not fit the model: 22 missing, 1 unknown, 0 of another shape",
        "  missing body.layer1.* in 10 tensors, such as body.layer1.conv0.weight "
        "(nearest: body.layer2.conf0.weight)",
        "  missing body.layer2.* in 10 tensors, such as body.layer2.conv0.weight "
        "(nearest: body.layer2.conf0.weight)",
        "  missing head.bias",
        "  missing head.weight",
        "  unknown body.layer2.conf0.weight (nearest: body.layer2.conv0.weight)",
    ]


def test_the_largest_module_is_divided_as_long_as_there_is_room():
    names = [*BODY, "head.weight", "head.bias"]
    assert by_module(names, 1) == {"": names}
    assert by_module(names, 2) == {"body.": BODY, "head.": names[20:]}
    assert by_module(names, 3) == {
        "head.": names[20:],
        "body.layer1.": BODY[:10],
        "body.layer2.": BODY[10:],
    }


def test_any_number_of_names_takes_at_most_16_lines():
    names = [f"a{i}.b{j}.c{k}" for i in range(9) for j in range(9) for k in range(9)]
    shapes = [f"{name} is (1,), must be (2,)" for name in names]
    report = misfit_report(names, [f"z{name}" for name in names], shapes, names)
    assert "729 missing, 729 unknown, 729 of another shape" in report
    assert "  missing * in 729 tensors, such as a0.b0.c0" in report
    assert report.endswith("\n  724 more of another shape")
    assert len(report.split("\n")) <= 16 and len(report) < 1000
