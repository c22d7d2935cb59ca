"""IAM: `POST /v3/auth/tokens` gives a token for a name and a password."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from practice.host.students import sign_in
from practice.modelarts.account import Account, Token, same, utc
from practice.modelarts.answers import Refusal, iam

PATH = "/v3/auth/tokens"


def tokens(account: Account, request: Request, body: bytes) -> Response:
    """Answer a request for a token."""
    if request.method != "POST":
        return iam(404, "Not Found", "The resource could not be found.").response
    auth = _part(_json(body), "auth")
    identity = _part(auth, "identity")
    if identity.get("methods") != ["password"]:
        raise _bad("auth.identity.methods has to be ['password']: this user has no other.")
    user = _part(_part(identity, "password"), "user")
    ours = _ours(account, user)
    if ours is None or not sign_in(ours.get("name", "")):
        raise iam(401, "Unauthorized", "Unauthorized.")
    scope = auth.get("scope", {})
    if not isinstance(scope, dict):
        raise _bad("auth.scope has to be an object.")
    project = "project" in scope  # it wins over a domain
    if project:
        _check_project(account, _part(scope, "project"))
    elif "domain" in scope and not _names(_part(scope, "domain"), account, "domain"):
        raise iam(401, "Unauthorized", "Unauthorized.")
    text, token = account.issue(
        ours["user_id"], project=project, domain="domain" in scope and not project
    )
    content = _content(account, token, ours["user"])
    if "nocatalog" not in request.query_params:
        content["catalog"] = _catalog(request)
    return JSONResponse({"token": content}, 201, {"X-Subject-Token": text})


def _json(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _bad("The request body is not JSON.") from error
    if not isinstance(content, dict):
        raise _bad("The request body has to be an object.")
    return content


def _part(whole: dict[str, Any], name: str) -> dict[str, Any]:
    part = whole.get(name)
    if not isinstance(part, dict):
        raise _bad(f"The request body has no object {name!r} where one is required.")
    return part


def _bad(message: str) -> Refusal:
    return iam(400, "Bad Request", message)


def _ours(account: Account, user: dict[str, Any]) -> Mapping[str, Any] | None:
    """Return which of our users it is, by id or by name and domain, with the right password."""
    if not isinstance(user.get("password"), str):
        raise _bad("The user has no password, or it is not text.")
    field, value = ("user_id", user["id"]) if "id" in user else ("user", user.get("name"))
    ours = account.user(field, value) if isinstance(value, str) else None
    # Compared in any case: the time tells nothing.
    right = same(user["password"], (ours or account.kept)["password"])
    named = field == "user_id" or (
        ours is not None and _names(_part(user, "domain"), account, "domain")
    )
    return ours if named and right else None


def _names(thing: dict[str, Any], account: Account, what: str) -> bool:
    """Whether a project or domain is ours, by its id or its name."""
    if "id" in thing:
        return _is(thing["id"], account.kept[f"{what}_id"])
    return _is(thing.get("name"), account.kept[what])


def _check_project(account: Account, project: dict[str, Any]) -> None:
    domain = project.get("domain")  # keystone's own clients send it beside the project's name
    fits = domain is None or (isinstance(domain, dict) and _names(domain, account, "domain"))
    if not (fits and _names(project, account, "project")):
        raise iam(400, "Bad Request", "There is no such project for this user.")


def _is(value: Any, expected: str) -> bool:
    return isinstance(value, str) and same(value, expected)


def _content(account: Account, token: Token, name: str) -> dict[str, Any]:
    kept = account.kept
    domain = {"id": kept["domain_id"], "name": kept["domain"]}
    user = {"id": token.user_id, "name": name, "password_expires_at": ""}
    content: dict[str, Any] = {
        "methods": ["password"],
        "expires_at": utc(token.expires),
        "issued_at": utc(token.issued),
        "user": {**user, "domain": domain},
        "roles": [{"id": "0", "name": "modelarts_practice"}],
    }
    if token.project_id:
        content["project"] = {"id": kept["project_id"], "name": kept["project"], "domain": domain}
    elif token.domain_id:
        content["domain"] = domain
    return content


def _catalog(request: Request) -> list[dict[str, Any]]:
    here = f"https://{request.headers.get('host', '')}"
    return [
        {
            "id": name,
            "name": name,
            "type": name,
            "endpoints": [
                {
                    "id": f"{name}-public",
                    "interface": "public",
                    "region": "*",
                    "region_id": "*",
                    "url": f"{here}/{version}",
                }
            ],
        }
        for name, version in (("iam", "v3"), ("modelarts", "v1"))
    ]
