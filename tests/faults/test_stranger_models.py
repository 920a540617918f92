"""ONNX files of strangers: no file outside their folder is read, and names in them do nothing to a terminal."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from edgecost.cli import main
from profiler.errors import ConfigError
from profiler.workloads.importer import read_onnx

NASTY = "\x1b]0;pwned\x07\x1b[2J\u202e"


def model(path: Path, weight: TensorProto, operator: str = "Add", name: str = "w") -> Path:
    weight.name = name
    weight.data_type = TensorProto.FLOAT
    weight.dims.extend([4])
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 4]) for n in ("x", "y"))
    node = helper.make_node(operator, ["x", name], ["y"])
    path.write_bytes(helper.make_model(helper.make_graph([node], "g", [x], [y], [weight])).SerializeToString())
    return path


def outside(location: str) -> TensorProto:
    weight = TensorProto(data_location=TensorProto.EXTERNAL)
    for key, value in (("location", location), ("offset", "0"), ("length", "16")):
        weight.external_data.append(onnx.StringStringEntryProto(key=key, value=value))
    return weight


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file beside the folder of the model, and a link to it inside."""
    path = tmp_path / "secret"
    path.write_bytes(np.full(4, 1234.5, np.float32).tobytes())
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "link").symlink_to(path)
    return path


@pytest.mark.parametrize("location", ["../secret", "link", "/dev/zero", "{secret}", "models/../../secret"])
def test_weights_outside_of_the_models_folder_are_not_read(secret: Path, tmp_path: Path, location: str) -> None:
    path = model(tmp_path / "models" / "model.onnx", outside(location.format(secret=secret)))
    with pytest.raises(ConfigError, match="external data"):
        read_onnx(path)


@pytest.mark.parametrize("operator", ["Add", NASTY])
def test_names_in_a_model_do_nothing_to_a_terminal(
    operator: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    weight = outside("../secret") if operator == "Add" else TensorProto(raw_data=b"\0" * 16)
    path = model(tmp_path / "model.onnx", weight, operator, NASTY)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "devices.yaml").write_text(
        "version: 1\ndevices:\n- {id: b, host: h, user: u, targets: [{runtime: onnxruntime, precision: fp32}]}\n"
    )
    monkeypatch.setattr(sys, "argv", ["edgecost", "profile", "--target", "b", "--model", str(path)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = "".join(capsys.readouterr())
    assert "pwned" in said, said
    assert not {"\x1b", "\x07", "\u202e"} & set(said), ascii(said)
