"""Weights into graphs: strict, never executed, made once and whole."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from tiny import Tiny, by_hand

from vision.card import Card, Input
from vision.engine import cache, load
from vision.engine.base import CannotRun
from vision.engine.program import exported, program_of, state_dict
from vision.errors import WeightsError
from vision.nets.deploy import Deploy

SHAPE = (48, 64, 3)


def test_weights_stored_in_float16_run_in_float32(card: Card) -> None:
    module = program_of(card).module()
    assert {p.dtype for p in module.parameters()} == {torch.float32}
    assert not module.training
    stored = state_dict(Path(card.file))
    torch.testing.assert_close(module.net.stem[0].weight, stored["stem.0.weight"], rtol=0, atol=0)


@pytest.mark.parametrize("spoil", ["missing", "surplus", "shape"])
def test_weights_must_fit_exactly(card: Card, tmp_path: Path, spoil: str) -> None:
    tensors = state_dict(Path(card.file))
    if spoil == "missing":
        del tensors["scores.bias"]
    elif spoil == "surplus":
        tensors["scores.extra"] = torch.zeros(1)
    else:
        tensors["scores.bias"] = torch.zeros(6)
    path = tmp_path / "spoilt.pth"
    torch.save(tensors, path)
    for backend in ("torch", "openvino"):
        with pytest.raises(WeightsError, match=r"does not fit the network 'tiny'.*scores\."):
            load(replace(card, file=str(path)), "cpu", backend=backend)(np.zeros((1, *SHAPE), np.uint8))


def test_a_pth_of_plain_tensors_is_taken(card: Card, tmp_path: Path, pictures: np.ndarray) -> None:
    path = tmp_path / "foreign.pth"
    torch.save(state_dict(Path(card.file)), path)
    engine = load(replace(card, file=str(path)), "cpu", backend="torch")
    np.testing.assert_allclose(engine(pictures)[0], by_hand(card, pictures)[0], atol=1e-5)
    engine.close()


class _Touch:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, ...]]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("how", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_a_pickle_is_never_executed(card: Card, tmp_path: Path, how: Callable[..., object]) -> None:
    path, marker = tmp_path / "evil.pth", tmp_path / "executed"
    how({"stem.0.weight": _Touch(marker)}, path)
    with pytest.raises(WeightsError, match="never executed"):
        load(replace(card, file=str(path)), "cpu", backend="torch")
    assert not marker.exists()


@pytest.mark.parametrize("content", [b"", b"not a safetensors file at all"])
def test_broken_safetensors(card: Card, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="not a file of named tensors"):
        load(replace(card, file=str(path)), "cpu", backend="torch")


def test_a_graph_is_made_once_for_a_size_and_takes_bytes(
    card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    graph = program_of(card).onnx(SHAPE)
    other = program_of(card)
    monkeypatch.setattr(other, "export", lambda *_: pytest.fail("exported again"))
    assert other.onnx(SHAPE) == graph
    assert program_of(card).onnx((64, 48, 3)) != graph
    (image,) = onnx.load_from_string(graph).graph.input
    assert image.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [d.dim_value for d in image.type.tensor_type.shape.dim] == [1, 48, 64, 3]


def test_another_normalisation_or_other_weights_are_another_graph(
    card: Card, make_card: Callable[..., Card], tmp_path: Path
) -> None:
    digest = program_of(card).digest
    assert program_of(make_card(input=replace(card.input, mean=(0.1, 0.5, 0.6)))).digest != digest
    tensors = state_dict(Path(card.file))
    tensors["scores.bias"] += 1
    torch.save(tensors, tmp_path / "other.pth")
    assert program_of(replace(card, file=str(tmp_path / "other.pth"))).digest != digest


def test_weights_beside_an_onnx_file_are_its_own(tmp_path: Path) -> None:
    value = onnx.helper.make_tensor_value_info
    nodes = [onnx.helper.make_node("Mul", ["x", "w"], ["y"])]
    ends = [[value(name, onnx.TensorProto.FLOAT, [1, 3, 8, 8])] for name in "xy"]
    card = Card(name="m", task="segment", file=str(tmp_path / "m.onnx"), form="onnx", licence="", source="",
                input=Input((8, 8), "stretch"))
    digests = []
    for factor in (1.0, 2.0, 1.0):
        weights = onnx.numpy_helper.from_array(np.full((1, 3, 8, 8), factor, np.float32), "w")
        model = onnx.helper.make_model(onnx.helper.make_graph(nodes, "g", *ends, [weights]))
        (tmp_path / "m.data").unlink(missing_ok=True)
        onnx.save(model, card.file, save_as_external_data=True, location="m.data", size_threshold=0)
        digests.append((program_of(card).digest, Path(card.file).read_bytes()))
    assert digests[0] == digests[2]
    assert digests[0][1] == digests[1][1]                            # the graph is the same
    assert digests[0][0] != digests[1][0]


def test_a_graph_for_any_batch(card: Card, pictures: np.ndarray) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(program_of(card).onnx(SHAPE, any_batch=True))
    for batch in (pictures, pictures[:1]):
        scores, boxes = session.run(None, {session.get_inputs()[0].name: batch})
        np.testing.assert_allclose(scores, by_hand(card, batch)[0], atol=1e-5)
        np.testing.assert_allclose(boxes, by_hand(card, batch)[1], atol=1e-3)


def test_a_graph_that_is_made_while_a_training_runs_in_bfloat16_is_the_same(card: Card) -> None:
    """A teacher is exported where it is first asked, which was inside of the student's autocast."""
    wanted = program_of(card).export(SHAPE)
    with torch.autocast("cpu", torch.bfloat16):
        assert program_of(card).export(SHAPE) == wanted


def test_attention_that_torch_fuses_is_exported_and_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    class Attends(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x.reshape(len(x), -1, 8))

    class Fails(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.linalg.qr(x)[0]                          # for which ONNX has no operator

    torch.manual_seed(0)
    module = Deploy(Attends(), (0.0,) * 3, (1.0,) * 3).eval()
    graph = exported(module, (4, 8, 3), False, "attends")
    picture = np.random.default_rng(0).integers(0, 256, (1, 4, 8, 3), np.uint8)
    (got,) = onnxruntime.InferenceSession(graph).run(None, {"batch": picture})
    with torch.no_grad():
        np.testing.assert_allclose(got, module(torch.from_numpy(picture))[0], atol=1e-5)
    with pytest.raises(CannotRun, match="'fails' cannot be exported"):
        exported(Deploy(Fails(), (0.0,) * 3, (1.0,) * 3).eval(), (4, 8, 3), False, "fails")
    assert torch.backends.mha.get_fastpath_enabled()
    assert capfd.readouterr().out == ""


def test_a_failed_export_leaves_nothing_and_says_so(
    make_card: Callable[..., Card], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    def forward(self: Tiny, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.eigvals(x.mean((1,))[:, :8, :8])

    monkeypatch.setattr(Tiny, "forward", forward)
    program = program_of(make_card(name="unknown-operator"))
    with pytest.raises(CannotRun, match="cannot be exported"):
        program.onnx(SHAPE)
    assert not list(tmp_path.rglob("*.*"))


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file"

    def cut_off() -> None:
        with cache.whole(target) as part:
            part.write_text("half")
            raise InterruptedError

    with pytest.raises(InterruptedError):
        cut_off()
    assert list(target.parent.iterdir()) == []
    with cache.whole(target) as part:
        part.write_text("whole")
        assert not target.exists()
    assert target.read_text() == "whole"


def test_the_cache_keeps_what_was_used_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = tmp_path / "vision" / "graphs"
    for i in range(6):
        cache.write(f"graphs/{i}.onnx", bytes(68))                # with the digest 100
        os.utime(folder / f"{i}.onnx", (1000 + i, 5))
    (folder / "now.part").write_bytes(bytes(1000))                # somebody writes it just now
    assert cache.read("graphs/0.onnx") == bytes(68)
    assert (folder / "0.onnx").stat().st_mtime == 5
    cache.trim(folder, most=1300)
    assert sorted(p.name for p in folder.iterdir()) == ["0.onnx", "4.onnx", "5.onnx", "now.part"]
    os.utime(folder / "now.part", (5, 5))                         # left behind long ago
    cache.trim(folder, most=1)
    assert sorted(p.name for p in folder.iterdir()) == ["0.onnx"]
