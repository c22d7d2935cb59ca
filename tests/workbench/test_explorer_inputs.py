"""What an input's editor makes of texts, examples, sounds, pictures and chance, and says of it."""

import html
import json
import re
from typing import Any

import numpy as np
import pytest

from helpers.ccai.speech import Speech
from helpers.errors import BadInput
from helpers.images import png
from helpers.serving_api import example_pb2
from helpers.tfserving.signatures import TensorSpec
from workbench.explorer import editors
from workbench.explorer.editors import Editor, untouched
from workbench.fields import Fields
from workbench.values import choices, examples
from workbench.values import reading as values

TEXTS = TensorSpec(np.dtype(object), (-1,))
SOUND = Speech(np.linspace(-1, 0.5, 800, dtype="float32"), 16000)


def takes(dtype: str, *shape: int) -> TensorSpec:
    return TensorSpec(np.dtype(dtype), shape)


def editor(spec: TensorSpec, source: str = "", name: str = "x") -> Editor:
    made = Editor(name, spec, Fields(), lambda: None)
    made.source.value = source or made.source.value
    return made


def pasted(text: str, spec: TensorSpec = TEXTS) -> Editor:
    made = editor(spec, editors.PASTED)
    made.fields[editors.PASTED][0].value = text
    return made


def uploaded(spec: TensorSpec, *files: tuple[str, bytes]) -> Editor:
    made = editor(spec, editors.UPLOADED)
    made.upload.take(files)
    return made


def shown(made: Editor) -> str:
    """Return the lamp and the words beside an input, as a person reads them."""
    made.check()
    words, _, takes = made.status.value.partition(" <code>")
    text = html.unescape(re.sub("<[^>]*>", "", words))
    assert str(made.spec) in html.unescape(takes) or str(made.spec) in text
    return text


def sent(made: Editor) -> Any:
    array = made.read()
    assert array is not None
    return array.tolist()


def features(serialized: bytes) -> dict[str, Any]:
    message = example_pb2.Example.FromString(serialized)
    kinds = {name: feature.WhichOneof("kind") for name, feature in message.features.feature.items()}
    return {
        name: list(getattr(message.features.feature[name], kind).value)
        for name, kind in kinds.items()
    }


def test_pasted_lines_are_a_text_each_and_the_form_says_how_many() -> None:
    made = pasted("good film\n\nbad film, really\r\nodd film\n")
    assert sent(made) == ["good film", "bad film, really", "odd film"]
    assert "● string [3]; 3 texts, one a line: 'good film' to 'odd film'" in shown(made)


def test_several_lines_are_one_text_or_have_a_heading_where_one_says_so() -> None:
    made = pasted("review\ngood\nbad")
    assert made.texts not in made.children
    made.check()
    assert made.texts in made.children
    made.texts.value = choices.HEADING
    assert sent(made) == ["good", "bad"]
    made.texts.value = choices.WHOLE
    assert sent(made) == ["review\ngood\nbad"]
    assert shown(pasted("a line")) == "● string [1]"
    assert shown(pasted("")) == "● string [1]; one empty text"


@pytest.mark.parametrize("text", ["a line", ' ["a",\n "b"]'])
def test_nothing_is_asked_about_one_line_or_a_json_list(text: str) -> None:
    made = pasted(text)
    made.check()
    assert made.texts not in made.children


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_several_lines_are_one_text_where_the_input_takes_one(shape: tuple[int, ...]) -> None:
    made = pasted("two\nlines", takes("object", *shape))
    assert np.ravel(sent(made)).tolist() == ["two\nlines"]
    assert "one text of 2 lines" in shown(made)


@pytest.mark.parametrize(
    ("name", "content", "spec", "expected"),
    [
        ("a.txt", "\ufeffgrüße, all\nb\n", TEXTS, ["grüße, all", "b"]),
        ("a.txt", '"a" said\n["b"]', TEXTS, ['"a" said', '["b"]']),
        ("a.csv", '"one, two"\r\n"in\n\ntwo lines"\r\n', TEXTS, ["one, two", "in\n\ntwo lines"]),
        ("a.txt", "a\nb", takes("object", -1, 1), [["a"], ["b"]]),
        ("a.csv", "a,b\nc,d", takes("object", -1, 2), [["a", "b"], ["c", "d"]]),
        ("a.tsv", "a, b\tc\n", takes("object", -1, -1), [["a, b", "c"]]),
        ("a.csv", "one", TEXTS, ["one"]),
    ],
)
def test_a_file_of_lines_is_a_batch(
    name: str, content: str, spec: TensorSpec, expected: Any
) -> None:
    assert sent(uploaded(spec, (name, content.encode()))) == expected


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.csv", b"a\nb, c\n", "row 2 of the table has several columns"),
        ("a.csv", b'"a\nb\n', "Is a quote left open"),
        ("a.txt", "ä".encode("latin-1"), "a.txt is no text in UTF-8, so its lines"),
        ("a.txt", b" \n\n", "is empty; expected string [-1]"),
        ("a.json", b'{"b64": "%%"}', "holds no base64"),
    ],
)
def test_a_file_that_is_no_list_of_texts_is_told(name: str, content: bytes, sentence: str) -> None:
    assert sentence in shown(uploaded(TEXTS, (name, content)))


def test_rows_of_different_lengths_are_told() -> None:
    made = uploaded(takes("object", -1, 2), ("a.csv", b"a,b\nc"))
    assert "rows of the table have different lengths" in shown(made)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"b64": "/wA="}', [b"\xff\0"]),
        ('["a", {"b64": "/wA="}]', ["a", b"\xff\0"]),
        ('{"b64": 1}', ['{"b64": 1}']),
        ('{"b64": "/wA=", "more": 1}', ['{"b64": "/wA=", "more": 1}']),
    ],
)
def test_base64_is_bytes_in_typed_json_and_in_a_file(text: str, expected: Any) -> None:
    assert values.from_text("x", text, TEXTS).tolist() == expected
    assert values.from_file("x", "a.json", text.encode(), TEXTS).tolist() == expected
    if isinstance(expected[0], bytes):
        assert values.from_text("x", text, takes("object")).item() == expected[0]


def test_a_json_text_that_is_sent_as_it_stands_is_said_to_be() -> None:
    made = editor(TEXTS, editors.TYPED)
    made.fields[editors.TYPED][0].value = '[{"height": 1.5}]'
    assert "one text, as it stands: it is no JSON list of texts" in shown(made)


def test_a_heading_above_numbers_that_is_left_out_is_said() -> None:
    made = pasted("width,height\n1.5,2\n", takes("float32", -1, 2))
    assert "float32 [1, 2]; below the heading 'width, height'" in shown(made)


def test_examples_are_composed_for_a_string_input_of_predict() -> None:
    made = editor(TEXTS, name="examples")
    assert made.source.value == editors.EXAMPLES
    assert "There is no example yet" in shown(made)
    field = made.fields[editors.EXAMPLES][0]
    field.value = '[{"height": 1.5, "name": "a", "n": [1, 2], "raw": {"b64": "/wA="}}, {}]'
    full, empty = sent(made)
    assert features(full) == {"height": [1.5], "name": [b"a"], "n": [1, 2], "raw": [b"\xff\0"]}
    assert empty == b""
    told = "2 tf.Examples: height float, name bytes, n int64, raw bytes"
    assert f"● string [2]; {told}" in shown(made)


@pytest.mark.parametrize("name", ["inputs", "serialized_example"])
def test_objects_are_examples_where_the_inputs_name_says_so(name: str) -> None:
    text = '[{"height": 1.5}]'
    for array in (
        values.from_text(name, text, TEXTS),
        values.from_file(name, "a.json", text.encode(), TEXTS),
        values.from_text("x", text, TEXTS, texts=choices.EXAMPLES),
    ):
        assert [features(serialized) for serialized in array] == [{"height": [1.5]}]
    assert values.from_text("x", text, TEXTS).tolist() == [text]


def test_examples_from_a_cell_are_those_of_the_form() -> None:
    made = editor(TEXTS, name="examples")
    made.fill([{"picture": b"\xff", "n": 1}])
    assert json.loads(made.fields[editors.EXAMPLES][0].value) == [
        {"picture": {"b64": "/w=="}, "n": 1}
    ]
    assert [features(serialized) for serialized in sent(made)] == [{"picture": [b"\xff"], "n": [1]}]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[", "no JSON"),
        ("[1]", "list of objects"),
        ("[]", "no example yet"),
        ('{"a": [1, "b"]}', "mixes kinds"),
        ('{"a": {"b": 1}}', "has a dict"),
        ('{"a": "\\ud800"}', "half a character"),
        ('{"\\ud800": 1}', "half a character"),
        ('{"a": 18446744073709551616}', "cannot be written as tf.train.Example"),
        ("[" * 100_000, "no JSON"),
    ],
)
def test_what_is_no_example_is_told(text: str, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        examples.serialized(examples.read(text))


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        (takes("float32", -1, -1, -1, 3), "x"),
        (takes("float32", -1, -1), "x"),
        (TensorSpec(np.dtype("float32"), None), "x"),
        (TEXTS, "examples"),
    ],
)
def test_nothing_that_has_to_be_chosen_is_green_untouched(spec: TensorSpec, name: str) -> None:
    assert not editor(spec, name=name).check()
    with pytest.raises(BadInput):
        untouched(name, spec)


def test_a_picture_of_any_size_keeps_its_own_until_both_sides_are_written() -> None:
    made = uploaded(takes("float32", -1, -1, -1, 3), ("a.png", png(np.zeros((20, 30, 3), "uint8"))))
    assert "float32 [1, 20, 30, 3] of a.png; 30 x 20 pixels as they are, RGB" in shown(made)
    assert made.preprocessing is not None
    made.preprocessing.fields["resize"].value = "stretch"
    assert "Write the height and the width" in shown(made)
    made.preprocessing.fields["height"].value = "10"
    assert "✕" in shown(made)
    made.preprocessing.fields["width"].value = "12"
    assert "● float32 [1, 10, 12, 3]" in shown(made)


def test_the_button_says_how_many_files_there_are_and_keeps_none_of_their_bytes() -> None:
    made = uploaded(takes("float32", -1, 8, 8, 1), ("a.png", png(np.zeros((9, 9), "uint8"))))
    [file] = made.upload.value
    assert file["name"] == "a.png"
    assert not file["content"]
    assert list(made.children).index(made.status) == 2, "above what is done to the picture"


def test_random_pictures_of_any_size_need_one() -> None:
    made = editor(takes("float32", -1, -1, -1, 3), editors.RANDOM)
    assert "Write the sizes 1, 2." in shown(made)
    batch, height, width = made.sizes
    assert batch.value == "1"
    height.value = width.value = "9"
    assert "○ float32 [1, 9, 9, 3]" in shown(made), "nobody has said that they are meant"


def test_what_is_done_to_a_picture_is_said_and_what_nobody_tells() -> None:
    content = png(np.zeros((20, 30, 3), "uint8"))
    made = uploaded(takes("float32", -1, 8, 8, 1), ("a.png", content))
    told = "30 x 20 pixels stretched to 8 x 8, grey, HWC, 0..1 (no signature tells the scale)"
    assert told in shown(made)
    whole = uploaded(takes("uint8", -1, 8, 8, 1), ("a.png", content))
    assert "grey, HWC, 0..255" in shown(whole)
    assert "no signature" not in shown(whole)


def test_all_pictures_that_are_chosen_are_shown() -> None:
    content = png(np.zeros((9, 9), "uint8"))
    made = uploaded(takes("float32", -1, 8, 8, 1), *[(f"{n}.png", content) for n in range(120)])
    assert "[120, 8, 8, 1]" in shown(made)
    assert made.preprocessing is not None
    assert made.preprocessing.picture.value.count("<img ") == 100
    assert "the first 100 of 120" in made.preprocessing.picture.value
    made.upload.take([("a.png", content), ("b.png", content)])
    made.check()
    assert made.preprocessing.picture.value.count("<img ") == 2


@pytest.mark.parametrize(
    ("spec", "name", "expected"),
    [
        (takes("float32", -1, 4), "x", "○ float32 [1, 4]"),
        (takes("float32", -1, -1, -1, 3), "x", "○ float32 [1, 64, 64, 3]"),
        (TensorSpec(np.dtype("int8"), None), "x", "○ int8 [1]"),
        (TEXTS, "x", "○ string [1]"),
        (TEXTS, "examples", "● string [1]; 1 tf.Example: no features"),
    ],
)
def test_something_can_be_sent_at_once(spec: TensorSpec, name: str, expected: str) -> None:
    made = editor(spec, name=name)
    made.fill_at_random()
    assert shown(made) == expected


@pytest.mark.parametrize(
    ("spec", "shape"),
    [
        (takes("float32", -1), (800,)),
        (takes("float32", -1, -1), (1, 800)),
        (takes("float64", -1, 800), (1, 800)),
        (takes("float32", -1, -1, 1), (1, 800, 1)),
        (takes("float32", -1, 1), (800, 1)),
    ],
)
def test_a_sound_is_samples_at_its_own_rate(spec: TensorSpec, shape: tuple[int, ...]) -> None:
    made = uploaded(spec, ("a.wav", SOUND.wav()))
    array = made.read()
    assert array is not None
    assert (array.dtype, array.shape) == (spec.dtype, shape)
    assert np.allclose(array.ravel(), SOUND.samples, atol=1e-4)
    assert "800 samples, 0.05 s at 16,000 Hz as in the file, scaled to -1..1" in shown(made)


@pytest.mark.parametrize(
    ("spec", "content", "sentence"),
    [
        (takes("float32", -1, 900), SOUND.wav(), "takes float32 [-1, 900]; the sound becomes 800"),
        (takes("int16", -1, -1), SOUND.wav(), "the sound becomes 800 floats, one for each"),
        (takes("float32", -1), SOUND.wav()[:20], "no WAV file of one channel"),
    ],
)
def test_a_sound_that_does_not_fit_is_told(spec: TensorSpec, content: bytes, sentence: str) -> None:
    assert sentence in shown(uploaded(spec, ("a.wav", content)))


def test_a_sound_stays_a_file_for_a_string_input() -> None:
    assert sent(uploaded(TEXTS, ("a.wav", SOUND.wav()))) == [SOUND.wav()]


@pytest.mark.parametrize(
    ("dtype", "usual", "text", "low", "high"),
    [
        ("float32", "0..1", "-3..-2.5", -3, -2.5),
        ("float64", "0..1", "5 .. 5", 5, 5),
        ("uint8", "0..9", "250..255", 250, 255),
        ("int64", "0..9", "-9000000000000000000..-8000000000000000000", -9e18, -8e18),
        ("uint64", "0..9", "0..18446744073709551615", 0, 2**64),
        ("complex64", "0..1", "-1..0", -1, 0),
    ],
)
def test_the_range_of_random_numbers_is_shown_and_can_be_changed(
    dtype: str, usual: str, text: str, low: float, high: float
) -> None:
    made = editor(takes(dtype, 1000), editors.RANDOM)
    assert made.range is not None
    assert made.range.value == usual
    made.range.value = text
    array = made.read()
    assert array is not None
    assert array.dtype == dtype
    assert low <= array.real.min() <= array.real.max() <= high
    if low != high:
        assert len(np.unique(array)) > 5


@pytest.mark.parametrize(
    ("dtype", "text", "sentence"),
    [
        ("float32", "1", "A range is two numbers, such as -1..1, not '1'."),
        ("int8", "0..1.5", "A range is two numbers, such as 0..255, not '0..1.5'."),
        ("int8", "0..128", "int8 does not hold 0 to 128."),
        ("float16", "0..1e9", "float16 does not hold"),
        ("float32", "2..1", "from the smaller to the larger"),
        ("float32", "nan..1", "from the smaller to the larger"),
    ],
)
def test_a_range_that_is_none_is_told(dtype: str, text: str, sentence: str) -> None:
    made = editor(takes(dtype, 3), editors.RANDOM)
    assert made.range is not None
    made.range.value = text
    assert sentence in shown(made)
