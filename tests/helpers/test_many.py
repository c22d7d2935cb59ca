"""Many calls at once, in loops and in async code, against the real practice service."""

import asyncio
import gc
import itertools
import os
import signal
import subprocess
import sys
import textwrap
import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import practice
from helpers import channels, errors, tfserving
from helpers.endpoints import Endpoint
from helpers.tfserving import apredict, many, predict_many

FLOWERS = np.random.default_rng(5).uniform(0, 8, (60, 1, 4)).astype(np.float32)


@pytest.fixture
def iris(endpoint: Endpoint) -> Endpoint:
    return endpoint.replace(model="iris")


@pytest.fixture
def own(private: Any) -> Iterator[tuple[Any, Endpoint]]:
    """Return a private service, which may be given trouble, and its endpoint."""
    yield private, private.replace(model="iris")
    private.trouble()


def batches(count: int = len(FLOWERS)) -> list[dict[str, np.ndarray]]:
    return [{"features": flower} for flower in FLOWERS[:count]]


def one_by_one(iris: Endpoint, count: int = len(FLOWERS)) -> list[list[float]]:
    return [tfserving.predict(iris, each)["probabilities"].tolist() for each in batches(count)]


@pytest.mark.parametrize("in_flight", [1, 2, 16, 100])
def test_answers_come_in_the_order_of_the_batches(iris: Endpoint, in_flight: int) -> None:
    answers = predict_many(iris, iter(batches()), in_flight=in_flight)
    assert [each["probabilities"].tolist() for each in answers] == one_by_one(iris)


def test_no_batches_no_answers(iris: Endpoint) -> None:
    assert list(predict_many(iris, [])) == []


@pytest.mark.parametrize("check", [True, False])
def test_who_is_not_let_in_is_not_refused_again_and_again(
    own: tuple[Any, Endpoint], check: bool
) -> None:
    service, iris = own
    service.trouble(fail="UNAUTHENTICATED")
    answers = predict_many(iris, batches(), check=check, collect_errors=True)
    with pytest.raises(errors.NotAuthenticated):
        list(answers)


def test_answers_are_writable(iris: Endpoint) -> None:
    (answer,) = predict_many(iris, batches(1))
    answer["probabilities"][0] = 0


def test_the_signature_may_be_named(endpoint: Endpoint, images: np.ndarray) -> None:
    detector = endpoint.replace(model="digits_detector")
    (answer,) = predict_many(detector, [{"images": images}], signature_name="detected_model")
    assert "detection_boxes" in answer


def test_a_batch_is_taken_only_when_there_is_room(iris: Endpoint) -> None:
    taken = itertools.count()
    endless = ({"features": FLOWERS[next(taken) % len(FLOWERS)]} for _ in itertools.count())
    answers = predict_many(iris, endless, in_flight=4)
    for number, _ in enumerate(itertools.islice(answers, 30)):
        sent = next(taken)
        taken = itertools.count(sent)
        assert number < sent <= number + 4
    answers.close()


def test_only_what_is_under_way_stays_in_memory(iris: Endpoint) -> None:
    alive: list[weakref.ref] = []

    def endless() -> Iterator[dict[str, np.ndarray]]:
        while True:
            array = np.ones((1, 4), np.float32)
            alive.append(weakref.ref(array))
            yield {"features": array}

    answers = predict_many(iris, endless(), in_flight=4)
    for _ in itertools.islice(answers, 10):
        gc.collect()
        assert sum(each() is not None for each in alive) <= 5
    answers.close()


def test_the_first_error_is_raised_in_its_place(iris: Endpoint) -> None:
    given = [*batches(3), {"features": np.ones((1, 5), np.float32)}, *batches(3)]
    answers = predict_many(iris, given, in_flight=2)
    assert len([next(answers) for _ in range(3)]) == 3
    with pytest.raises(errors.BadInput, match="features"):
        next(answers)
    assert list(answers) == []


def test_the_service_s_own_refusal_is_raised_too(iris: Endpoint) -> None:
    given = [{"feature": FLOWERS[0]}]
    with pytest.raises(errors.BadInput) as caught:
        list(predict_many(iris, given, check=False))
    assert caught.value.code == "INVALID_ARGUMENT"


def test_errors_are_collected_by_choice(iris: Endpoint) -> None:
    given: list[Any] = [
        {"features": FLOWERS[0]},
        {"nothing": FLOWERS[0]},
        [1],
        {"features": FLOWERS[1]},
    ]
    first, second, third, last = predict_many(iris, given, collect_errors=True)
    assert "It takes" in str(second)
    assert "by name" in str(third)
    assert [first["probabilities"].tolist(), last["probabilities"].tolist()] == one_by_one(iris, 2)


def test_an_unknown_model_is_explained(iris: Endpoint) -> None:
    with pytest.raises(errors.UnknownModel, match="Did you mean 'iris'"):
        list(predict_many(iris.replace(model="irsi"), batches(1), check=False))


@pytest.mark.parametrize("in_flight", [0, -1, 2.5, "16", None])
def test_in_flight_is_a_number_of_calls(iris: Endpoint, in_flight: Any) -> None:
    with pytest.raises(errors.BadInput, match="from 1 on"):
        predict_many(iris, batches(), in_flight=in_flight)


def test_each_call_has_its_own_deadline(own: tuple[Any, Endpoint]) -> None:
    service, iris = own
    tfserving.signatures(iris)
    service.trouble(delay=0.3)
    # All together take longer than the deadline of one.
    assert len(list(predict_many(iris, batches(6), in_flight=2, timeout=0.8))) == 6
    service.trouble(delay=2)
    answers = list(predict_many(iris, batches(3), timeout=0.3, collect_errors=True))
    assert [type(each) for each in answers] == [errors.DeadlineExceeded] * 3


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the calls that begin during the test."""
    calls: list[Any] = []

    class Recorded(many.PendingCall):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            calls.append(self)

    monkeypatch.setattr(many, "PendingCall", Recorded)
    return calls


def test_an_error_cancels_what_is_under_way(own: tuple[Any, Endpoint], begun: list[Any]) -> None:
    service, iris = own

    def given() -> Iterator[dict[str, np.ndarray]]:
        service.trouble(delay=0.5)  # or it may be over before the next batch is asked for
        yield {"wrong": FLOWERS[0]}
        assert begun[0].future.exception(timeout=10)
        service.trouble(delay=2)
        yield from batches(5)

    with pytest.raises(errors.BadInput, match="wrong"):
        list(predict_many(iris, given(), check=False))
    assert [call.future.cancelled() for call in begun] == [False, True]


def test_whoever_stops_early_cancels_the_rest(own: tuple[Any, Endpoint], begun: list[Any]) -> None:
    service, iris = own
    tfserving.signatures(iris)
    service.trouble(delay=0.5)
    answers = predict_many(iris, itertools.cycle(batches()), in_flight=2)
    next(answers)
    next(answers)  # the third call has begun by now
    answers.close()
    assert [call.future.cancelled() for call in begun] == [False, False, True]


def test_an_error_of_the_batches_cancels_the_calls(
    own: tuple[Any, Endpoint], begun: list[Any]
) -> None:
    service, iris = own
    tfserving.signatures(iris)
    service.trouble(delay=2)

    def given() -> Iterator[dict[str, np.ndarray]]:
        yield from batches(3)
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        list(predict_many(iris, given(), in_flight=8))
    assert all(call.future.cancelled() for call in begun)


def test_a_service_that_dies_is_told_for_each_call() -> None:
    with practice.private("tfserving") as service:
        answers = predict_many(
            service.replace(model="iris"), itertools.cycle(batches()), collect_errors=True
        )
        assert isinstance(next(answers), dict)
        service.kill()
        told = next(each for each in answers if isinstance(each, errors.CallError))
        assert isinstance(told, errors.ConnectionFailed)
        answers.close()


def test_retries_survive_connections_that_are_cut(own: tuple[Any, Endpoint]) -> None:
    service, iris = own
    service.trouble(cut=True, rate=0.1)
    tried = iris.replace(retries=4)
    answers = list(predict_many(tried, batches(), in_flight=4))
    assert len(answers) == len(FLOWERS)


def test_the_bar_has_a_rate_and_leaves_nothing(
    own: tuple[Any, Endpoint],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    service, iris = own
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    tfserving.signatures(iris)
    service.trouble(delay=0.5)
    list(predict_many(iris, batches(7), in_flight=1))
    shown = capfd.readouterr().err
    assert "/7" in shown
    assert "batches" in shown
    assert not shown.rpartition("\r")[0].rpartition("\r")[2].strip()
    list(predict_many(iris, batches(5), in_flight=1, progress=False))
    assert not capfd.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other signals")
@pytest.mark.parametrize("answers", [1, 2, 5, 50, 200])
def test_ctrl_c_ends_it_at_once(iris: Endpoint, answers: int) -> None:
    code = """
        import itertools, sys
        import numpy as np
        from helpers import endpoints
        from helpers.tfserving import predict_many
        endpoint = endpoints.load("tfserving").replace(model="iris")
        endless = itertools.repeat({"features": np.ones((1, 4), "float32")})
        for _ in predict_many(endpoint, endless, progress=False):
            print("answer", flush=True)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(answers):
            process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
    assert err.decode().rstrip().endswith("KeyboardInterrupt")


class Cleared:
    """A call; Ctrl-C comes while it is cleared up after."""

    def done(self) -> bool:
        return True

    def cancel(self) -> None:
        pass

    def answer(self, collect_errors: bool) -> str:
        return "answer"

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


def test_ctrl_c_is_not_lost_while_a_call_is_cleared_up_after() -> None:
    answers = many.in_order(lambda *_: Cleared(), itertools.repeat({}, 3), 1, False)  # type: ignore[arg-type, return-value]
    assert next(answers) == "answer"
    with pytest.raises(KeyboardInterrupt):
        next(answers)


def test_apredict_gives_what_predict_gives(iris: Endpoint) -> None:
    async def all_at_once() -> list[dict[str, np.ndarray]]:
        return await asyncio.gather(*(apredict(iris, each) for each in batches()))

    answers = asyncio.run(all_at_once())
    assert [each["probabilities"].tolist() for each in answers] == one_by_one(iris)


def test_each_event_loop_has_one_channel(iris: Endpoint) -> None:
    async def twice() -> Any:
        first = channels.aio_channel(iris)
        assert channels.aio_channel(iris) is first
        await apredict(iris, batches(1)[0])
        return first

    assert asyncio.run(twice()) is not asyncio.run(twice())
    assert len(channels._aio_channels) == 1  # the first loop's went when the second one opened its


@pytest.mark.parametrize(
    ("change", "inputs", "kind", "text"),
    [
        ({}, {"features": ["a"]}, errors.BadInput, "float|DT_STRING|string"),
        ({}, [1, 2], errors.BadInput, "by name"),
        ({"model": "irsi"}, {"features": FLOWERS[0]}, errors.UnknownModel, "Did you mean"),
        ({"grpc": "127.0.0.1:1"}, {"features": FLOWERS[0]}, errors.ConnectionFailed, "Nothing"),
        ({"grpc": ""}, {"features": FLOWERS[0]}, errors.BadInput, "no gRPC address"),
    ],
)
@pytest.mark.parametrize("check", [True, False])
def test_apredict_s_errors_are_predict_s(
    iris: Endpoint, change: dict, inputs: Any, kind: type, text: str, check: bool
) -> None:
    with pytest.raises(kind, match=text):
        asyncio.run(apredict(iris.replace(**change), inputs, check=check))


def test_apredict_has_a_deadline(own: tuple[Any, Endpoint]) -> None:
    service, iris = own
    service.trouble(delay=2)
    with pytest.raises(errors.DeadlineExceeded):
        asyncio.run(apredict(iris, batches(1)[0], timeout=0.3, check=False))


def test_apredict_tries_again(own: tuple[Any, Endpoint]) -> None:
    service, iris = own
    service.trouble(cut=True, rate=0.1)

    async def calls() -> int:
        tried = iris.replace(retries=4)
        for each in batches(30):
            await apredict(tried, each)
        return 30

    assert asyncio.run(calls()) == 30


def test_a_cancelled_task_cancels_its_call(own: tuple[Any, Endpoint]) -> None:
    service, iris = own
    service.trouble(delay=2)

    async def cancelled() -> bool:
        task = asyncio.create_task(apredict(iris, batches(1)[0], timeout=60, check=False))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return task.cancelled()

    assert asyncio.run(cancelled())


FORK = """
    import os, sys
    import numpy as np
    from helpers import endpoints, errors, tfserving
    endpoint = endpoints.load("tfserving").replace(model="iris")
    call = lambda protocol: tfserving.predict(
        endpoint, {"features": np.ones((1, 4), "f4")}, protocol=protocol
    )
    BEFORE
    child = os.fork()
    if child:
        status = os.waitpid(child, 0)[1]
        call("grpc")
        print("parent goes on", os.waitstatus_to_exitcode(status), flush=True)
    else:
        try:
            call("rest")
            print("REST works", flush=True)
            call("grpc")
            print("gRPC works", flush=True)
        except errors.ConnectionFailed as error:
            print(error, flush=True)
            grandchild = os.fork()
            if grandchild:
                os.waitpid(grandchild, 0)
            else:
                try:
                    call("grpc")
                except errors.ConnectionFailed:
                    print("nor does a child's child", flush=True)
        sys.exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize(
    ("before", "told"),
    [("", "gRPC works"), ("call('grpc'); call('rest')", "get_context('spawn')")],
)
def test_after_a_fork_there_is_a_clear_error(iris: Endpoint, before: str, told: str) -> None:
    code = textwrap.dedent(FORK).replace("BEFORE", before)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "REST works" in done.stdout
    assert told in done.stdout
    assert ("nor does a child's child" in done.stdout) == bool(before)
    assert "parent goes on 0" in done.stdout
