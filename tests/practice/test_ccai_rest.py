"""The practice CCAI over REST, row by row as the original behaves, through both its dialects."""

import base64
import contextlib
import hashlib
import http.client
import json
import re
import ssl
import struct
import wave
from collections.abc import Iterator
from concurrent import futures
from io import BytesIO
from typing import Any
from urllib.parse import urlencode

import pytest

from helpers.endpoints import Endpoint
from protos import inference_service_pb2 as messages
from tests import ccai
from tests.ccai import (
    CPP_IMAGE_SERVICES,
    CPP_SERVICES,
    FORM,
    INFORMATION,
    PATHS,
    PYTHON_IMAGE_SERVICES,
    PYTHON_SERVICES,
    Answer,
    Running,
    ask,
    post,
    text64,
)

LIMIT = 64 * 1024 * 1024
UNHANDLED = (
    b'<!DOCTYPE HTML PUBLIC "-//IETF//DTD HTML 2.0//EN">\n<html><head>\n'
    b"<title>Unhandled Exception</title>\n</head><body>\n<h1>Unhandled Exception</h1>\n"
    b"<p>An unhandled exception was thrown by the application.</p>\n</body></html>\n"
)
EXCEPTION = (500, "text/html", UNHANDLED)
REFUSED = (404, "text/html", b"not Acceptable")
FAILED = b'{\n "ret": 1,\n "msg": "inference failed"\n}'
SET, NOT_SET = b"successfully set the policy daemon", b"failed to set policy daemon"
NO_SPEAKER = (
    "Only generates wave file, not send to the host speaker because of the pulseaudio service "
    "error!"
)
DEVICES = ("CPU", "GPU", "GNA_AUTO", "GNA_HW", "GNA_SW_EXACT", "GNA_SW", "GNA_SW_FP32", "MYRIAD")
DEVICES_WITH_COLON = (
    "HETERO:GNA,CPU",
    "HETERO:GNA_HW,CPU",
    "HETERO:GNA_SW_EXACT,CPU",
    "HETERO:GNA_SW,CPU",
    "HETERO:GNA_SW_FP32,CPU",
    "HETERO:CPU,GPU",
    "HETERO:GPU,CPU",
)
# These put a comma and a line end before the time; the others a line end with the message.
BARE = ("segmentation", "super_resolution")
TEXT = "Meeting 2026"


# The fixtures of this file.
service, here, there = ccai.service, ccai.here, ccai.there


@pytest.fixture
def remote(here: Endpoint) -> Iterator[None]:
    """Forward to the cloud for one test."""
    assert post(here, "py_policy", {"local": 0}).body == SET
    yield
    assert post(here, "py_policy", {}).body == SET


def image(content: bytes) -> dict[str, str]:
    return {"image": text64(content)}


def data(answer: Answer) -> Any:
    envelope = json.loads(answer.body)
    assert (answer.status, envelope["ret"]) == (200, 0), answer.body
    return envelope["data"]


def names(answer: Answer) -> set[str]:
    return {name.lower() for name, _ in answer.headers}


# The health check, headers and envelope.


@pytest.mark.parametrize("path", [path for path in PATHS if not path.endswith("info")])
def test_every_service_says_that_it_is_well(here: Endpoint, path: str) -> None:
    python = "fcgi_py_" in path
    expected = (200, "text/plain" if python else "text/html", b"healthcheck ok")
    assert ask(here, path, "healthcheck=1").shape == expected


@pytest.mark.parametrize("name", ["py_ocr", "ocr", "py_policy", "policy", "py_tts", "py_asr"])
def test_the_health_check_goes_before_every_other_field(here: Endpoint, name: str) -> None:
    form = {"image": "!", "device": "none", "realtime": "x", "healthcheck": 1}
    assert post(here, name, form).body == b"healthcheck ok"


def test_a_health_check_of_0_is_an_ordinary_request(here: Endpoint) -> None:
    assert post(here, "py_ocr", {"healthcheck": 0}).shape == EXCEPTION
    assert post(here, "py_tts", {"healthcheck": 0, "text": "hello"}).status == 200
    assert b"frame is empty" in post(here, "ocr", {"healthcheck": 0}).body


def test_a_health_check_that_is_no_number(here: Endpoint) -> None:
    form = {"healthcheck": "yes", "device": "CPU"}
    assert post(here, "py_policy", form).shape == EXCEPTION
    assert post(here, "policy", form).body == SET


def test_the_headers_of_the_python_services(here: Endpoint) -> None:
    for answer in (post(here, "py_policy", {}), post(here, "py_ocr", {})):
        assert names(answer) == {"content-type", "content-length", "date", "server"}


@pytest.mark.parametrize("name", ["policy", "ocr", "segmentation"])
def test_the_headers_of_the_cpp_services(here: Endpoint, name: str) -> None:
    answer = post(here, name, {"device": "CPU"})
    assert {name: value for name, value in answer.headers if name not in ("date", "server")} == {
        "content-type": "text/html",
        "charset": "utf-8",
        "x-content-type-options": "nosniff",
        "x-frame-options": "deny",
        "content-length": str(len(answer.body)),
    }
    assert {"date", "server"} < names(answer)


def test_a_python_answer_is_indented_json_in_a_fixed_order(here: Endpoint) -> None:
    answer = post(here, "py_face_detection", image(ccai.face()))
    envelope = json.loads(answer.body)
    assert list(envelope) == ["ret", "msg", "data", "time"]
    assert answer.body == json.dumps(envelope, indent=1).encode("ascii")
    assert round(envelope["time"], 3) == envelope["time"] >= 0


def test_a_cpp_answer_ends_with_the_time_in_three_decimals(here: Endpoint) -> None:
    body = post(here, "face_detection", image(ccai.face())).body
    assert re.search(rb'\t},\r\n\t"time":\d+\.\d{3}\n}\Z', body)


# What is missing or wrong in a request.


@pytest.mark.parametrize("name", [*PYTHON_IMAGE_SERVICES, "tts", "asr"])
@pytest.mark.parametrize(
    "body",
    ["", "app_id=1", "image=", "text=", "realtime=", "image", "&&&", "=", "image=%FF%FE%00"],
)
def test_a_python_service_without_its_field_throws(here: Endpoint, name: str, body: str) -> None:
    expected = EXCEPTION
    if body.startswith("image=%") and name in (
        "classification",
        "segmentation",
        "super_resolution",
    ):
        expected = (200, "text/plain", FAILED)  # an empty picture goes to the engine unseen
    assert ask(here, f"/cgi-bin/fcgi_py_{name}", body).shape == expected


def test_the_page_of_an_exception_has_218_bytes(here: Endpoint) -> None:
    assert len(post(here, "py_ocr", {}).body) == len(UNHANDLED) == 218


@pytest.mark.parametrize("name", [*PYTHON_IMAGE_SERVICES, "tts", "asr"])
def test_a_python_service_takes_a_get_for_an_empty_form(here: Endpoint, name: str) -> None:
    path = f"/cgi-bin/fcgi_py_{name}?image=AAAA&text=hello"
    assert ask(here, path, method="GET", headers={}).shape == EXCEPTION


@pytest.mark.parametrize("name", PYTHON_SERVICES)
def test_a_head_on_a_python_service_gives_headers_only(here: Endpoint, name: str) -> None:
    answer = ask(here, f"/cgi-bin/fcgi_py_{name}", method="HEAD", headers={})
    assert answer.shape == (200, "text/plain", b"")


def test_python_services_look_at_neither_content_type_nor_method(here: Endpoint) -> None:
    form = urlencode({"text": "hello"})
    expected = ccai.speech_of(post(here, "py_tts", {"text": "hello"}))
    for method in ("POST", "PUT", "GET", "DELETE"):
        answer = ask(here, "/cgi-bin/fcgi_py_tts", form, {"Content-Type": "image/png"}, method)
        assert ccai.speech_of(answer) == expected
    as_json = ask(here, "/cgi-bin/fcgi_py_tts", '{"text": "hello"}')
    assert as_json.shape == EXCEPTION


@pytest.mark.parametrize("name", PYTHON_IMAGE_SERVICES)
def test_bad_padding_of_base64_throws(here: Endpoint, name: str) -> None:
    assert post(here, f"py_{name}", {"image": "abc"}).shape == EXCEPTION


@pytest.mark.parametrize("name", PYTHON_IMAGE_SERVICES)
def test_bytes_that_are_no_image(here: Endpoint, name: str) -> None:
    unseen = name in ("classification", "segmentation", "super_resolution")
    expected = (200, "text/plain", FAILED) if unseen else EXCEPTION
    assert post(here, f"py_{name}", image(b"no image")).shape == expected


@pytest.mark.parametrize("name", CPP_IMAGE_SERVICES)
@pytest.mark.parametrize(
    "body",
    ["", "app_id=1", "image=", "image=abc", "image=bm8gaW1hZ2U%3D", "healthcheck=yes", "image=%zz"],
)
def test_an_empty_frame_is_no_json(here: Endpoint, name: str, body: str) -> None:
    answer = ask(here, f"/cgi-bin/fcgi_{name}", body)
    end = r",\n" if name in BARE else ""
    assert (answer.status, answer.header("content-type")) == (200, "text/html")
    assert re.fullmatch(rf'error: frame is empty{end}\t"time":0\.\d{{3}}\n}}', answer.body.decode())


@pytest.mark.parametrize("name", CPP_SERVICES)
def test_a_cpp_service_refuses_what_is_no_form(here: Endpoint, name: str) -> None:
    path = f"/cgi-bin/fcgi_{name}"
    assert ask(here, path, method="GET", headers={}).shape == REFUSED
    assert ask(here, path, "{}", {"Content-Type": "application/json"}).shape == REFUSED
    assert ask(here, path, "healthcheck=1", {}).shape == REFUSED
    head = ask(here, path, method="HEAD", headers={})
    assert (head.status, head.body) == (404, b"")


def test_a_refusal_has_none_of_the_cpp_headers(here: Endpoint) -> None:
    refusal = ask(here, "/cgi-bin/fcgi_ocr", method="GET", headers={})
    assert names(refusal) == {"content-type", "content-length", "date", "server"}


def test_a_content_type_may_have_parameters(here: Endpoint) -> None:
    header = {"Content-Type": "application/x-www-form-urlencoded; charset=UTF-8"}
    assert ask(here, "/cgi-bin/fcgi_ocr", "healthcheck=1", header).body == b"healthcheck ok"


def chunked(here: Endpoint, path: str, content: bytes) -> tuple[int, bytes]:
    with contextlib.closing(ccai.connect(here)) as connection:
        parts = (content[at : at + 2**20] for at in range(0, len(content), 2**20))
        connection.request("POST", path, parts, dict(FORM), encode_chunked=True)
        response = connection.getresponse()
        return response.status, response.read()


@pytest.mark.parametrize("name", ["fcgi_ocr", "fcgi_policy", "fcgi_segmentation", "streaming"])
def test_a_cpp_service_wants_the_length_beforehand(here: Endpoint, name: str) -> None:
    answer = chunked(here, f"/cgi-bin/{name}", b"healthcheck=1")
    assert answer == (404, b"get content length error")


# How fields are written.


def test_of_a_repeated_field_the_first_counts(here: Endpoint) -> None:
    for name in ("py_policy", "policy"):
        known_first = ask(here, f"/cgi-bin/fcgi_{name}", "device=CPU&device=none")
        assert known_first.body == SET
        unknown_first = ask(here, f"/cgi-bin/fcgi_{name}", "device=none&device=CPU")
        assert unknown_first.body == NOT_SET


def test_the_order_of_fields_does_not_matter(here: Endpoint) -> None:
    common = {"app_id": 1, "nonce_str": "x", "time_stamp": 1, "sign": "F" * 32, "mode": 0}
    first = post(here, "py_face_detection", {**common, **image(ccai.face())})
    last = post(here, "py_face_detection", {**image(ccai.face()), **common})
    assert data(first) == data(last) == data(post(here, "py_face_detection", image(ccai.face())))


def plus_signs() -> str:
    """Return a picture in base64 whose plus signs are no multiple of four."""
    pictures = (text64(ccai.written("+" * count)) for count in range(1, 50))
    return next(text for text in pictures if text.count("+") % 4)


def test_a_plus_that_is_not_escaped_is_lost_on_python_only(here: Endpoint) -> None:
    text = plus_signs()
    raw = f"image={text}"
    assert ask(here, "/cgi-bin/fcgi_py_face_detection", raw).shape == EXCEPTION
    good = post(here, "face_detection", {"image": text})
    answer = ask(here, "/cgi-bin/fcgi_face_detection", raw)
    assert ccai.without_time(answer.body) == ccai.without_time(good.body)
    assert b'"ret":0' in answer.body


def test_line_ends_in_base64_are_passed_over(here: Endpoint) -> None:
    wrapped = {"image": base64.encodebytes(ccai.face()).replace(b"\n", b"\r\n")}
    for name in ("face_detection", "py_face_detection"):
        answer, expected = post(here, name, wrapped), post(here, name, image(ccai.face()))
        assert ccai.without_time(answer.body) == ccai.without_time(expected.body)


def test_a_cpp_service_finds_a_field_anywhere(here: Endpoint) -> None:
    assert ask(here, "/cgi-bin/fcgi_ocr", "myhealthcheck=1").body == b"healthcheck ok"
    assert ask(here, "/cgi-bin/fcgi_py_policy", "myhealthcheck=1").body == SET


def test_more_than_a_thousand_fields_are_too_many(here: Endpoint) -> None:
    body = "&".join(f"f{number}=1" for number in range(1001))
    assert ask(here, "/cgi-bin/fcgi_py_policy", body).shape == EXCEPTION
    assert ask(here, "/cgi-bin/fcgi_py_policy", body[: body.rindex("&")]).body == SET


# The policy.


@pytest.mark.parametrize("device", [*DEVICES, *DEVICES_WITH_COLON])
def test_every_device_can_be_set(here: Endpoint, device: str) -> None:
    answer = post(here, "py_policy", {"device": device, "local": 1})
    assert answer.shape == (200, "text/plain", SET)
    answer = post(here, "policy", {"device": device, "local": 1})
    known = SET if device in DEVICES else NOT_SET  # colon and comma stay escaped there
    assert answer.shape == (200, "text/html", known)


@pytest.mark.parametrize("device", ["TPU", "cpu", "CPU "])
def test_an_unknown_device_is_not_set(here: Endpoint, device: str) -> None:
    for name in ("py_policy", "policy"):
        answer = post(here, name, {"device": device})
        assert (answer.status, answer.body) == (200, NOT_SET)


def test_what_is_missing_in_a_policy(here: Endpoint) -> None:
    assert post(here, "py_policy", {}).body == SET
    assert post(here, "policy", {"local": 1}).body == NOT_SET
    assert ask(here, "/cgi-bin/fcgi_py_policy", method="GET", headers={}).body == SET


def test_local_has_to_be_a_number_on_python(here: Endpoint) -> None:
    form = {"device": "CPU", "local": "abc"}
    assert post(here, "py_policy", form).shape == EXCEPTION
    assert post(here, "policy", form).body == SET
    assert data(post(here, "py_face_detection", image(ccai.blank()))) == {"face_list": []}


def test_a_get_brings_the_policy_back_to_local(here: Endpoint, remote: None) -> None:
    ask(here, "/cgi-bin/fcgi_py_policy", method="GET", headers={})
    assert data(post(here, "py_face_detection", image(ccai.blank()))) == {"face_list": []}


@pytest.mark.parametrize("name", [*PYTHON_IMAGE_SERVICES, "tts"])
def test_a_python_service_when_the_policy_is_remote(
    here: Endpoint, remote: None, name: str
) -> None:
    answer = post(here, f"py_{name}", {**image(ccai.blank()), "text": "hello"})
    twins = ("classification", "face_detection", "facial_landmark", "ocr", "tts")
    no_twin = b'{\n "ret": 2,\n "msg": "no remote inference"\n}'
    assert answer.shape == (200, "text/plain", FAILED if name in twins else no_twin)


@pytest.mark.parametrize("name", [*PYTHON_IMAGE_SERVICES, "tts"])
def test_a_field_that_is_missing_counts_before_the_policy(
    here: Endpoint, remote: None, name: str
) -> None:
    assert post(here, f"py_{name}", {}).shape == EXCEPTION


@pytest.mark.parametrize("name", CPP_IMAGE_SERVICES)
def test_a_cpp_service_when_the_policy_is_remote(here: Endpoint, remote: None, name: str) -> None:
    body = ccai.without_time(post(here, name, image(ccai.blank())).body)
    ret, msg, end = (1, "inference error", ",\r\n")
    if name in BARE:
        ret, msg, end = (2, "can not support remote inference", ",\n")
    assert body == f'{{\r\n\t"ret":{ret},\r\n\t"msg":"{msg}"{end}\t"time":T\n}}'


def test_all_doors_share_the_policy(here: Endpoint, there: Endpoint, remote: None) -> None:
    form = image(ccai.blank())
    secure = post(there, "py_segmentation", form, headers=ccai.authorized(there))
    assert json.loads(secure.body)["ret"] == 2
    with ccai.stub(here) as stub:
        assert stub.FaceDetection(messages.Input(buffer=ccai.face()), timeout=30).json == ""
        assert stub.Classification(messages.Input(buffer=ccai.face()), timeout=30).json == ""


# Pictures: the Python answers, and the C++ ones made of the same numbers.


def cpp(data: str) -> str:
    """Return a whole C++ answer, without its time."""
    head = '{\r\n\t"ret":0,\r\n\t"msg":"ok",\r\n\t"data":{\r\n'
    return f'{head}{data}\t}},\r\n\t"time":T\n}}'


def listed(name: str, items: list[str]) -> str:
    return f'\t\t"{name}":[\r\n' + ",\n".join(items) + "\t\t]\r\n"


def test_classification_names_one_thing(here: Endpoint) -> None:
    found = data(post(here, "py_classification", image(ccai.written("7", 200))))
    (tag,) = found["tag_list"]
    assert list(tag) == ["tag_name", "tag_confidence"]
    assert isinstance(tag["tag_name"], str)
    assert 0 <= tag["tag_confidence"] <= 1


@pytest.mark.parametrize("engine", ["", "_pd", "_tf", "_torch"])
def test_classification_in_cpp_names_what_is_likely(here: Endpoint, engine: str) -> None:
    seen = set()
    for digit in "0123456789":
        form = image(ccai.written(digit, 200))
        (tag,) = data(post(here, "py_classification", form))["tag_list"]
        likely = tag["tag_confidence"] > 0.5
        line = f'\t\t\t{{"tag_name":"{tag["tag_name"]}",'
        line += f'"tag_confidence":{tag["tag_confidence"]:.6f}}}\n'
        body = ccai.without_time(post(here, f"classification{engine}", form).body)
        assert body == cpp(listed("tag_list", [line] if likely else []))
        seen.add(likely)
    assert True in seen


def test_face_detection_gives_whole_pixels(here: Endpoint) -> None:
    (face,) = data(post(here, "py_face_detection", image(ccai.face())))["face_list"]
    assert list(face) == ["x1", "y1", "x2", "y2"]
    assert all(type(value) is int for value in face.values())
    assert face["x2"] - face["x1"] == face["y2"] - face["y1"] > 0


@pytest.mark.parametrize("engine", ["", "_onnx", "_torch"])
def test_face_detection_in_cpp_has_the_box_before_it_is_enlarged(
    here: Endpoint, engine: str
) -> None:
    body = post(here, f"face_detection{engine}", image(ccai.face())).body
    (box,) = json.loads(body)["data"]["face_list"]
    lines = [f'\t\t\t"{key}":{value}' for key, value in box.items()]
    layout = cpp(listed("face_list", ["\t\t{\n" + ",\n".join(lines) + "\n\t\t}"]))
    assert ccai.without_time(body) == layout
    assert list(box) == ["x1", "y1", "x2", "y2"]
    (large,) = data(post(here, "py_face_detection", image(ccai.face())))["face_list"]
    side = 1.2 * max(box["x2"] - box["x1"], box["y2"] - box["y1"])
    assert large["x2"] - large["x1"] == pytest.approx(side, abs=2)
    assert large["x1"] + large["x2"] == pytest.approx(box["x1"] + box["x2"], abs=4)
    assert large["y1"] + large["y2"] == pytest.approx(box["y1"] + box["y2"], abs=4)


def test_no_face_is_an_empty_list(here: Endpoint) -> None:
    assert data(post(here, "py_face_detection", image(ccai.blank()))) == {"face_list": []}
    body = ccai.without_time(post(here, "face_detection", image(ccai.blank())).body)
    assert body == cpp(listed("face_list", []))


def test_landmarks_are_35_points_on_each_face(here: Endpoint) -> None:
    found = data(post(here, "py_facial_landmark", image(ccai.face())))
    assert list(found) == ["image_width", "image_height", "face_shape_list"]
    assert (found["image_width"], found["image_height"]) == (512, 512)
    assert type(found["image_width"]) is int
    assert len(found["face_shape_list"]) == 35
    for point in found["face_shape_list"]:
        assert list(point) == ["x", "y"]
        assert all(type(value) is float for value in point.values())


def test_landmarks_in_cpp_have_six_decimals(here: Endpoint) -> None:
    form = image(ccai.face())
    found = data(post(here, "py_facial_landmark", form))
    points = [
        f'\t\t\t{{"x":{point["x"]:.6f},\n\t\t\t"y":{point["y"]:.6f}}}'
        for point in found["face_shape_list"]
    ]
    size = '\t\t"image_width":512.000000,\n\t\t"image_height":512.000000,\n'
    body = ccai.without_time(post(here, "facial_landmark", form).body)
    assert body == cpp(size + listed("face_shape_list", points))


def test_landmarks_without_a_face(here: Endpoint) -> None:
    found = data(post(here, "py_facial_landmark", image(ccai.blank(70, 50))))
    assert found == {"image_width": 70, "image_height": 50, "face_shape_list": []}
    answer = post(here, "facial_landmark", image(ccai.blank()))
    assert answer.status == 200
    assert ccai.without_time(answer.body) == 'error: no face is detected\t"time":T\n}'


def test_ocr_gives_place_text_and_characters(here: Endpoint) -> None:
    (item,) = data(post(here, "py_ocr", image(ccai.written("Meeting"))))["item_list"]
    assert list(item) == ["item", "itemcoord", "itemstring", "word"]
    assert (item["item"], item["itemstring"]) == ("", "Meeting")
    (place,) = item["itemcoord"]
    assert list(place) == ["x", "y", "width", "height"]
    assert all(type(value) is int for value in place.values())
    assert [list(word) for word in item["word"]] == [["character", "confidence"]] * 7
    assert "".join(word["character"] for word in item["word"]) == "Meeting"
    assert all(type(word["confidence"]) is float for word in item["word"])


def cpp_item(item: dict[str, Any]) -> str:
    """Write a Python service's OCR item as the C++ service does."""
    (place,) = item["itemcoord"]
    coordinates = ",\n".join(f'\t\t\t\t"{key}":{value:.6f}' for key, value in place.items())
    words = ",\n".join(
        f'\t\t\t{{\n\t\t\t\t"character":{json.dumps(word["character"], ensure_ascii=False)},\n'
        f'\t\t\t\t"confidence":{word["confidence"]:.6f}\n\t\t\t}}'
        for word in item["word"]
    )
    return (
        f'\t\t{{\n\t\t\t"itemcoord":[\n\t\t\t{{\n{coordinates}\n\t\t\t}}\n\t\t\t],\n'
        f'\t\t\t"words":[\n{words}\t\t\t],\n'
        f'\t\t\t"itemstring":{json.dumps(item["itemstring"], ensure_ascii=False)}\n\t\t}}'
    )


def test_ocr_in_cpp_has_other_keys_and_six_decimals(here: Endpoint) -> None:
    form = image(ccai.written("Meeting\nat ten\nin room 7"))
    items = data(post(here, "py_ocr", form))["item_list"]
    assert len(items) >= 3
    body = ccai.without_time(post(here, "ocr", form).body)
    assert body == cpp(listed("item_list", [cpp_item(item) for item in items]))


def test_a_picture_without_text_has_no_items(here: Endpoint) -> None:
    assert data(post(here, "py_ocr", image(ccai.blank()))) == {"item_list": []}
    body = ccai.without_time(post(here, "ocr", image(ccai.blank())).body)
    assert body == cpp(listed("item_list", []))


def test_python_escapes_what_is_not_ascii_and_cpp_does_not(here: Endpoint) -> None:
    form = image(ccai.written("Café Zoé à Genève", 60))
    answer = post(here, "py_ocr", form)
    text = "".join(item["itemstring"] for item in data(answer)["item_list"])
    assert not text.isascii()
    assert answer.body.isascii()
    assert text[3] in post(here, "ocr", form).body.decode()


def test_the_three_readers_differ_in_what_is_around_a_line(here: Endpoint) -> None:
    form = image(ccai.written("Meeting\nten\nroom"))
    assert data(post(here, "py_ppocr", form)) == " Meeting ten room"
    assert data(post(here, "py_digitalnote", form)) == "Meeting\n ten\n room\n "
    assert data(post(here, "py_handwritten", image(ccai.written("Meeting")))) == "Meeting"


def test_reading_a_line_leaves_the_other_readers_as_they_were(here: Endpoint) -> None:
    form = image(ccai.written(TEXT))
    before = data(post(here, "py_ocr", form))
    post(here, "py_handwritten", form)
    assert data(post(here, "py_ocr", form)) == before


@pytest.mark.parametrize("name", ["formula", "segmentation", "super_resolution"])
def test_a_service_without_an_engine_fails_as_the_original_does(here: Endpoint, name: str) -> None:
    form = image(ccai.blank())
    assert post(here, f"py_{name}", form).shape == (200, "text/plain", FAILED)
    if name in CPP_IMAGE_SERVICES:
        body = ccai.without_time(post(here, name, form).body)
        assert body == '{\r\n\t"ret":1,\r\n\t"msg":"inference error",\n\t"time":T\n}'


# Text to speech.


def test_speech_is_a_wav_file_of_floats(here: Endpoint) -> None:
    wav = ccai.speech_of(post(here, "py_tts", {"text": "hello world"}))
    count = (len(wav) - 58) // 4
    assert wav[:58] == b"".join(
        [
            b"RIFF",
            struct.pack("<I", len(wav) - 8),
            b"WAVE",
            b"fmt ",
            struct.pack("<IHHIIHHH", 18, 3, 1, 22050, 4 * 22050, 4, 32, 0),
            b"fact",
            struct.pack("<II", 4, count),
            b"data",
            struct.pack("<I", 4 * count),
        ]
    )
    samples = struct.unpack(f"<{count}f", wav[58:])
    assert all(-1 <= sample <= 1 for sample in samples)
    assert max(samples) > 0.05
    assert count > 22050 // 4


def test_pythons_wave_module_refuses_that_file(here: Endpoint) -> None:
    wav = ccai.speech_of(post(here, "py_tts", {"text": "hello"}))
    with pytest.raises(wave.Error, match="unknown format: 3"), wave.open(BytesIO(wav)):
        pass


def test_the_envelope_of_speech(here: Endpoint) -> None:
    answer = post(here, "py_tts", {"text": "hello"})
    envelope = json.loads(answer.body)
    assert list(envelope) == ["ret", "msg", "data", "time"]
    assert (envelope["ret"], envelope["msg"]) == (0, NO_SPEAKER)
    assert list(envelope["data"]) == ["format", "speech", "md5sum"]
    assert envelope["data"]["format"] == 2
    wav = base64.b64decode(envelope["data"]["speech"], validate=True)
    assert envelope["data"]["md5sum"] == hashlib.md5(wav).hexdigest()
    assert answer.body == json.dumps(envelope, indent=1).encode("ascii")


@pytest.mark.parametrize("text", ["###", "123", "?!.", "中文", "   ", b"\xff\xfe", "\0"])
def test_a_text_with_nothing_to_say_throws(here: Endpoint, text: str | bytes) -> None:
    assert post(here, "py_tts", {"text": text}).shape == EXCEPTION


def test_only_the_text_matters_for_speech(here: Endpoint) -> None:
    cloud: dict[str, Any] = {
        "aht": 24,
        "apc": 0,
        "format": 3,
        "speaker": 5,
        "speed": 200,
        "volume": 10,
    }
    cloud |= {"app_id": 1, "nonce_str": "abc", "time_stamp": 1, "sign": "wrong"}
    plain = ccai.speech_of(post(here, "py_tts", {"text": "hello world"}))
    assert ccai.speech_of(post(here, "py_tts", {**cloud, "text": "hello world"})) == plain


@pytest.mark.parametrize("text", ["Café", "CAFE", "cafe!", " cafe\n", "cafe #1", "<cafe>"])
def test_a_text_is_reduced_to_its_letters(here: Endpoint, text: str) -> None:
    plain = ccai.speech_of(post(here, "py_tts", {"text": "cafe"}))
    assert ccai.speech_of(post(here, "py_tts", {"text": text})) == plain


def test_a_long_text_is_spoken_whole(here: Endpoint) -> None:
    short = ccai.speech_of(post(here, "py_tts", {"text": "hello world"}))
    long = ccai.speech_of(post(here, "py_tts", {"text": "hello world. " * 30}))
    assert len(long) > 20 * len(short)


# Speech recognition.


def heard(here: Endpoint, **changed: Any) -> Answer:
    """Post to ASR; a field set to None is left out."""
    form = {"realtime": "OFFLINE", "language": "ENGLISH", "rate": 16000, "samplewidth": 2}
    form |= {"speech": text64(bytes(32000)), "audio_input": "SIMULATION"} | changed
    return post(here, "py_asr", {name: value for name, value in form.items() if value is not None})


def failure(answer: Answer) -> str:
    """Return the reason in a failed ASR answer, whose form is checked on the way."""
    envelope = json.loads(answer.body)
    assert list(envelope) == ["ret", "msg", "data", "time"]
    assert (answer.status, envelope["ret"], envelope["msg"]) == (200, 1, "error")
    assert list(envelope["data"]) == ["text"]
    assert answer.body == json.dumps(envelope, indent=1).encode("ascii")
    return envelope["data"]["text"]


@pytest.mark.parametrize("language", ["ENGLISH", "KLINGON"])
def test_a_recording_is_written_down_in_lower_case(here: Endpoint, language: str) -> None:
    answer = heard(here, speech=text64(ccai.recording()), language=language)
    envelope = json.loads(answer.body)
    assert list(envelope) == ["ret", "msg", "data", "time"]
    assert envelope["msg"] == "ok"
    assert data(answer) == {"text": "go forward ten meters"}


def test_silence_has_no_words(here: Endpoint) -> None:
    assert data(heard(here)) == {"text": ""}


def test_the_name_and_sign_of_the_caller_do_not_matter(here: Endpoint) -> None:
    assert data(heard(here, app_id="x", time_stamp="", sign="wrong", format="?")) == {"text": ""}


@pytest.mark.parametrize(
    "changed",
    [
        {"realtime": None},
        {"language": None},
        {"rate": None},
        {"rate": "fast"},
        {"rate": 14000},
        {"rate": 18000},
        {"rate": 8000},
        {"samplewidth": None},
        {"samplewidth": 1},
        {"samplewidth": "two"},
        {"speech": "abc"},
        {"speech": text64(bytes(3))},
        {"realtime": "ONLINE_READ", "audio_input": None},
        {"realtime": "ONLINE_STOP", "language": None},
    ],
    ids=str,
)
def test_asr_throws_at(here: Endpoint, changed: dict[str, Any]) -> None:
    assert heard(here, **changed).shape == EXCEPTION


@pytest.mark.parametrize("rate", [15000, 17000])
def test_a_rate_that_is_off_by_less_than_a_tenth_is_taken(here: Endpoint, rate: int) -> None:
    assert data(heard(here, rate=rate)) == {"text": ""}


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"realtime": "offline"}, "The realtime parameter error!"),
        ({"realtime": "ONLINE"}, "The realtime parameter error!"),
        ({"speech": None}, "Error: no speech data!"),
        ({"speech": ""}, "Error: no speech data!"),
        (
            {"realtime": "ONLINE_READ", "audio_input": "MIC"},
            "Error to get pulse server ip address. "
            "Please run pulseaudio and health-monitor services!",
        ),
    ],
)
def test_asr_says_why_it_failed(here: Endpoint, changed: dict[str, Any], text: str) -> None:
    assert failure(heard(here, **changed)) == text


def test_there_is_no_chinese_model(here: Endpoint) -> None:
    assert "Chinese" in failure(heard(here, language="CHINESE"))


def utterance(here: Endpoint, speech: bytes) -> str:
    """Read until words come, twenty seconds at most."""
    for _ in range(10):
        text = data(heard(here, realtime="ONLINE_READ", speech=text64(speech)))["text"]
        if text:
            return text
    return ""


def test_a_live_session_plays_its_recording_until_it_is_stopped(here: Endpoint) -> None:
    assert utterance(here, ccai.recording()) == "go forward ten meters"
    assert data(heard(here, realtime="ONLINE_READ"))["text"] == ""
    stopped = heard(here, realtime="ONLINE_STOP")
    assert data(stopped) == {"text": "Stop online mode successfully"}
    assert data(heard(here, realtime="ONLINE_STOP")) == data(stopped)


def test_an_offline_request_ends_the_live_session(here: Endpoint) -> None:
    # Only a new session would look at the recording of the second read.
    assert data(heard(here, realtime="ONLINE_READ"))["text"] == ""
    assert data(heard(here)) == {"text": ""}
    assert utterance(here, ccai.recording()) == "go forward ten meters"
    heard(here, realtime="ONLINE_STOP")


# Streaming and what the machine can do.


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"pipeline": "launcher.object_detection", "method": "start"}', b"-1"),
        ('{"pipeline": "launcher.pose_estimation", "method": "start", "parameter": {}}', b"-1"),
        ('{"pipeline": "backgroundblur", "method": "start", "parameter": "{}"}', b"-1"),
        ('{"pipeline": "backgroundblur", "method": "config", "config": {}}', b"-1"),
        ('{"pipeline": "launcher.pose_estimation", "method": "stop"}', b"0"),
        ('{"pipeline": "launcher.pose_estimation", "method": "read"}', b"0"),
        ('{"pipeline": "x", "method": "dance"}', b"0"),
        ('{"pipelines": "x", "method_of_choice": "stopping"}', b"0"),
        ('{"pipeline": "x", "method": "starting"}', b"-1"),
        ('{"pipeline": "x"}', b"-1"),
        ('{"method": "stop"}', b"-1"),
        ('{"pipeline": null, "method": "stop"}', b"-1"),
        ('{"pipeline": "x", "method": null}', b"-1"),
        ("{}", b"-1"),
        ("[]", b"-1"),
        ("", b"-1"),
        ("{", b"-1"),
        ("pipeline=x&method=stop", b"-1"),
        ("[" * 100_000, b"-1"),
    ],
    ids=lambda value: str(value)[:50],
)
def test_streaming_answers_a_bare_number(here: Endpoint, body: str, expected: bytes) -> None:
    answer = ask(here, "/cgi-bin/streaming", body, {"Content-Type": "application/json"})
    assert answer.shape == (200, "text/html", expected)
    assert answer.header("charset") == "utf-8"


def test_streaming_wants_some_content_type(here: Endpoint) -> None:
    body = '{"pipeline": "x", "method": "stop"}'
    assert ask(here, "/cgi-bin/streaming", body, {"Content-Type": "any/thing"}).body == b"0"
    assert ask(here, "/cgi-bin/streaming", body, {}).shape == REFUSED
    assert ask(here, "/cgi-bin/streaming", method="GET", headers={}).shape == REFUSED


@pytest.mark.parametrize("name", INFORMATION)
def test_what_the_machine_can_do_is_plain_text(here: Endpoint, name: str) -> None:
    path = f"/cgi-bin/fcgi_{name}"
    for answer in (ask(here, path, "any=thing"), ask(here, path, method="GET", headers={})):
        assert (answer.status, answer.header("content-type")) == (200, "text/plain")
        assert answer.header("x-content-type-options") == "nosniff"
        assert answer.header("x-frame-options") == "deny"
        assert answer.body


def test_the_machine_is_described_as_its_kernel_does(here: Endpoint) -> None:
    processor = ask(here, "/cgi-bin/fcgi_cpuinfo", method="GET", headers={}).body
    assert processor.startswith(b"processor\t: 0\n")
    memory = ask(here, "/cgi-bin/fcgi_meminfo", method="GET", headers={}).body
    assert re.match(rb"MemTotal: +\d+ kB\n", memory)
    graphics = ask(here, "/cgi-bin/fcgi_gpuinfo", method="GET", headers={}).body
    assert re.match(rb"Vendor: .*\nDevice: .*\n", graphics)


def test_every_path_is_listed(here: Endpoint) -> None:
    text = ask(here, "/cgi-bin/fcgi_apiinfo", method="GET", headers={}).body.decode()
    assert text.endswith("\n")
    assert sorted(text.splitlines()) == sorted([*PATHS, "/cgi-bin/smartphoto"])


def test_smart_photo_is_well_and_has_no_photographs(here: Endpoint) -> None:
    answer = ask(here, "/cgi-bin/smartphoto", '{"method": "list_all_photo"}')
    assert answer.shape == (200, "application/json", b'{"result" : -1}')
    assert ("access-control-allow-origin", "*") in answer.headers
    assert ask(here, "/cgi-bin/smartphoto", "healthcheck=1").body == b"healthcheck ok"


# The web server's own pages.


def page(status: int, reason: str) -> bytes:
    title = f"{status} {reason}"
    return (
        '<?xml version="1.0" encoding="iso-8859-1"?>\n'
        '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"\n'
        '         "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">\n'
        '<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">\n'
        f" <head>\n  <title>{title}</title>\n </head>\n <body>\n  <h1>{title}</h1>\n </body>\n"
        "</html>\n"
    ).encode()


@pytest.mark.parametrize(
    "path", ["/", "/cgi-bin/", "/cgi-bin/fcgi_py_none", "/cgi-bin/fcgi_asr", "/cgi-bin/FCGI_OCR"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_an_unknown_path_is_not_found(here: Endpoint, path: str, method: str) -> None:
    answer = ask(here, path, "healthcheck=1", method=method)
    assert answer.shape == (404, "text/html", page(404, "Not Found"))


@pytest.mark.parametrize("character", ["%00", "%01", "%0A", "%0d%0a", "%1f", "%7F"])
def test_control_characters_in_a_path_are_a_bad_request(here: Endpoint, character: str) -> None:
    for path in (f"/cgi-bin/fcgi_py_ocr{character}", f"/{character}/x"):
        assert ask(here, path).shape == (400, "text/html", page(400, "Bad Request"))


def padded(form: str, size: int) -> bytes:
    return f"{form}&pad=".encode().ljust(size, b"x")


@pytest.mark.parametrize("name", ["py_policy", "policy"])
def test_64_megabytes_are_accepted_and_no_byte_more(here: Endpoint, name: str) -> None:
    path = f"/cgi-bin/fcgi_{name}"
    assert ask(here, path, padded("device=CPU&local=1", LIMIT)).body == SET
    too_large = ask(here, path, padded("device=CPU&local=1", LIMIT + 1))
    assert too_large.shape == (413, "text/html", page(413, "Payload Too Large"))


def test_a_chunked_body_has_the_same_limit(here: Endpoint) -> None:
    status, body = chunked(here, "/cgi-bin/fcgi_py_policy", bytes(LIMIT + 1))
    assert (status, body) == (413, page(413, "Payload Too Large"))


# The door with TLS and a user.


def test_the_user_is_let_in(there: Endpoint) -> None:
    answer = post(there, "py_policy", {"healthcheck": 1}, headers=ccai.authorized(there))
    assert answer.shape == (200, "text/plain", b"healthcheck ok")


@pytest.mark.parametrize(
    "header",
    ["", "Basic", "Basic ", "Basic !!!", "Basic bm9jb2xvbg==", "Bearer bGVhcm5lcjpw", "bGVhcm5l"],
)
def test_who_names_nobody_is_asked_who_it_is(there: Endpoint, header: str) -> None:
    headers = {**FORM, "Authorization": header} if header else FORM
    answer = post(there, "py_policy", {"healthcheck": 1}, headers=headers)
    assert answer.shape == (401, "text/html", page(401, "Unauthorized"))
    challenge = answer.header("www-authenticate")
    assert challenge == 'Basic realm="AIAPI Gateway", charset="UTF-8"'
    assert answer.header("connection") == "close"


def test_the_connection_is_closed_after_a_refusal(there: Endpoint) -> None:
    with contextlib.closing(ccai.connect(there)) as connection:
        connection.request("POST", PATHS[0], "healthcheck=1", FORM)
        assert connection.getresponse().read() == page(401, "Unauthorized")
        assert connection.sock is None  # http.client closes when the server says so


@pytest.mark.parametrize("size", [100_000, 10_000_000])
def test_a_refusal_arrives_whatever_the_size(there: Endpoint, size: int) -> None:
    for _ in range(5):
        assert ask(there, "/cgi-bin/fcgi_py_ocr", bytes(size)).status == 401


@pytest.mark.parametrize("path", [*PATHS, "/cgi-bin/none"])
def test_every_path_below_cgi_bin_asks(there: Endpoint, path: str) -> None:
    assert ask(there, path, "healthcheck=1").status == 401


def test_other_paths_do_not_ask(there: Endpoint) -> None:
    assert ask(there, "/").shape == (404, "text/html", page(404, "Not Found"))


def test_a_wrong_password_is_refused_late_and_holds_up_nobody(there: Endpoint) -> None:
    wrong = {**FORM, "Authorization": ccai.basic(there.user, "guess")}
    with futures.ThreadPoolExecutor(4) as pool:
        refused = [pool.submit(post, there, "py_policy", {}, headers=wrong) for _ in range(4)]
        right = post(there, "py_policy", {"healthcheck": 1}, headers=ccai.authorized(there))
        assert right.body == b"healthcheck ok"
        assert not any(each.done() for each in refused)  # they wait for two seconds
        for each in refused:
            assert each.result().shape == (401, "text/html", page(401, "Unauthorized"))


def test_user_and_password_both_have_to_be_right(there: Endpoint) -> None:
    pairs = [("nobody", there.password), (there.user, ""), (there.user, there.password + "x")]
    pairs += [("", ""), (there.user.upper(), there.password), (there.user, " " + there.password)]

    def status(pair: tuple[str, str]) -> int:
        headers = {**FORM, "Authorization": ccai.basic(*pair)}
        return post(there, "py_policy", {}, headers=headers).status

    with futures.ThreadPoolExecutor(len(pairs)) as pool:
        assert list(pool.map(status, pairs)) == [401] * len(pairs)


def test_the_password_is_never_in_the_log(service: Running) -> None:
    assert "wrong user or password" in service.written()
    secure = service.secure
    token = ccai.basic(secure.user, secure.password).removeprefix("Basic ")
    for secret in (secure.password, token, "guess"):
        assert secret not in service.written()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tls_before_1_2_is_refused(there: Endpoint) -> None:
    context = ssl.create_default_context(cafile=there.ca_file)
    context.set_ciphers("DEFAULT@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    connection = http.client.HTTPSConnection(there.rest.rpartition("/")[2], context=context)
    with contextlib.closing(connection), pytest.raises(ssl.SSLError, match="VERSION|EOF"):
        connection.request("GET", "/")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_newer_tls_is_spoken(there: Endpoint, version: ssl.TLSVersion) -> None:
    context = ssl.create_default_context(cafile=there.ca_file)
    context.minimum_version = context.maximum_version = version
    connection = http.client.HTTPSConnection(there.rest.rpartition("/")[2], context=context)
    with contextlib.closing(connection):
        connection.request("GET", "/")
        assert connection.getresponse().status == 404


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_the_certificate_is_made_out_to_this_machine(there: Endpoint, host: str) -> None:
    port = there.rest.rpartition(":")[2]
    assert ask(there.replace(rest=f"https://{host}:{port}"), "/").status == 404


def test_without_its_authority_the_certificate_is_not_trusted(there: Endpoint) -> None:
    address = there.rest.rpartition("/")[2]
    connection = http.client.HTTPSConnection(address, context=ssl.create_default_context())
    with contextlib.closing(connection), pytest.raises(ssl.SSLCertVerificationError):
        connection.request("GET", "/")


def test_plain_http_gets_no_answer_at_the_tls_door(there: Endpoint) -> None:
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        ask(there.replace(rest=there.rest.replace("https", "http")), PATHS[0], "healthcheck=1")


def test_tls_gets_no_answer_at_the_plain_door(here: Endpoint, there: Endpoint) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask(there.replace(rest=here.rest.replace("http", "https")), PATHS[0], "healthcheck=1")
