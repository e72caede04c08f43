"""What every model can: close, say what it is, and go to another process."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from vision.engine import FakeEngine
from vision.errors import EngineError, UsageError
from vision.people.landmarks import FaceLandmarker
from vision.tasks.classify import Classifier
from vision.tasks.detect import Detector
from vision.tasks.segment import Segmenter
from vision.zoo import CARDS

GREY = np.full((224, 224, 3), 128, np.uint8)


def test_a_model_closes_its_engine_at_the_end_of_its_block() -> None:
    with Classifier.load(device="cpu") as classifier:
        before = classifier(GREY).probs
    assert before.sum() == pytest.approx(1, abs=0.01)
    with pytest.raises(EngineError, match=r"the engine 'openvino CPU .*' is closed"):
        classifier(GREY)
    classifier.close()                                       # once more does nothing


def test_a_landmarker_closes_all_three() -> None:
    landmarker = FaceLandmarker.load(device="cpu")
    detector = landmarker.detector
    landmarker.close()
    for engine in (landmarker.engine, landmarker.iris, detector.engine):
        with pytest.raises(EngineError, match="is closed"):
            engine(np.zeros((1, *(engine.input_wh or (192, 192)), 3), np.uint8))
    assert detector.in_flight == detector.engine.in_flight > 1


def test_a_model_says_what_it_is() -> None:
    with Detector.load(device="cpu", precision="int8") as detector:
        assert repr(detector) == "Detector('nanodet-g', openvino CPU int8)"
        engine = detector.engine
        assert (engine.backend, engine.device, engine.precision) == ("openvino", "cpu", "int8")
    fake = Detector(FakeEngine(lambda batch: ()), CARDS["gfl-voc"])
    assert repr(fake) == "Detector('gfl-voc', fake)"


def test_how_many_may_be_under_way_is_asked_of_the_engine() -> None:
    engine = FakeEngine(lambda batch: ())
    model = Classifier(engine, CARDS["mobilenet-v2"])
    assert model.in_flight == 1
    engine.in_flight = 5                                     # as when another back end takes over
    assert model.in_flight == 5


def test_a_loaded_model_is_pickled_by_what_it_was_loaded_from(tmp_path: Path) -> None:
    with Classifier.load("mobilenet-v2", "cpu", "fp32", "onnxruntime") as classifier:
        wanted = classifier(GREY).probs
        (tmp_path / "model.pickle").write_bytes(pickle.dumps(classifier))
    assert (tmp_path / "model.pickle").stat().st_size < 5000
    code = (
        "import pickle, sys, numpy as np\n"
        "with pickle.load(open(sys.argv[1], 'rb')) as model:\n"
        "    print(model)\n"
        "    np.save(sys.argv[2], model(np.full((224, 224, 3), 128, np.uint8)).probs)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "model.pickle"), str(tmp_path / "probs.npy")]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert told == "Classifier('mobilenet-v2', onnxruntime CPU fp32)\n"
    np.testing.assert_array_equal(np.load(tmp_path / "probs.npy"), wanted)


def test_a_segmenter_keeps_its_uncertainty_in_a_pickle() -> None:
    with Segmenter.load("segnet-mobilenetv2-camvid", "cpu", uncertainty=True, passes=3) as segmenter:
        again = pickle.loads(pickle.dumps(segmenter))
    assert again.card == segmenter.card
    assert again.card.config["passes"] == 3
    assert again.engine.backend == "torch"
    again.close()


def test_an_engine_of_ones_own_is_not_pickled() -> None:
    model = Detector(FakeEngine(lambda batch: ()), CARDS["gfl-voc"])
    with pytest.raises(UsageError, match=r"Detector\('gfl-voc', fake\) has an engine of the caller's"):
        pickle.dumps(model)
