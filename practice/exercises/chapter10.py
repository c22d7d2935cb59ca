"""Chapter 10: replicas, updates and retries."""

import math
from typing import Any

import grpc
import yaml

from helpers.language import _
from practice.exercises import Wrong, expect, run
from practice.rayserve.command import CONFIG

_OPTIONS = {"num_replicas": 3, "ray_actor_options": {"num_cpus": 2}}


def _config(answer: Any) -> None:
    config = yaml.safe_load(CONFIG.read_text("utf-8"))
    try:
        (application,) = answer["applications"]
        (deployment,) = application["deployments"]
        replicas = deployment["num_replicas"]
        processors = deployment["ray_actor_options"]["num_cpus"]
    except (KeyError, TypeError, ValueError) as error:
        raise Wrong(
            _("the answer is the whole configuration, as the file has it, with two changes.")
        ) from error
    expect(replicas == _OPTIONS["num_replicas"], _("it asks for {count}.", count=replicas))
    expect(processors == 2, _("each replica gets {count} of the processors.", count=processors))
    config["applications"][0]["deployments"][0] |= _OPTIONS
    theirs = {**answer, "applications": [{**application, "args": None}]}
    config["applications"][0]["args"] = None  # the folder of the models is a private one's
    expect(theirs == config, _("something else than the two numbers is changed."))


def _shares(answer: Any) -> None:
    for names in (["a"], ["a", "b"], ["b", "a", "b", "b"], list("abcacbaaca")):
        given = run(answer, list(names))
        expect(isinstance(given, dict), _("what it returns is no dictionary."))
        expect(
            set(given) == set(names),
            _("for {names} the dictionary has other names.", names=names),
        )
        for name in given:
            try:
                right = math.isclose(float(given[name]), names.count(name) / len(names))
            except (TypeError, ValueError) as error:
                raise Wrong(_("a share in it is no number.")) from error
            expect(right, _("for {names} a share is another number.", names=names))
    expect(run(answer, []) == {}, _("for no answers at all the dictionary is empty."))


def _mixed(answer: Any) -> None:
    for versions, first, last in (
        ([1, 1, 2, 2], 2, 1),
        ([1, 2, 1, 2, 1, 1, 2], 1, 5),
        ([1, 1, 1, 2, 1], 3, 4),
    ):
        given = run(answer, list(versions))
        try:
            pair = tuple(int(number) for number in given)
        except (TypeError, ValueError) as error:
            raise Wrong(_("what it returns is not two whole numbers.")) from error
        expect(
            pair == (first, last),
            _("for {versions} the two places are others.", versions=versions),
        )


def _machines(answer: Any) -> None:
    for rate, seconds, processors, machines in (
        (100, 0.02, 2, 1),
        (101, 0.02, 2, 2),
        (1000, 0.05, 8, 7),
        (10, 0.001, 4, 1),
        (4000, 0.1, 16, 25),
    ):
        given = run(answer, rate, seconds, processors)
        case = _(
            "for {rate} calls a second of {seconds} s and {processors} processors a machine",
            rate=rate,
            seconds=seconds,
            processors=processors,
        )
        expect(
            isinstance(given, int | float) and given == int(given),
            _("{case} it returns no whole number.", case=case),
        )
        expect(given != machines - 1, _("{case} one machine is missing.", case=case))
        expect(given == machines, _("{case} it is another number of machines.", case=case))


class _Error(grpc.RpcError):
    """What a stub raises, with a status of our choice."""

    def __init__(self, status: grpc.StatusCode) -> None:
        super().__init__(status.name)
        self._status = status

    def code(self) -> grpc.StatusCode:
        return self._status


def _persistent(answer: Any) -> None:
    unavailable, internal = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL
    expect(_outcome(answer, []) == ("answer", 1), _("a call that goes well is made once."))
    expect(
        _outcome(answer, [unavailable, unavailable]) == ("answer", 3),
        _("a call that is UNAVAILABLE twice is answered by the third try."),
    )
    expect(
        _outcome(answer, [internal]) == (internal, 1),
        _("INTERNAL is raised at once: nobody knows what was done."),
    )
    expect(
        _outcome(answer, [unavailable] * 9) == (unavailable, 4),
        _("what is UNAVAILABLE four times is raised."),
    )


def _outcome(answer: Any, failures: list[grpc.StatusCode]) -> tuple[Any, int]:
    """Return what a reader's function gives for a call that fails so, and how often it called."""
    tries = 0

    def call() -> str:
        nonlocal tries
        tries += 1
        if tries <= len(failures):
            raise _Error(failures[tries - 1])
        return "answer"

    def caught() -> Any:
        try:
            return answer(call, 4)
        except _Error as error:
            return error.code()

    expect(callable(answer), _("the answer is a function, without parentheses behind its name."))
    return run(caught), tries


CHECKS = {1: _config, 2: _shares, 3: _mixed, 4: _machines, 5: _persistent}
