"""Chapter 00: start here."""

from typing import Any

from helpers.endpoints import Endpoint
from helpers.language import _
from practice.exercises import Check, detector, expect

_DIGITS = [0, 1, 6, 7]  # on digits-07.png, all of them with a score above 0.5


def _another_picture(digits: Any) -> None:
    given = sorted(detector.whole_numbers(digits))
    expect(given != [8, 9], _("these are the digits of the first picture."))
    expect(
        len(given) == len(_DIGITS),
        _("the model is sure (a score above 0.5) of another number of digits."),
    )
    expect(given == _DIGITS, _("the number of digits is right; at least one is another digit."))


def _state(state: Any) -> None:
    expect(isinstance(state, str), _("the answer is one word, a str."))
    expect(
        state.strip().upper() == "AVAILABLE",
        _("the service says another word behind `state`."),
    )


def _own_server(mine: Any) -> None:
    expect(
        isinstance(mine, Endpoint),
        _("the answer is an Endpoint, not {type}.", type=type(mine).__name__),
    )
    expect(mine.kind == "tfserving", _("its kind is another service's."))
    expect(
        mine.rest != "http://192.0.2.7:8501",
        _("that is the address for REST. The exercise asks for the one for gRPC."),
    )
    expect(mine.grpc == "192.0.2.7:8500", _("its gRPC address is {grpc!r}.", grpc=mine.grpc))
    expect(mine.model == "iris", _("its model is {model!r}.", model=mine.model))
    expect(
        not mine.signature_name,
        _("it has still the signature of another model, {name}.", name=mine.signature_name),
    )


CHECKS: dict[int, Check] = {1: _another_picture, 2: _state, 3: _own_server}
