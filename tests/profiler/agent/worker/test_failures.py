from __future__ import annotations

import errno
import signal

import pytest

from profiler.agent.runtimes import ArtefactMismatch, RuntimeMissing
from profiler.agent.worker.failures import MOST_ERROR_CHARACTERS, classify, death, describe, kernel_kills, shorten
from profiler.measure.record import STATUSES


# what the runtimes really say (onnxruntime 1.14 and 1.31, LiteRT 2.3, tflite-runtime 2.11, torch 2.13)
@pytest.mark.parametrize(
    ("stage", "said", "status"),
    [
        ("load", "[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : Could not find an implementation for Det(22) node", "U"),
        ("load", "[ONNXRuntimeError] : 1 : FAIL : Fatal error: my:Foo(-1) is not a registered function/op", "U"),
        ("load", "Encountered unresolved custom op: Foo.\nSee instructions: https://www.tensorflow.org", "U"),
        ("load", "Didn't find op for builtin opcode 'FULLY_CONNECTED' version '12'. An older version might", "U"),
        ("load", "Op builtin_code out of range: 300. Are you using old TFLite binary with newer model?", "U"),
        ("load", "Unknown builtin op: aten::newer.\nCould not find any similar ops to aten::newer", "U"),
        ("first run", "Type FLOAT16 (10) not supported.", "U"),
        ("load", "[ONNXRuntimeError] : 1 : FAIL : Unsupported model IR version: 13, max supported IR version: 10", "C"),
        ("load", "ONNX Runtime only *guarantees* support for models stamped with opset version 21", "C"),
        ("load", "[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : Load model failed:Protobuf parsing failed.", "C"),
        ("load", "Model provided has model identifier 'abcd', should be 'TFL3'", "C"),
        ("load", "PytorchStreamReader failed reading zip archive: failed finding central directory", "C"),
        ("first run", "std::bad_alloc", "M"),
        ("load", "Failed to allocate memory for requested buffer of size 4398046511104", "M"),
        ("first run", "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate", "M"),
        ("import", "libtorch_python.so: cannot map zero-fill pages", "M"),
        ("load", "XNNPack delegate failed to reshape runtimeNode number 2 failed to prepare.", "M"),
        ("warm-up", "Non-zero status code returned while running Gemm node", "crashed"),
    ],
)
def test_words_of_runtimes(stage: str, said: str, status: str) -> None:
    full = {"U": "unsupported_operator", "C": "conversion_failed", "M": "out_of_memory"}.get(status, status)
    assert classify(stage, RuntimeError(said)) == full


@pytest.mark.parametrize(
    ("stage", "error", "status"),
    [
        ("sampling", MemoryError(), "out_of_memory"),
        ("load", OSError(errno.ENOSPC, "No space left on device"), "disk_full"),
        ("load", FileNotFoundError("x"), "crashed"),
        ("load", ArtefactMismatch("the artefact's inputs have shapes unsupported by"), "conversion_failed"),
        ("import", RuntimeMissing("torch cannot be imported: not supported here"), "crashed"),
        ("comparison", ZeroDivisionError("x"), "crashed"),
    ],
)
def test_kinds_of_exceptions(stage: str, error: Exception, status: str) -> None:
    assert classify(stage, error) == status
    assert status in STATUSES


def test_an_import_that_failed_for_memory_is_not_a_crash() -> None:
    error = RuntimeMissing("torch cannot be imported: ")
    error.__cause__ = MemoryError()
    assert classify("import", error) == "out_of_memory"


def test_an_error_is_one_bounded_line() -> None:
    assert describe(ValueError("a\n  b")) == "ValueError: a b"
    assert len(shorten("x" * 9999)) == MOST_ERROR_CHARACTERS
    assert shorten("x" * MOST_ERROR_CHARACTERS).endswith("x")


@pytest.mark.parametrize(
    ("exit_status", "words", "for_memory", "status", "told"),
    [
        (-signal.SIGSEGV, "", False, "crashed", "crashed: signal 11 (SIGSEGV) during load"),
        (-signal.SIGILL, "oh", False, "crashed", "crashed: signal 4 (SIGILL) during load: oh"),
        (-signal.SIGKILL, "", False, "crashed", "crashed: signal 9 (SIGKILL) during load"),
        (-signal.SIGKILL, "", True, "out_of_memory", "the kernel killed the worker for memory during load"),
        (-signal.SIGSEGV, "", True, "crashed", "crashed: signal 11 (SIGSEGV) during load"),
        (-signal.SIGABRT, "what(): std::bad_alloc", False, "out_of_memory", "signal 6"),
        (1, "OpenBLAS error: Memory allocation still failed after 10 retries", False, "out_of_memory", "status 1"),
        (1, "MemoryError", False, "out_of_memory", "exit status 1"),
        (-250, "", False, "crashed", "crashed: signal 250 during load"),
        (3, "bye", False, "crashed", "the worker ended with exit status 3 during load: bye"),
    ],
)
def test_deaths(exit_status: int, words: str, for_memory: bool, status: str, told: str) -> None:
    end = death(exit_status, "load", words, for_memory)
    assert end.status == status
    assert told in end.error


def test_kernel_kills_are_counted_where_the_kernel_counts() -> None:
    assert kernel_kills() >= 0
