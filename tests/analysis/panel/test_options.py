"""Options are made once, and checked where they are made."""

import pytest
from intertwine.analysis.panel import PanelOptions
from intertwine.analysis.panel.options import LEAST_IMAGES
from intertwine.representations.errors import InputError


def test_what_they_refuse():
    for change, message in (
        ({"images": LEAST_IMAGES - 1}, "images: expected at least 100 images, received 99"),
        ({"bank": 1}, "bank: expected at least 100 images, received 1"),
        ({"evaluator": "svm"}, "evaluator: expected one of native, knn, ridge, received 'svm'"),
    ):
        with pytest.raises(InputError, match=message):
            PanelOptions(**change)
    assert PanelOptions(images=LEAST_IMAGES, bank=LEAST_IMAGES, evaluator="ridge").seed == 0
