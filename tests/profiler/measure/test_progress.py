from types import ModuleType

from profiler.measure.progress import SharedProgress


def test_campaigns_are_counted_together(fakes: ModuleType):
    told = fakes.Recorder()
    shared = SharedProgress(told)
    first, second = shared.part(), shared.part()
    first.start(10)
    assert told.total == 10
    first.advance("a")
    first.advance("b")
    second.start(5)
    assert (told.total, told.labels) == (15, ["a", "b"]), "what is done stays done"
    second.advance("c")
    first.start(3, 2)
    assert (told.total, told.labels) == (8, ["a", "b", "c"])
    assert (first.advanced, second.advanced) == (2, 1)
    second.message("hello")
    assert told.messages == ["hello"]
