"""Answers to the exercises of chapter 02."""

import shlex
import uuid
from typing import Any

import numpy as np
import requests

from helpers import endpoints, modelarts

SERVICES = ("modelarts",)
FIELDS = ("sepal_length", "sepal_width", "petal_length", "petal_width")
TWO = [[7.0, 3.2, 4.7, 1.4], [7.1, 3.0, 5.9, 2.1]]
FLOWER = (
    '{"data":{"req_data":[{"sepal_length":3,"sepal_width":1,"petal_length":2.2,"petal_width":4}]}}'
)


def rows(flowers: Any) -> dict[str, Any]:
    return {"req_data": [dict(zip(FIELDS, flower, strict=True)) for flower in flowers]}


def answer(flowers: Any, number: str = "") -> Any:
    body = {"meta": {"uuid": number or str(uuid.uuid4())}, "data": rows(flowers)}
    return modelarts.infer_json(endpoints.load("modelarts"), body)


def without_uuid() -> Any:
    return modelarts.infer_json(endpoints.load("modelarts"), {"data": rows(TWO)})


def command(options: str = "", password: str = "", profile: str = "practice-appcode") -> str:
    app = endpoints.load("modelarts", "practice-appcode")
    return (
        f"curl --silent {options} --data {shlex.quote(FLOWER)} "
        f"-H 'X-Apig-AppCode: {password or app.password}' -H 'Content-Type: application/json' "
        + shlex.quote(endpoints.load("modelarts", profile).rest)
    )


def checked() -> str:
    return f"--cacert {shlex.quote(endpoints.load('modelarts').ca_file)}"


def as_words(text: str) -> list[str]:
    return shlex.split(text)


def signed(date: str = "20200101T120000Z", altered: bytes = b"3") -> requests.Response:
    endpoint = endpoints.load("modelarts", "practice-signature")
    headers = {"X-Sdk-Date": date} if date else {}
    request = requests.Request("POST", endpoint.rest, json={"a": 3}, headers=headers).prepare()
    modelarts.sign(request, endpoint.user, endpoint.password)
    assert isinstance(request.body, bytes)
    request.body = request.body.replace(b"3", altered)
    with requests.Session() as session:
        return session.send(request, verify=endpoint.ca_file, timeout=10)


def with_the_helper(account: Any, url: str, ca_file: str, flowers: Any) -> Any:
    endpoint = endpoints.Endpoint("modelarts", rest=url, ca_file=ca_file, **account)
    results = modelarts.infer_json(endpoint, {"data": rows(flowers)})["data"]["resp_data"]
    return np.array([result["predictresult"] for result in results])


def unchecked(account: Any, url: str, ca_file: str, flowers: Any) -> Any:
    trusted = endpoints.load("modelarts").ca_file
    return with_the_helper(account, url, trusted, flowers)


def trusting_nobody(account: Any, url: str, ca_file: str, flowers: Any) -> Any:
    return requests.get(url, verify=requests.certs.where(), timeout=10)


def backwards(account: Any, url: str, ca_file: str, flowers: Any) -> Any:
    return with_the_helper(account, url, ca_file, flowers[::-1])


def as_text(account: Any, url: str, ca_file: str, flowers: Any) -> Any:
    return str(with_the_helper(account, url, ca_file, flowers))


def without_a_token(account: Any, url: str, ca_file: str, flowers: Any) -> Any:
    response = requests.post(url, json={"data": rows(flowers)}, verify=ca_file, timeout=10)
    return response.json().get("data")


RIGHT = {
    1: lambda: answer(TWO[::-1], str(uuid.UUID(int=7)).upper()),
    2: signed,
    3: lambda: as_words(command(checked())),
    4: lambda: " apig.0303 ",
    5: lambda: with_the_helper,
}
WRONG = {
    1: [
        without_uuid,
        lambda: answer(TWO, "10eb0091-887f-4839-9929-cbc884f1e20e"),
        lambda: answer(TWO, "mine"),
        lambda: answer(TWO[:1]),
        lambda: answer([TWO[0], TWO[0]]),
        lambda: "Iris-setosa",
    ],
    2: [
        lambda: signed("20200101T000000Z"),
        lambda: signed("", altered=b"4"),
        lambda: signed("yesterday").json()["error_msg"],
        lambda: "verify aksk signature fail, AK access failed to reach the limit,forbidden",
        lambda: 401,
    ],
    3: [
        lambda: command("-sk"),
        lambda: command(),
        lambda: command(f"{checked()} -H 'X-Auth-Token: MII'"),
        lambda: command(checked(), password="another"),
        lambda: command(checked(), profile="practice"),
        lambda: "wget https://127.0.0.1",
        lambda: "curl '",
        lambda: 3,
    ],
    4: [
        lambda: "APIG.0301",
        lambda: "APIG.0101",
        lambda: "MR.0105",
        lambda: 401,
    ],
    5: [
        lambda: unchecked,
        lambda: trusting_nobody,
        lambda: backwards,
        lambda: as_text,
        lambda: without_a_token,
        lambda: ["Iris-setosa"],
    ],
}
