"""Answers to the exercises of chapter 09."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from helpers import endpoints, tfserving
from practice.launch import DATA

SERVICES = ("tfserving",)


def confusion(version: int) -> NDArray[Any]:
    images = np.load(DATA / "labelled" / "digits.npy")
    truth = np.loadtxt(DATA / "labelled" / "digits.csv", dtype=int, skiprows=1)
    endpoint = endpoints.load("tfserving").replace(model="digits", version=version)
    answers = tfserving.predict(endpoint, {"images": images.astype("float32")})
    said = answers["probabilities"].argmax(axis=1)
    pairs = np.bincount(10 * truth + said, minlength=100)
    return pairs.reshape(10, 10)


def inputs(address: str, model: str) -> dict[str, tuple[int | None, ...]]:
    endpoint = endpoints.Endpoint("tfserving", grpc=address, model=model)
    ((_, signature),) = tfserving.signatures(endpoint).items()
    shapes = {name: tensor.shape or () for name, tensor in signature.inputs.items()}
    return {
        name: tuple(None if size < 0 else size for size in shape) for name, shape in shapes.items()
    }


def named_serving_default(address: str, model: str) -> Any:
    endpoint = endpoints.Endpoint("tfserving", grpc=address, model=model)
    signature = tfserving.signatures(endpoint)["serving_default"]
    return {name: list(tensor.shape or ()) for name, tensor in signature.inputs.items()}


RIGHT = {
    1: lambda: "float32 [-1, 8, 8, 1]",
    2: lambda: np.float32(2.31),
    3: lambda: confusion(2).astype(float).tolist(),
    4: lambda: "6",
    5: lambda: inputs,
}
WRONG = {
    1: [lambda: (450, 8, 8, 1), lambda: [-1, 96, 96, 1], lambda: [8, 8], lambda: 64],
    2: [lambda: 1.7, lambda: 6.2, lambda: 1, lambda: "wide"],
    3: [
        lambda: confusion(1),
        lambda: confusion(2).T,
        lambda: confusion(2) / 450,
        lambda: confusion(2).diagonal(),
        lambda: "99.3%",
    ],
    4: [lambda: 9, lambda: 441, lambda: 3, lambda: 0, lambda: None],
    5: [
        lambda: named_serving_default,
        lambda: lambda address, model: list(inputs(address, model)),
        lambda: lambda address, model: {name: [1] for name in inputs(address, model)},
        lambda: lambda address, model: {"x": [-1, 4]},
    ],
}
