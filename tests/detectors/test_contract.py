"""What every detector promises."""

import copy
import pickle

import pytest

from tbwatch.detectors import DETECTORS, DeadUpdate, NonFinite, make_detectors
from tbwatch.testing import Recorder, make_layout, make_record, run
from tests.detectors.test_dead_update import STILL, ZERO

LAYOUT = make_layout("a/kernel", "a/bias", "b/kernel", "b/bias")
SICK = [
    *[make_record(s, LAYOUT, **(ZERO if s > 30 else {})) for s in range(1, 60)],
    *[make_record(s, LAYOUT, gradient_nonfinite=1) for s in range(60, 70)],
    *[make_record(s, LAYOUT, **STILL) for s in range(70, 120)],
]


@pytest.fixture(params=DETECTORS, name="make")
def _make(request):
    return DETECTORS[request.param]


def _alerts(detector):
    return [alert.to_json() for alert in run(detector, SICK)]


def test_name_and_repr(make):
    """The name in alerts is the name to ask for it; the repr shows every parameter."""
    detector = make()
    assert DETECTORS[detector.name] is make
    same = eval(repr(detector), {type(detector).__name__: make})
    assert repr(same) == repr(detector) != object.__repr__(detector)


def test_reset_makes_it_as_good_as_new(make):
    """After a reset it says the same of the same records."""
    detector = make()
    first = _alerts(detector)
    assert first
    detector.reset()
    assert _alerts(detector) == first == _alerts(make())


def test_it_does_not_change_its_input(make):
    """Records are shared between detectors."""
    records = copy.deepcopy(SICK)
    run(make(), records)
    for before, after in zip(SICK, records, strict=True):
        for name, values in before.quantities.items():
            assert values.tobytes() == after.quantities[name].tobytes()


def test_it_survives_pickling_in_mid_run(make):
    """State can be carried over to another process."""
    detector = make()
    half = len(SICK) // 2
    for record in SICK[:half]:
        detector.update(record)
    twin = pickle.loads(pickle.dumps(detector))
    for record in SICK[half:]:
        assert repr(detector.update(record)) == repr(twin.update(record))


def test_silent_on_a_healthy_run(make):
    """Healthy records make no findings."""
    detector = make()
    assert all(detector.update(make_record(s, LAYOUT)) == [] for s in range(1, 500))


def test_choosing_detectors():
    """By name, as objects, all by default; anything else is refused with what there is."""
    assert [type(d) for d in make_detectors(None)] == [NonFinite, DeadUpdate]
    assert [type(d) for d in make_detectors("dead_update")] == [DeadUpdate]
    own = Recorder()
    assert make_detectors([own, "nonfinite"])[0] is own
    with pytest.raises(ValueError, match=r"'nonfinite', 'dead_update'.*got 'frozen'"):
        make_detectors(["frozen"])
    with pytest.raises(TypeError, match="update\\(record\\) and reset\\(\\)"):
        make_detectors([object()])
