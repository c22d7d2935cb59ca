"""A predict request's JSON made into arrays; see FillPredictRequestFromJson in json_tensor.cc."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from numpy.typing import NDArray

from practice.tfserving import json_faults, json_numbers
from practice.tfserving.failures import Failure
from practice.tfserving.json_document import dump
from practice.tfserving.json_numbers import Numbers
from practice.tfserving.json_values import is_base64, to_array


class Inputs(NamedTuple):
    """A request's tensors, and whether they came row by row: the answer comes the same way."""

    arrays: dict[str, NDArray]
    by_row: bool


def signature_name(document: Mapping[str, Any]) -> str:
    """Return the signature that a request asks for; empty when it does not say."""
    name = document.get("signature_name", "")
    if type(name) is not str:
        raise Failure(
            "INVALID_ARGUMENT",
            f"JSON Value: {dump(document)} not formatted correctly. "
            "'signature_name' key must be a string value.",
        )
    return name


def predict_inputs(document: dict[str, Any], data_types: Mapping[str, int]) -> Inputs:
    """Read the tensors of a predict request.

    Parameters
    ----------
    document : dict
        As `json_document.parse` gives it.
    data_types : mapping of str to int
        TensorFlow's number of each input's type, by the signature's names.

    Raises
    ------
    Failure
        As the product words it.
    """
    by_row = "instances" in document
    if by_row:
        json_faults.check_instances(document)
        arrays = _rows(document["instances"], data_types)
    elif "inputs" in document:
        arrays = _columns(document["inputs"], data_types)
    else:
        raise Failure("INVALID_ARGUMENT", "Missing 'inputs' or 'instances' key")
    if arrays is not None:
        return Inputs(arrays, by_row)
    if by_row:
        raise json_faults.in_rows(json_numbers.plain(document["instances"]), data_types)
    raise json_faults.in_columns(json_numbers.plain(document["inputs"]), data_types)


def _rows(instances: Any, data_types: Mapping[str, int]) -> dict[str, NDArray] | None:
    """Make one tensor of each input's rows; None when anything is not as it should be."""
    first = instances.flat[0] if type(instances) is Numbers else instances[0]
    if type(first) is not dict or is_base64(first):
        if len(data_types) > 1 and type(first) is not dict:
            return None
        return _tensors({min(data_types): instances}, data_types)
    if not all(
        type(each) is dict and each.keys() == data_types.keys() and not is_base64(each)
        for each in instances
    ):
        return None
    columns = {name: [each[name] for each in instances] for name in data_types}
    return _tensors(columns, data_types)


def _columns(inputs: Any, data_types: Mapping[str, int]) -> dict[str, NDArray] | None:
    if type(inputs) is dict and not is_base64(inputs):
        if not data_types.keys() <= inputs.keys():
            return None
        return _tensors({name: inputs[name] for name in data_types}, data_types)
    if len(data_types) > 1:
        return None
    return _tensors({min(data_types): inputs}, data_types)


def _tensors(values: Mapping[str, Any], data_types: Mapping[str, int]) -> dict[str, NDArray] | None:
    arrays = {}
    for name, value in values.items():
        flattened = value if type(value) is Numbers else json_numbers.flatten(value)
        if flattened is None:
            return None
        flat, shape = flattened
        try:
            array = to_array(flat, data_types[name], numbers=type(value) is Numbers)
        except Failure:
            return None
        if array is None:
            return None
        arrays[name] = array.reshape(shape)
    return arrays
