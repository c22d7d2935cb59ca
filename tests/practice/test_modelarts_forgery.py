"""Nothing gets in: thousands of altered tokens and altered signed requests, each refused."""

import base64
import contextlib
import hashlib
import http.client
import json
import random
import string
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any, NamedTuple

import pytest
from cryptography.fernet import Fernet

from practice.modelarts.published import SERVICES
from tests import modelarts
from tests.modelarts import (
    APP_DIGITS,
    APP_IRIS,
    DIGITS,
    IRIS,
    JSON,
    SETOSA,
    Part,
    Running,
    Signed,
    authorization,
    flowers,
    form,
    form_headers,
    new_token,
    running,
    sign,
)

SEED, THREADS, BETWEEN = 20261121, 4, 50  # forgeries between two calls that must pass
SHARES = [
    pytest.param(0, 100, id="some"),
    pytest.param(100, 2000, id="all", marks=pytest.mark.nightly),
]
RIGHT = flowers(SETOSA)
LETTERS = string.ascii_letters + string.digits
URL_SAFE = LETTERS + "-_"
HEX = "0123456789abcdef"
# What a forgery may be answered: who is calling is not known, or there is no such call at all.
UNKNOWN, ELSEWHERE = {401}, {400, 401, 403, 404, 405}


class Forgery(NamedTuple):
    """A request that must be refused, and with what."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    statuses: set[int] = UNKNOWN


@pytest.fixture(scope="module")
def service() -> Iterator[Running]:
    with running() as one:
        yield one


# Altered tokens. Each function takes a token and another one and returns something else.


def other_than(chance: random.Random, letter: str, letters: str = URL_SAFE) -> str:
    return chance.choice([each for each in letters if each != letter])


def put(text: str, place: int, letters: str, instead: int = 0) -> str:
    """Put letters into a text, in place of as many as told."""
    return text[:place] + letters + text[place + instead :]


def one_changed(chance: random.Random, token: str, other: str) -> str:
    place = chance.randrange(len(token))
    return put(token, place, other_than(chance, token[place]), 1)


def one_removed(chance: random.Random, token: str, other: str) -> str:
    return put(token, chance.randrange(len(token)), "", 1)


def one_inserted(chance: random.Random, token: str, other: str) -> str:
    return put(token, chance.randrange(len(token) + 1), chance.choice(URL_SAFE))


def case_swapped(chance: random.Random, token: str, other: str) -> str:
    place = chance.choice([n for n, letter in enumerate(token) if letter.isalpha()])
    return put(token, place, token[place].swapcase(), 1)


def all_in_one_case(chance: random.Random, token: str, other: str) -> str:
    return chance.choice((token.upper(), token.lower(), token.swapcase()))


def two_exchanged(chance: random.Random, token: str, other: str) -> str:
    first, second = sorted(chance.sample(range(len(token)), 2))
    swapped = put(put(token, first, token[second], 1), second, token[first], 1)
    return swapped if swapped != token else token[::-1]


def truncated(chance: random.Random, token: str, other: str) -> str:
    length = chance.randrange(1, len(token))
    return chance.choice((token[:length], token[length:]))


def spliced(chance: random.Random, token: str, other: str) -> str:
    place = chance.randrange(20, len(token) - 20)  # they begin alike
    return chance.choice((token[:place] + other[place:], token + other, token + token))


def last_letter_changed(chance: random.Random, token: str, other: str) -> str:
    place = len(token.rstrip("=")) - 1
    return put(token, place, other_than(chance, token[place]), 1)


def padding_changed(chance: random.Random, token: str, other: str) -> str:
    bare = token.rstrip("=")
    forms = [bare + "=" * count for count in range(6)] + [f"={token}", put(token, 40, "=")]
    return chance.choice([each for each in forms if each != token])


def standard_alphabet(chance: random.Random, token: str, other: str) -> str:
    standard = token.replace("-", "+").replace("_", "/")
    return standard if standard != token else token + chance.choice("+/")


def something_inside(chance: random.Random, token: str, other: str) -> str:
    strange = (
        " ",
        "\t",
        "\xa0",
        "\x85",
        "%",
        "%3D",
        ",",
        ";",
        ".",
        "!",
        "\xff",
        "\xe9",
        "+",
        "/",
        "*",
    )
    return put(token, chance.randrange(1, len(token)), chance.choice(strange))


def something_around(chance: random.Random, token: str, other: str) -> str:
    around = (
        "{}\xa0",
        "\xa0{}",
        "{}\x85",
        "{},",
        "{};",
        '"{}"',
        "'{}'",
        "Bearer {}",
        "{}, {}",
        "<{}>",
        "{}%20",
        "{}.",
        "{}!",
        "{}\xff",
        "b'{}'",
        "token={}",
        "MII{}",
        "{}\x0c",
    )
    return chance.choice(around).replace("{}", token)


def bit_flipped(chance: random.Random, token: str, other: str) -> str:
    content = bytearray(base64.urlsafe_b64decode(token))
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return base64.urlsafe_b64encode(content).decode()


def part_of_another(chance: random.Random, token: str, other: str) -> str:
    """Version, time, vector, text and seal: any of them from another token."""
    one, two = (base64.urlsafe_b64decode(each) for each in (token, other))
    first, end = chance.choice(((1, 9), (9, 25), (25, -32), (len(one) - 32, len(one)), (1, 25)))
    mixed = one[:first] + two[first:end] + one[end:]
    # The times of two tokens made within a second are equal.
    return (
        base64.urlsafe_b64encode(mixed).decode()
        if mixed != one
        else bit_flipped(chance, token, other)
    )


def own_making(chance: random.Random, token: str, other: str) -> str:
    key = chance.choice((Fernet.generate_key(), base64.urlsafe_b64encode(bytes(32))))
    now = time.time()
    said: Any = chance.choice(([], {}, None, "x", 0))
    if chance.random() < 0.5:
        said = ["user", "project", "domain", now, now + 86400]
    return Fernet(key).encrypt(json.dumps(said).encode()).decode()


def nothing_of_it(chance: random.Random, token: str, other: str) -> str:
    made_up = "".join(chance.choices(URL_SAFE, k=len(token)))
    return chance.choice(("", "0", "null", "None", "undefined", "{{token}}", made_up, token[:1]))


TOKEN_FORGERIES: list[Callable[[random.Random, str, str], str]] = [
    one_changed,
    one_removed,
    one_inserted,
    case_swapped,
    all_in_one_case,
    two_exchanged,
    truncated,
    spliced,
    last_letter_changed,
    padding_changed,
    standard_alphabet,
    something_inside,
    something_around,
    bit_flipped,
    part_of_another,
    own_making,
    nothing_of_it,
]


def forged_token(chance: random.Random, service: Running, number: int) -> tuple[str, Forgery]:
    kind = TOKEN_FORGERIES[number % len(TOKEN_FORGERIES)]
    tokens = [new_token(service), service.token]
    chance.shuffle(tokens)
    token = kind(chance, *tokens)
    assert token.strip(" \t") not in tokens, kind.__name__
    managing = f"/v1/{service.account['project_id']}/services"
    method, target = chance.choice((("POST", IRIS), ("POST", DIGITS), ("GET", managing)))
    headers = [*JSON.items(), ("X-Auth-Token", token)]
    if chance.random() < 0.05:  # a true one where none is looked for
        token = tokens[0]
        headers = [
            *JSON.items(),
            chance.choice(
                (
                    ("Authorization", f"Bearer {token}"),
                    ("Authorization", token),
                    ("Cookie", token),
                    ("X-Subject-Token", token),
                    ("X-Auth-Tokens", token),
                    ("X_Auth_Token", token),
                    ("X-Apig-AppCode", token),
                    ("X-Security-Token", token),
                )
            ),
        ]
        target += chance.choice(("", f"?X-Auth-Token={token}"))
    # What HTTP does not allow in a header ends before anybody looks at the token.
    statuses = UNKNOWN | ({400} if "\x0c" in token else set())
    return kind.__name__, Forgery(
        method, target, headers, RIGHT if method == "POST" else b"", statuses
    )


# Altered signed requests. Each function takes a request and returns another one with the same
# signature, or None when there is nothing to alter in this one.


class Base(NamedTuple):
    """A signed request, and whether its signature covers the body."""

    signed: Signed
    key: str
    covers_body: bool

    @property
    def names(self) -> list[str]:
        """The names of the headers that are signed."""
        return self.signed.authorization["SignedHeaders"].split(";")


Change = Callable[[random.Random, Running, Base], Forgery | None]


def bases(chance: random.Random, service: Running) -> Base:
    """Sign something: JSON, a form or a management call, with the AK or as an app."""
    key = chance.choice(("ak", "ak", "appkey"))
    kind = chance.randrange(4)
    ahead = chance.randrange(-600, 600)
    if kind == 0:
        body = form(Part(modelarts.digit("7")))
        target = DIGITS if key == "ak" else APP_DIGITS
        signed = sign(service, target, body, form_headers(), key=key, ahead=ahead)
        return Base(signed, key, covers_body=False)
    if kind == 1:
        path = f"/v1/{service.account['project_id']}/services"
        path += chance.choice(
            ("", f"/{SERVICES['iris'].id}", "?limit=2", "?status=running&limit=1")
        )
        return Base(sign(service, path, method="GET", ahead=ahead), "ak", covers_body=True)
    target = IRIS if key == "ak" else APP_IRIS
    target += chance.choice(("", "", "?a=1", "?a=1&b=%C3%A9", "?q=%FF"))
    more = chance.choice(({}, {"X-Project-Id": "p1"}, {"X-Note": "a  b"}))
    only = "" if chance.random() < 0.8 else "host;x-sdk-date"
    signed = sign(service, target, RIGHT, {**JSON, **more}, key=key, ahead=ahead, only=only)
    return Base(signed, key, covers_body=True)


def altered(base: Base, statuses: set[int] = UNKNOWN, **changed: Any) -> Forgery:
    """Return the request with parts of it replaced."""
    signed = base.signed._replace(**changed)
    pairs = signed.headers
    headers = list(pairs.items()) if isinstance(pairs, dict) else list(pairs)
    return Forgery(signed.method, signed.target, headers, signed.body, statuses)


def with_header(base: Base, name: str, value: str | None, statuses: set[int] = UNKNOWN) -> Forgery:
    """Return the request with one header set, or left out."""
    headers = {
        key: text for key, text in base.signed.headers.items() if key.lower() != name.lower()
    }
    return altered(base, statuses, headers=headers if value is None else {**headers, name: value})


def with_parts(base: Base, access: str = "", names: str = "", value: str = "") -> Forgery:
    """Return the request with parts of its authorization replaced."""
    known = base.signed.authorization
    text = authorization(
        access or known["Access"], names or known["SignedHeaders"], value or known["Signature"]
    )
    return with_header(base, "Authorization", text)


def signature_digit(chance: random.Random, service: Running, base: Base) -> Forgery:
    value = base.signed.authorization["Signature"]
    place = chance.randrange(64)
    return with_parts(base, value=put(value, place, other_than(chance, value[place], HEX), 1))


def signature_form(chance: random.Random, service: Running, base: Base) -> Forgery:
    value = base.signed.authorization["Signature"]
    forms = (
        value[:-1],
        value + "0",
        value[:32],
        value * 2,
        value.upper(),
        value.title(),
        "0" * 64,
        value[::-1],
        f" {value}",
        f"0x{value}",
        value[:-1] + "g",
        value + "\xa0",
        "None",
        base64.b64encode(bytes.fromhex(value)).decode(),
        value + ", Extra=1",
    )
    return with_parts(base, value=chance.choice([each for each in forms if each != value]))


def method(chance: random.Random, service: Running, base: Base) -> Forgery:
    methods = ("GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "post", "get", "POSTS")
    new = chance.choice([each for each in methods if each != base.signed.method])
    return altered(base, ELSEWHERE, method=new)


def another_service(chance: random.Random, service: Running, base: Base) -> Forgery | None:
    path, mark, query = base.signed.target.partition("?")
    others = [each for pair in SERVICES.values() for each in (pair.path, pair.app_path)]
    if path not in others:
        return altered(base, ELSEWHERE, target=f"{path}/{SERVICES['digits'].id}{mark}{query}")
    return altered(
        base, target=chance.choice([each for each in others if each != path]) + mark + query
    )


def path_longer(chance: random.Random, service: Running, base: Base) -> Forgery:
    path, mark, query = base.signed.target.partition("?")
    more = chance.choice(("/x", "//", "/.", "/%2E", "x", "/%20", "%00", ";a=b", "/..", "//x/"))
    return altered(base, ELSEWHERE, target=path + more + mark + query)


def path_letter(chance: random.Random, service: Running, base: Base) -> Forgery:
    target = base.signed.target
    place = chance.randrange(1, len(target.partition("?")[0]))
    new = other_than(chance, target[place], string.ascii_lowercase + string.digits)
    return altered(base, ELSEWHERE, target=put(target, place, new, 1))


def query_more(chance: random.Random, service: Running, base: Base) -> Forgery:
    target = base.signed.target
    more = chance.choice(("a=2", "limit=3", "status=stopped", "x", "=", "=1", "a=1", "%00=1", "é"))
    mark = "&" if "?" in target else "?"
    return altered(base, target=target + mark + more.replace("é", "%C3%A9"))


def query_behind_a_fragment(chance: random.Random, service: Running, base: Base) -> Forgery:
    target = base.signed.target
    mark = "" if "?" in target else "?"
    more = chance.choice(("#", "#&status=stopped", "#a=1", "#&", "#?limit=3"))
    return altered(base, target=target + mark + more)


def query_fewer(chance: random.Random, service: Running, base: Base) -> Forgery | None:
    path, mark, query = base.signed.target.partition("?")
    if not mark:
        return None
    pairs = query.split("&")
    pairs.pop(chance.randrange(len(pairs)))
    return altered(base, target=path + ("?" if pairs else "") + "&".join(pairs))


def query_changed(chance: random.Random, service: Running, base: Base) -> Forgery | None:
    path, mark, query = base.signed.target.partition("?")
    if not mark:
        return None
    forms = (
        query.upper(),
        query + "0",
        f"0{query}",
        query.replace("=", "%3D"),
        query[:-1],
        query.replace("%FF", "%FE"),
        query.replace("%FF", "%EF%BF%BD"),
        query.replace("&", ";"),
        query.replace("%C3%A9", "%E9"),
        query.replace("1", "2"),
        f"{query}%20",
        f"{query}+",
        query.replace("&", "%26"),
        query.replace("=", "=="),
        "&".join([query] * 2),
    )
    return altered(
        base, target=f"{path}?{chance.choice([each for each in forms if each != query])}"
    )


def body_bit(chance: random.Random, service: Running, base: Base) -> Forgery | None:
    if not base.covers_body or not base.signed.body:
        return None
    body = bytearray(base.signed.body)
    body[chance.randrange(len(body))] ^= 1 << chance.randrange(8)
    return altered(base, body=bytes(body))


def body_length(chance: random.Random, service: Running, base: Base) -> Forgery | None:
    if not base.covers_body:
        return None
    body = base.signed.body
    forms = (
        body + b" ",
        b" " + body,
        body[:-1],
        body[1:],
        body * 2,
        b"",
        body + b"\n",
        b"{}",
        body + b"\0",
        body.replace(b"0.2", b"0.20"),
        body.replace(b'"', b"'"),
    )
    return altered(base, body=chance.choice([each for each in forms if each != body]))


def content_type(chance: random.Random, service: Running, base: Base) -> Forgery | None:
    if "content-type" not in base.names:
        return None
    old = base.signed.headers["Content-Type"]
    forms = (
        f"{old};",
        f"{old}; charset=utf-8",
        "text/plain",
        old.upper(),
        f"{old}\xa0",
        f"\xa0{old}",
        f"{old}\x85",
        f"{old}\x1f",
        old.replace("/", "/ "),
        "",
        f"{old},{old}",
        None,
        "multipart/form-data; boundary=b",
        "application/bson",
    )
    new = chance.choice([each for each in forms if each != old])
    return with_header(base, "Content-Type", new, UNKNOWN | {400})


def date(chance: random.Random, service: Running, base: Base) -> Forgery:
    old = base.signed.headers["X-Sdk-Date"]
    second = f"{(int(old[-3:-1]) + 1) % 60:02}"
    forms = (
        put(old, 13, second, 2),
        "20200101T000000Z",
        "20990101T000000Z",
        None,
        old.lower(),
        "",
        f"{old}\xa0",
        old[:-1],
        f"{old[:-1]}+0000",
        f"{old}, {old}",
        old.replace("T", " "),
        "0",
        "now",
    )
    return with_header(base, "X-Sdk-Date", chance.choice(forms))


def host(chance: random.Random, service: Running, base: Base) -> Forgery:
    forms = (
        "localhost",
        f"localhost:{service.port}",
        "127.0.0.1",
        "example.com",
        "",
        "[",
        "[::1",
        f"{service.host}.",
        f"user@{service.host}",
        f"{service.host}?a=1",
        f"{service.host}#",
        f"{service.host}\xa0",
        "a b",
        "\xe9",
        f"{service.host}/",
    )
    return with_header(base, "Host", chance.choice(forms), UNKNOWN | {400})


def names_in_another_order(chance: random.Random, service: Running, base: Base) -> Forgery | None:
    names = list(base.names)
    chance.shuffle(names)
    return with_parts(base, names=";".join(names)) if names != base.names else None


def names_fewer(chance: random.Random, service: Running, base: Base) -> Forgery:
    names = list(base.names)
    names.pop(chance.randrange(len(names)))
    return with_parts(base, names=";".join(names) or ";")


def names_more(chance: random.Random, service: Running, base: Base) -> Forgery:
    more = chance.choice(
        (
            chance.choice(base.names),
            "x-none",
            "authorization",
            "",
            "content-length",
            "server",
            "\xe9",
            "a:b",
            "x-sdk-date:x",
            "*",
        )
    )
    names = [*base.names, more]
    return with_parts(base, names=";".join(chance.choice((names, sorted(names), names[::-1]))))


def names_in_another_form(chance: random.Random, service: Running, base: Base) -> Forgery:
    text = ";".join(base.names)
    forms = (
        text.upper(),
        text.title(),
        text.replace(";", ","),
        f";{text}",
        f"{text};",
        f" {text}",
        text.replace(";", "; "),
        text.replace("-", "_"),
        text.replace(";", ";;"),
        f"{text}\xa0",
        text.replace("x-sdk-date", "x-sdk-dat\xe9"),
    )
    return with_parts(base, names=chance.choice(forms))


def header_twice(chance: random.Random, service: Running, base: Base) -> Forgery:
    name = chance.choice([each for each in base.signed.headers if each.lower() in base.names])
    value = base.signed.headers[name]
    more = (name, chance.choice((value, "x", "")))
    pairs = list(base.signed.headers.items())
    twice = chance.choice(([*pairs, more], [more, *pairs]))
    return altered(base, UNKNOWN | {400}, headers=twice)


def header_changed(chance: random.Random, service: Running, base: Base) -> Forgery | None:
    names = [each for each in base.signed.headers if each in ("X-Project-Id", "X-Note")]
    if not names or names[0].lower() not in base.names:
        return None
    forms = ("p2", "a b", "a  b c", "a\tb", "", None, "A  B", "a  b\xa0", "\x1cp1")
    return with_header(base, names[0], chance.choice(forms), UNKNOWN | {400})


def authorization_twice(chance: random.Random, service: Running, base: Base) -> Forgery:
    good = base.signed.headers["Authorization"]
    first = chance.choice(
        ("Bearer x", good[:-1] + other_than(chance, good[-1], HEX), good[:-1], "x")
    )
    rest = [pair for pair in base.signed.headers.items() if pair[0] != "Authorization"]
    return altered(base, headers=[("Authorization", first), *rest, ("Authorization", good)])


def authorization_form(chance: random.Random, service: Running, base: Base) -> Forgery:
    good = base.signed.headers["Authorization"]
    forms = (
        good.lower(),
        good.replace("SDK-HMAC-SHA256 ", "SDK-HMAC-SM3 "),
        good.replace("SDK-HMAC-SHA256 ", "V11-HMAC-SHA256 "),
        good.replace("Access", "Credential"),
        good.replace("SDK-HMAC-SHA256 ", "Basic "),
        good.replace("SDK-HMAC-SHA256 ", ""),
        good.replace("Access=", "Access=x, Access="),
        f"{good}\xa0",
        f"{good},",
        f"{good} {good}",
        good.replace("SHA256", "SHA256\xa0"),
        good.replace("Signature=", "signature="),
        f"{good}, Signature={'0' * 64}",
        good.replace(", ", "; "),
        "SDK-HMAC-SHA256",
        "",
    )
    return with_header(base, "Authorization", chance.choice(forms))


def access(chance: random.Random, service: Running, base: Base) -> Forgery:
    known = base.signed.authorization["Access"]
    place = chance.randrange(len(known))
    other = service.account["appkey" if base.key == "ak" else "ak"]
    forms = (
        other,
        known.swapcase(),
        known[:-1],
        known + "0",
        known[::-1],
        f"{known}\xa0",
        "0",
        put(known, place, other_than(chance, known[place], LETTERS), 1),
        known * 2,
    )
    return with_parts(base, access=chance.choice([each for each in forms if each != known]))


def unsigned_payload_added(chance: random.Random, service: Running, base: Base) -> Forgery | None:
    if not base.signed.body or not base.covers_body:
        return None
    hashes = [hashlib.sha256(each).hexdigest() for each in (base.signed.body, b"", b"{}")]
    value = chance.choice(("UNSIGNED-PAYLOAD", "unsigned-payload", "", "x", *hashes))
    changed = base.signed.body if chance.random() < 0.5 else base.signed.body + b" "
    headers = base.signed.headers | {"X-Sdk-Content-Sha256": value}
    if chance.random() < 0.3:  # and said to be signed, which it was not
        names = ";".join(sorted([*base.names, "x-sdk-content-sha256"]))
        value = base.signed.authorization["Signature"]
        text = authorization(base.signed.authorization["Access"], names, value)
        headers |= {"Authorization": text}
    return altered(base, headers=headers, body=changed)


def unsigned_payload_changed(chance: random.Random, service: Running, base: Base) -> Forgery | None:
    if base.covers_body:
        return None
    own = hashlib.sha256(base.signed.body).hexdigest()
    forms = (
        own,
        "unsigned-payload",
        "UNSIGNED-PAYLOADS",
        "",
        None,
        "UNSIGNED-PAYLOAD\xa0",
        own.upper(),
        hashlib.sha256(b"").hexdigest(),
        "STREAMING-UNSIGNED-PAYLOAD",
    )
    return with_header(base, "X-Sdk-Content-Sha256", chance.choice(forms))


def other_secret(chance: random.Random, service: Running, base: Base) -> Forgery:
    """Sign it anew, all as it should be, with a secret that is nearly right."""
    known, signed = service.account, base.signed
    own, other = ("sk", "appsecret") if base.key == "ak" else ("appsecret", "sk")
    secret = known[own]
    place = chance.randrange(len(secret))
    forms = (
        put(secret, place, other_than(chance, secret[place], LETTERS), 1),
        secret[:-1],
        "",
        secret + "0",
        secret.swapcase(),
        known[other],
        known[base.key],
        secret[::-1],
        known["appcode"],
        known["password"],
        f"AWS4{secret}",
        f"{secret} ",
    )
    names, moment = signed.authorization["SignedHeaders"], signed.headers["X-Sdk-Date"]
    canonical = modelarts.canonical_request(
        signed.method, signed.target, signed.headers, names, signed.body
    )
    return with_parts(base, value=modelarts.signature(canonical, moment, chance.choice(forms)))


def other_recipe(chance: random.Random, service: Running, base: Base) -> Forgery:
    """Sign it anew with the right secret, in a way that is nearly right."""
    signed, names = base.signed, base.signed.authorization["SignedHeaders"]
    secret = service.account["sk" if base.key == "ak" else "appsecret"]
    moment = signed.headers["X-Sdk-Date"]
    canonical = modelarts.canonical_request(
        signed.method, signed.target, signed.headers, names, signed.body
    )
    forms = (
        hashlib.sha256((secret + canonical).encode()).hexdigest(),
        hashlib.sha256(canonical.encode()).hexdigest(),
        modelarts.signature(canonical.lower(), moment, secret),
        modelarts.signature(canonical + "\n", moment, secret),
        modelarts.signature(canonical.replace("/\n", "\n", 1), moment, secret),
        modelarts.signature(canonical, "20260101T000000Z", secret),
        modelarts.signature(canonical, f"{moment}\n", secret),
        modelarts.signature("", moment, secret),
        modelarts.signature(canonical.replace("\n", "\r\n"), moment, secret),
    )
    return with_parts(base, value=chance.choice(forms))


def another_door(chance: random.Random, service: Running, base: Base) -> Forgery:
    """Sign it rightly for a door that these credentials do not open."""
    key, target = chance.choice((("appkey", IRIS), ("ak", APP_IRIS), ("appkey", "services")))
    if target == "services":
        target = f"/v1/{service.account['project_id']}/services"
        return altered(base._replace(signed=sign(service, target, method="GET", key=key)), {403})
    return altered(base._replace(signed=sign(service, target, RIGHT, key=key)))


def too_old(chance: random.Random, service: Running, base: Base) -> Forgery:
    """Sign it rightly for a time that is over, or has not come."""
    ahead = chance.choice((-1, 1)) * chance.randrange(960, 10**8)
    target = IRIS if base.key == "ak" else APP_IRIS
    signed = sign(service, target, RIGHT, key=base.key, ahead=ahead)
    return altered(base._replace(signed=signed))


SIGNATURE_FORGERIES: list[Change] = [
    signature_digit,
    signature_form,
    method,
    another_service,
    path_longer,
    path_letter,
    query_more,
    query_behind_a_fragment,
    query_fewer,
    query_changed,
    body_bit,
    body_length,
    content_type,
    date,
    host,
    names_in_another_order,
    names_fewer,
    names_more,
    names_in_another_form,
    header_twice,
    header_changed,
    authorization_twice,
    authorization_form,
    access,
    unsigned_payload_added,
    unsigned_payload_changed,
    other_secret,
    other_recipe,
    another_door,
    too_old,
]


def same_request(forgery: Forgery, signed: Signed) -> bool:
    """Whether nothing was altered that a signature covers, as with another order of a query."""
    headers = dict(forgery.headers)
    if (
        len(headers) < len(forgery.headers)
        or headers.get("Authorization") != signed.headers["Authorization"]
    ):
        return False
    names = signed.authorization["SignedHeaders"]
    try:
        texts = [
            modelarts.canonical_request(each.method, each.target, each.headers, names, each.body)
            for each in (forgery, signed)
        ]
    except KeyError:  # a signed header is missing
        return False
    return texts[0] == texts[1] and forgery.method == signed.method


def forged_signature(chance: random.Random, service: Running, number: int) -> tuple[str, Forgery]:
    kind = SIGNATURE_FORGERIES[number % len(SIGNATURE_FORGERIES)]
    while True:
        base = bases(chance, service)
        forgery = kind(chance, service, base)
        if forgery is None or same_request(forgery, base.signed):
            continue
        if "/services" in forgery.target:
            forgery = forgery._replace(statuses=forgery.statuses | {403})
        return kind.__name__, forgery


# Sending them.


def refused(connection: http.client.HTTPSConnection, forgery: Forgery) -> str:
    """Send a forgery; returns what is wrong with the answer, or nothing."""
    body = forgery.body or None
    try:
        answer = modelarts.ask(connection, forgery.target, body, forgery.headers, forgery.method)
    except (http.client.HTTPException, OSError) as error:
        connection.close()
        return f"no answer: {error!r}"
    if answer.status == 200:
        return f"ACCEPTED: {answer.body[:200]!r}"
    if answer.status not in forgery.statuses:
        return f"{answer.status}, not one of {forgery.statuses}: {answer.body[:200]!r}"
    return ""


def passes(service: Running, connection: http.client.HTTPSConnection, number: int) -> bool:
    """Whether a call that is right is answered."""
    key, target = (("ak", IRIS), ("appkey", APP_IRIS))[number // BETWEEN % 2]
    signed = sign(service, target, RIGHT, key=key)
    found = [
        modelarts.ask(connection, target, RIGHT, signed.headers),
        modelarts.ask(connection, IRIS, RIGHT, service.with_token),
    ]
    return [answer.status for answer in found] == [200, 200]


Forger = Callable[[random.Random, Running, int], tuple[str, Forgery]]


def check(service: Running, forger: Forger, first: int, end: int) -> None:
    """Send forgeries, and between them calls that must pass."""

    def some(start: int) -> list[str]:
        found = []
        with contextlib.closing(service.connect()) as connection:
            for number in range(start, min(start + BETWEEN, end)):
                kind, forgery = forger(random.Random(SEED + number), service, number)
                problem = refused(connection, forgery)
                if problem:
                    found.append(f"{number}, {kind}: {problem}\n    {forgery}")
            if not passes(service, connection, start):
                found.append(f"after {number}: the right call was refused")
        return found

    assert service.token  # before the threads ask for it
    with futures.ThreadPoolExecutor(THREADS) as pool:
        problems = [each for many in pool.map(some, range(first, end, BETWEEN)) for each in many]
    assert not problems, f"{len(problems)} problems, such as\n" + "\n".join(problems[:10])
    assert "Traceback" not in service.written()


@pytest.mark.parametrize(("first", "end"), SHARES)
def test_no_altered_token_gets_in(service: Running, first: int, end: int) -> None:
    check(service, forged_token, first, end)


@pytest.mark.parametrize(("first", "end"), SHARES)
def test_no_altered_signed_request_gets_in(service: Running, first: int, end: int) -> None:
    check(service, forged_signature, first, end)


@pytest.mark.parametrize("kind", range(4))
def test_every_request_that_is_altered_would_pass_as_it_was(service: Running, kind: int) -> None:
    for number in range(kind, 40, 4):
        base = bases(random.Random(SEED + number), service)
        answer = base.signed.send(service)
        assert answer.status == 200, (base, answer)
