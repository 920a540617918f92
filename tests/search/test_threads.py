import pytest
import torch

from profiler.errors import ConfigError
from search.threads import torch_threads


def test_the_number_of_threads_is_restored_even_after_an_error():
    before = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), torch_threads(before + 1):
        assert torch.get_num_threads() == before + 1
        raise ZeroDivisionError
    assert torch.get_num_threads() == before
    with torch_threads(None):
        assert torch.get_num_threads() == before


def test_no_threads_are_too_few():
    with pytest.raises(ConfigError), torch_threads(0):
        pass
