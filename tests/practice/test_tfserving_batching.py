"""Batching in front of the TensorFlow engine: its rules one by one, as in TensorFlow Serving."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

from practice.host import waiting
from practice.tfserving.batching import Batched, Parameters, read_parameters
from practice.tfserving.engine import Task
from practice.tfserving.failures import Failure
from practice.tfserving.savedmodel import SavedModel
from protos import server_files_pb2

EXAMPLES = Path(__file__).resolve().parents[2] / "data" / "models" / "iris_examples" / "1"
LONG = "batch_timeout_micros { value: 60000000 }"  # a batch waits for as long as it takes to fill
OUTPUTS = {"sum": ("total",), "plus_two": ("y", "z")}  # of the others: y


class Watched:
    """The real engine, and what it was asked; it can be held up."""

    is_quick = False

    def __init__(self, model: SavedModel) -> None:
        self.signatures = model.signatures
        self.calls: list[tuple[str, dict[str, tuple[int, ...]]]] = []
        self.ends: list[float] = []
        self.entered, self.go_on = threading.Event(), threading.Event()
        self.at_once = self.most_at_once = 0
        self.closed = False
        self.go_on.set()
        self._model, self._lock = model, threading.Lock()

    def run(
        self, tasks: Sequence[Task], inputs: Mapping[str, Any], ends: float
    ) -> list[dict[str, Any]]:
        with self._lock:
            shapes = {name: array.shape for name, array in inputs.items()}
            self.calls.append((tasks[0].signature_name, shapes))
            self.ends.append(ends)
            self.at_once += 1
            self.most_at_once = max(self.at_once, self.most_at_once)
        self.entered.set()
        assert self.go_on.wait(60)
        try:
            return self._model.run(tasks, inputs, ends)
        finally:
            with self._lock:
                self.at_once -= 1

    def close(self) -> None:
        self.closed = True

    def rows(self) -> list[int]:
        """Return the sizes of the batches that came."""
        return [next(iter(shapes.values()))[0] for _, shapes in self.calls]


@pytest.fixture(scope="module")
def engine(tensorflow: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> SavedModel:
    tf = tensorflow
    rows = tf.TensorSpec([None, None], tf.float32, name="x")
    deeper = tf.TensorSpec(None, tf.float32, name="x")
    whole = tf.TensorSpec([None], tf.int32, name="x")
    text = tf.TensorSpec([None, None], tf.string, name="x")
    two = [tf.TensorSpec(None, tf.float32, name=name) for name in "ab"]

    def signature(function: Callable[..., Any], *specs: Any) -> Any:
        return tf.function(function).get_concrete_function(*specs)

    signatures = {
        "plus_two": signature(lambda x: {"y": x + 2, "z": -x}, rows),
        "any": signature(lambda x: {"y": x + 2}, deeper),
        "text": signature(lambda x: {"y": x}, text),
        "divided": signature(lambda x: {"y": 100 // x}, whole),
        "sum": signature(lambda a, b: {"total": a + b}, *two),
        "number": signature(lambda x: {"y": tf.reduce_sum(x)}, rows),
        "three": signature(lambda x: {"y": x[:1, 0] + tf.zeros([3])}, rows),
    }
    folder = str(tmp_path_factory.mktemp("batched"))
    tf.saved_model.save(tf.Module(), folder, signatures)
    return SavedModel(folder)


@pytest.fixture
def watched(engine: SavedModel) -> Watched:
    return Watched(engine)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool


def test_who_is_alone_waits_for_nobody(watched: Watched) -> None:
    answer = call(batched(watched), "plus_two", x=[[1, 2]])
    assert {name: array.tolist() for name, array in answer.items()} == {
        "y": [[3, 4]],
        "z": [[-1, -2]],
    }
    assert watched.rows() == [1]


def test_requests_that_fill_a_batch_are_one_call(
    watched: Watched, pool: ThreadPoolExecutor
) -> None:
    model = batched(watched, f"max_batch_size {{ value: 6 }} {LONG}")
    sent = [np.full((size, 2), size) for size in (1, 2, 3)]
    answers = list(pool.map(lambda x: call(model, "plus_two", x=x)["y"], sent))
    assert watched.rows() == [6]
    for x, answer in zip(sent, answers, strict=True):
        np.testing.assert_array_equal(answer, x + 2)


def test_a_batch_whose_time_is_over_is_run_as_it_is(watched: Watched) -> None:
    model = batched(watched, "batch_timeout_micros { value: 50000 }")
    started = time.monotonic()
    call(model, "plus_two", x=[[1]])
    assert 0.05 <= time.monotonic() - started < 60


def test_what_does_not_fit_opens_the_next_batch(watched: Watched, pool: ThreadPoolExecutor) -> None:
    text = "max_batch_size { value: 4 } batch_timeout_micros { value: 200000 }"
    model = batched(watched, text)
    sent = [np.ones((3, 1)), np.ones((4, 1))]
    assert all(pool.map(lambda x: call(model, "plus_two", x=x)["y"].shape == x.shape, sent))
    assert sorted(watched.rows()) == [3, 4]


def test_each_signature_has_a_queue_of_its_own(watched: Watched, pool: ThreadPoolExecutor) -> None:
    model = batched(watched, f"max_batch_size {{ value: 2 }} {LONG}")
    list(pool.map(lambda name: call(model, name, x=[[1]]), ["plus_two", "any"] * 2))
    assert sorted(name for name, _ in watched.calls) == ["any", "plus_two"]
    assert watched.rows() == [2, 2]


@pytest.mark.tensorflow
def test_signatures_of_the_same_tensors_share_a_queue(pool: ThreadPoolExecutor) -> None:
    watched = Watched(SavedModel(str(EXAMPLES)))
    model = batched(watched, f"max_batch_size {{ value: 2 }} {LONG}")
    example = np.array([_flower()], object)
    names = ["classify", "serving_default"]
    answers = pool.map(
        lambda name: model.run([Task(name, ("scores", "classes"))], {"inputs": example}, math.inf),
        names,
    )
    assert [answer[0]["scores"].shape for answer in answers] == [(1, 3), (1, 3)]
    assert watched.rows() == [2]


def test_some_outputs_only_are_run_at_once(watched: Watched) -> None:
    model = batched(watched, LONG)
    inputs = {"x": np.ones((1, 1), np.float32)}
    [answer] = model.run([Task("plus_two", ("z",))], inputs, math.inf)
    assert {name: array.tolist() for name, array in answer.items()} == {"z": [[-1]]}


@pytest.mark.tensorflow
def test_several_signatures_at_once_are_run_at_once() -> None:
    model = batched(Watched(SavedModel(str(EXAMPLES))), LONG)
    tasks = [Task("classify", ("classes", "scores")), Task("regress", ("outputs",))]
    answers = model.run(tasks, {"inputs": np.array([_flower()], object)}, math.inf)
    assert [list(answer) for answer in answers] == [["classes", "scores"], ["outputs"]]


@pytest.mark.parametrize(("size", "expected"), [(1, 2), (2, 2), (3, 8), (8, 8)])
def test_a_batch_is_filled_up_to_an_allowed_size(
    watched: Watched, size: int, expected: int
) -> None:
    sizes = "max_batch_size { value: 8 } allowed_batch_sizes: 2, allowed_batch_sizes: 8"
    x = np.arange(size)[:, np.newaxis]
    answer = call(batched(watched, sizes), "plus_two", x=x)["y"]
    assert watched.rows() == [expected]
    np.testing.assert_array_equal(answer, x + 2)


def test_a_batch_is_filled_up_with_rows_that_the_model_can_work_with(watched: Watched) -> None:
    sizes = "max_batch_size { value: 4 } allowed_batch_sizes: 4"
    answer = call(batched(watched, sizes), "divided", np.int32, x=[50])  # zeros would fail
    assert answer["y"].tolist() == [2]


@pytest.mark.parametrize(
    ("signature", "dtype", "first", "second"),
    [("plus_two", np.float32, 5, 6), ("text", object, b"a", b"b")],
)
def test_tensors_of_different_shapes_are_filled_with_their_first_value(
    watched: Watched,
    pool: ThreadPoolExecutor,
    signature: str,
    dtype: Any,
    first: Any,
    second: Any,
) -> None:
    text = f"max_batch_size {{ value: 2 }} pad_variable_length_inputs: true {LONG}"
    model = batched(watched, text)
    sent = [[[first]], [[second, first, first]]]
    short, long = pool.map(lambda x: call(model, signature, dtype, x=x)["y"], sent)
    assert watched.calls == [(signature, {"x": (2, 3)})]
    more = 2 if signature == "plus_two" else b""
    assert short.tolist() == [[first + more] * 3]
    assert long.tolist() == [[second + more, first + more, first + more]]


def test_tensors_of_different_shapes_without_padding_fail_together(
    watched: Watched, pool: ThreadPoolExecutor
) -> None:
    model = batched(watched, f"max_batch_size {{ value: 2 }} {LONG}")
    futures = [pool.submit(call, model, "plus_two", x=x) for x in ([[1]], [[1, 2]])]
    name = watched.signatures["plus_two"].inputs["x"].name
    for future in futures:
        failure = failed(future.result)
        assert failure.code == "FAILED_PRECONDITION"
        assert failure.text == (
            f"Tensors with name '{name}' from different tasks have different shapes and padding "
            "is turned off. Set pad_variable_length_inputs to true, or ensure that all tensors "
            "with the same name have equal dimensions starting with the first dim."
        )
    assert watched.calls == []


def test_an_empty_tensor_cannot_be_filled(watched: Watched, pool: ThreadPoolExecutor) -> None:
    model = batched(
        watched, f"max_batch_size {{ value: 2 }} pad_variable_length_inputs: true {LONG}"
    )
    sent = [np.zeros((1, 0)), np.zeros((1, 2))]
    futures = [pool.submit(call, model, "plus_two", x=x) for x in sent]
    failures = [failed(future.result) for future in futures]
    assert {failure.text for failure in failures} == {
        "Got empty tensor in batch of non-empty tensors."
    }


def test_tensors_of_different_ranks_cannot_be_joined(
    watched: Watched, pool: ThreadPoolExecutor
) -> None:
    model = batched(
        watched, f"max_batch_size {{ value: 2 }} pad_variable_length_inputs: true {LONG}"
    )
    futures = [pool.submit(call, model, "any", x=x) for x in ([1], [[1]])]
    for future in futures:
        failure = failed(future.result)
        assert failure.code == "INTERNAL"
        assert failure.text.startswith("Tensor concat operation failed: ")


def test_a_request_without_rows_is_answered(watched: Watched) -> None:
    sizes = "max_batch_size { value: 4 } allowed_batch_sizes: 4"
    for text in ("", sizes):
        answer = call(batched(watched, text), "plus_two", x=np.zeros((0, 3)))
        assert answer["y"].shape == (0, 3)


@pytest.mark.parametrize(
    ("signature", "inputs", "text"),
    [
        ("any", {"x": 1.0}, "Batching Run() input tensors must have at least one dimension"),
        (
            "sum",
            {"a": [1.0], "b": [1.0, 2.0]},
            "Batching Run() input tensors must have equal 0th-dimension size",
        ),
        ("sum", {}, "Batching Run() must have at least one input tensor"),
    ],
)
def test_what_cannot_be_batched_is_refused(
    watched: Watched, signature: str, inputs: dict[str, Any], text: str
) -> None:
    failure = failed(lambda: call(batched(watched), signature, **inputs))
    assert (failure.code, failure.text) == ("INVALID_ARGUMENT", text)


@pytest.mark.parametrize(
    ("signature", "text"),
    [
        ("number", "Batched output tensor has 0 dimensions"),
        (
            "three",
            "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension "
            "sizes of the input tensors",
        ),
    ],
)
def test_an_output_that_cannot_be_taken_apart_is_refused(
    watched: Watched, signature: str, text: str
) -> None:
    failure = failed(lambda: call(batched(watched), signature, x=[[1]]))
    assert (failure.code, failure.text) == ("FAILED_PRECONDITION", text)


def test_a_request_larger_than_a_batch_is_refused(watched: Watched) -> None:
    model = batched(watched, "max_batch_size { value: 4 }")
    failure = failed(lambda: call(model, "plus_two", x=np.zeros((5, 1))))
    assert failure.code == "INVALID_ARGUMENT"
    assert failure.text == "Task size 5 is larger than maximum input batch size 4"


def test_a_large_request_is_split_where_that_is_enabled(watched: Watched) -> None:
    model = batched(
        watched,
        "max_batch_size { value: 10 } enable_large_batch_splitting { value: true } "
        "max_execution_batch_size { value: 3 } max_enqueued_batches { value: 4 }",
    )
    x = np.arange(7)[:, np.newaxis]
    np.testing.assert_array_equal(call(model, "plus_two", x=x)["y"], x + 2)
    assert watched.rows() == [3, 3, 1]


def test_a_large_request_first_fills_the_batch_that_is_open(
    watched: Watched, pool: ThreadPoolExecutor
) -> None:
    model = batched(
        watched,
        "max_batch_size { value: 10 } enable_large_batch_splitting { value: true } "
        f"max_execution_batch_size {{ value: 3 }} {LONG}",
    )
    sent = [np.ones((2, 1)), np.ones((4, 1))]  # whoever comes first
    assert all(pool.map(lambda x: call(model, "plus_two", x=x)["y"].shape == x.shape, sent))
    assert watched.rows() == [3, 3]


def test_a_large_request_that_the_queue_has_no_room_for_is_refused(watched: Watched) -> None:
    model = batched(
        watched,
        "max_batch_size { value: 10 } enable_large_batch_splitting { value: true } "
        "max_execution_batch_size { value: 3 } max_enqueued_batches { value: 2 }",
    )
    failure = failed(lambda: call(model, "plus_two", x=np.zeros((7, 1))))
    assert failure.code == "UNAVAILABLE"
    assert failure.text == (
        "The batch scheduling queue to which this task was submitted is full; task size is 7 but "
        "scheduling capacity is only 6 (num_enqueued_batches=1, max_enqueued_batches=2, "
        "open_batch_size=0, max_execution_batch_size=3)"
    )


def test_a_full_queue_refuses_and_the_others_are_answered(
    watched: Watched, pool: ThreadPoolExecutor
) -> None:
    model = batched(
        watched,
        "max_batch_size { value: 1 } max_enqueued_batches { value: 1 } "
        "num_batch_threads { value: 1 }",
    )
    first = held_up(watched, pool, model)
    others = {pool.submit(call, model, "plus_two", x=[[1]]) for _ in range(2)}
    [refused], [waiting] = wait(others, 60, FIRST_COMPLETED)
    failure = failed(refused.result)
    assert failure.code == "UNAVAILABLE"
    assert failure.text == (
        "The batch scheduling queue to which this task was submitted is full; "
        "currently 1 batches enqueued and max_enqueued_batches is 1"
    )
    watched.go_on.set()
    assert first.result(60)["y"].tolist() == waiting.result(60)["y"].tolist() == [[3]]


def test_who_comes_while_the_threads_are_busy_is_run_together(
    watched: Watched, pool: ThreadPoolExecutor
) -> None:
    text = "num_batch_threads { value: 1 } max_batch_size { value: 3 } max_enqueued_batches {}"
    model = batched(watched, text)
    held_up(watched, pool, model)
    others = {pool.submit(call, model, "plus_two", x=[[1]]) for _ in range(4)}
    [refused], waiting = wait(others, 60, FIRST_COMPLETED)  # three fill the one that waits
    assert failed(refused.result).code == "UNAVAILABLE"
    watched.go_on.set()
    assert all(future.result(60) for future in waiting)
    assert watched.rows() == [1, 3]


def test_no_more_batches_run_at_once_than_there_are_threads(
    watched: Watched, pool: ThreadPoolExecutor
) -> None:
    text = "num_batch_threads { value: 2 } max_batch_size { value: 2 }"
    model = batched(watched, text + "max_enqueued_batches { value: 16 }")

    def right(number: int) -> bool:
        size = number % 2 + 1
        answer = call(model, "plus_two", x=np.full((size, 1), number))["y"]
        return answer.tolist() == [[number + 2]] * size

    assert all(pool.map(right, range(400)))
    assert watched.most_at_once <= 2


def test_models_of_the_same_parameters_share_the_threads(
    watched: Watched, engine: SavedModel, pool: ThreadPoolExecutor
) -> None:
    parameters = Parameters(message("num_batch_threads { value: 1 }"))
    first, other = Batched(watched, parameters), Watched(engine)
    held = held_up(watched, pool, first)
    waiting = pool.submit(call, Batched(other, parameters), "plus_two", x=[[1]])
    assert not parameters.slots.acquire(blocking=False)
    watched.go_on.set()
    assert held.result(60)["y"].tolist() == waiting.result(60)["y"].tolist() == [[3]]


def test_a_deadline_that_passed_while_waiting_is_refused(watched: Watched) -> None:
    failure = failed(lambda: call(batched(watched), "plus_two", ends=time.monotonic(), x=[[1]]))
    assert failure.code == "RESOURCE_EXHAUSTED"
    assert failure.text == "Run() timeout exceeded while waiting in batching queue"
    assert watched.calls == []


def test_a_batch_has_the_time_of_its_last_deadline(
    watched: Watched, pool: ThreadPoolExecutor
) -> None:
    model = batched(watched, f"max_batch_size {{ value: 3 }} {LONG}")
    now = time.monotonic()
    times = [now - 1, now + 60, now + 90]
    answers = pool.map(lambda ends: call(model, "plus_two", ends=ends, x=[[1]]), times)
    assert [answer["y"].tolist() for answer in answers] == [[[3]]] * 3
    assert watched.ends == [now + 90]


def test_who_has_gone_while_the_batch_was_waited_for_is_not_in_it(
    watched: Watched, pool: ThreadPoolExecutor
) -> None:
    model = batched(watched, f"max_batch_size {{ value: 3 }} {LONG}")

    def called(waits: bool) -> Any:
        with waiting.caller(lambda: waits):
            return call(model, "plus_two", x=[[1]])

    gone, *others = [pool.submit(called, waits) for waits in (False, True, True)]
    assert failed(gone.result).code == "CANCELLED"
    assert [other.result(60)["y"].tolist() for other in others] == [[[3]]] * 2
    assert watched.rows() == [2]


def test_an_operations_error_reaches_all_of_its_batch(
    watched: Watched, pool: ThreadPoolExecutor
) -> None:
    model = batched(watched, f"max_batch_size {{ value: 2 }} {LONG}")
    futures = [pool.submit(call, model, "divided", np.int32, x=[x]) for x in (0, 1)]
    failures = [failed(future.result) for future in futures]
    assert {failure.code for failure in failures} == {"INVALID_ARGUMENT"}
    assert all("Integer division by zero" in failure.text for failure in failures)
    assert failures[0] is not failures[1]


def test_closing_closes_the_model(watched: Watched) -> None:
    batched(watched).close()
    assert watched.closed


def test_defaults_are_the_products() -> None:
    parameters = Parameters()
    assert parameters.largest_batch == 1000
    assert (parameters.timeout_micros, parameters.most_enqueued) == (0, 10)


def test_a_file_may_have_commas_and_colons(tmp_path: Path) -> None:
    path = tmp_path / "batching.txt"
    path.write_text(
        "max_batch_size: { value: 128 }, batch_timeout_micros { value: 1000 },\n"
        'num_batch_threads: { value: 3 }, thread_pool_name { value: "batches" },\n'
        "allowed_batch_sizes: 64, allowed_batch_sizes: 128"
    )
    parameters = read_parameters(str(path))
    assert (parameters.largest_batch, parameters.timeout_micros) == (128, 1000)
    assert (parameters.threads, parameters.allowed_sizes) == (3, [64, 128])


def test_a_bad_file_is_refused_with_the_products_text(tmp_path: Path) -> None:
    path = tmp_path / "batching.txt"
    path.write_text("max_batch_size: 128")
    assert failed(lambda: read_parameters(str(path))).text == f"Invalid protobuf file: '{path}'"


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        ("num_batch_threads { value: 0 }", "num_batch_threads must be positive; was 0"),
        ("max_batch_size { value: 0 }", "input_batch_size_limit must be positive; was 0"),
        (
            "batch_timeout_micros { value: -1 }",
            "batch_timeout_micros must be non-negative; was -1",
        ),
        (
            "max_enqueued_batches {} enable_large_batch_splitting { value: true }",
            "max_enqueued_batches must be positive; was 0",
        ),
        (
            "max_batch_size { value: 8 } allowed_batch_sizes: 4",
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 4; "
            "expected 8",
        ),
        (
            "max_batch_size { value: 8 } allowed_batch_sizes: [4, 4, 8]",
            "allowed_batch_sizes entries must be monotonically increasing",
        ),
    ],
)
def test_parameters_that_do_not_go_together_are_refused(text: str, refusal: str) -> None:
    failure = failed(lambda: Parameters(message(text)))
    assert (failure.code, failure.text) == ("INVALID_ARGUMENT", refusal)


def batched(model: Any, text: str = "") -> Batched:
    return Batched(model, Parameters(message(text)))


def message(text: str) -> Any:
    return text_format.Parse(text, server_files_pb2.BatchingParameters())


def call(
    model: Batched,
    signature: str,
    dtype: Any = np.float32,
    ends: float = math.inf,
    **inputs: Any,
) -> dict[str, Any]:
    arrays = {name: np.asarray(value, dtype) for name, value in inputs.items()}
    task = Task(signature, OUTPUTS.get(signature, ("y",)))
    [answer] = model.run([task], arrays, ends)
    return answer


def held_up(watched: Watched, pool: ThreadPoolExecutor, model: Batched) -> Future[dict[str, Any]]:
    """Start a call that stays in the engine until it may go on."""
    watched.go_on.clear()
    future = pool.submit(call, model, "plus_two", x=[[1]])
    assert watched.entered.wait(60)
    return future


def failed(action: Callable[[], object]) -> Failure:
    with pytest.raises(Failure) as caught:
        action()
    return caught.value


def _flower() -> bytes:
    import tensorflow as tf

    names = ("sepal_length", "sepal_width", "petal_length", "petal_width")
    values = tf.train.Feature(float_list=tf.train.FloatList(value=[3.0]))
    features = tf.train.Features(feature=dict.fromkeys(names, values))
    return tf.train.Example(features=features).SerializeToString()
