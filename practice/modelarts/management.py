"""The management calls: which services there are, how they do, and starting or stopping one."""

import json
import re
from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from practice.host import students
from practice.modelarts import published
from practice.modelarts.account import Account
from practice.modelarts.answers import Refusal, dispatcher, iam_policy
from practice.modelarts.callers import Callers, NotKnown
from practice.modelarts.models import Deployment

_PATH = re.compile(r"/v1/([^/]+)/services(?:/([^/]+))?")
_SORTS = {"service_name", "publish_at", "status", "invocation_times"}
_FILTERS = ("service_id", "service_name", "model_id", "status", "infer_type")
# Platform codes for what Callers finds wrong, and their texts.
_NOT_KNOWN = {
    "missing": (401, "0201", "The token does not exist."),
    "expired": (401, "0202", "The token expired."),
    "token": (401, "0203", "The token is invalid."),
    "signature": (403, "0206", "The AK/SK is invalid."),
}


def is_path(path: str) -> bool:
    """Whether a path is one of a management call."""
    return _PATH.fullmatch(path) is not None


def check(account: Account, callers: Callers, request: Request, body: bytes) -> None:
    """Refuse who is not known, or asks for another project."""
    try:
        token = callers.user(request, body)
    except NotKnown as error:
        raise dispatcher(*_NOT_KNOWN[error.kind]) from error
    if token is not None and not token.project_id:
        raise dispatcher(401, "0212", "The token is not for a project.")
    if _parts(request)[0] != account.kept["project_id"]:
        raise dispatcher(403, "0210", "The project ID in the URL is not that of the token.")


def answer(
    account: Account, deployments: Mapping[str, Deployment], request: Request, body: bytes
) -> Response:
    """Answer a call that was let in."""
    _, wanted = _parts(request)
    if wanted is None:
        if request.method != "GET":
            raise _not_allowed()
        return JSONResponse(_list(account, deployments, request.query_params))
    by_id = {published.SERVICES[name].id: deployments[name] for name in deployments}
    if wanted not in by_id:
        raise dispatcher(404, "3502", f"The service {wanted} does not exist.")
    deployment = by_id[wanted]
    if request.method == "PUT":
        if students.caller():  # it would be stopped for the whole class
            raise iam_policy()
        _change(deployment, body)
        return JSONResponse({})
    if request.method != "GET":
        raise _not_allowed()
    return JSONResponse(_details(account, deployment, request.headers.get("host", "")))


def _parts(request: Request) -> tuple[str, str | None]:
    parts = request.scope["path"].split("/")  # /v1/PROJECT/services/ID: the gateway saw to it
    return parts[2], parts[4] if len(parts) > 4 else None


def _list(
    account: Account, deployments: Mapping[str, Deployment], query: Mapping[str, str]
) -> dict[str, Any]:
    filters = {key: query[key] for key in _FILTERS if key in query}
    summaries = [_summary(account, deployment) for deployment in deployments.values()]
    services = [row for row in summaries if filters.items() <= row.items()]
    sort_by = query.get("sort_by", "publish_at")
    order = query.get("order", "desc")
    if sort_by not in _SORTS or order not in ("asc", "desc"):
        raise dispatcher(400, "0104", "sort_by or order has a value that it does not take.")
    services.sort(key=lambda row: row[sort_by], reverse=order == "desc")
    limit = _number(query, "limit", 1000)
    start = _number(query, "offset", 0) * limit  # offset counts pages
    page = services[start : start + limit]
    return {"total_count": len(services), "count": len(page), "services": page}


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise dispatcher(400, "0104", f"{name} has to be a whole number.")
    return int(text)


def _summary(account: Account, deployment: Deployment) -> dict[str, Any]:
    kept = account.kept
    return {
        "service_id": published.SERVICES[deployment.name].id,
        "service_name": deployment.name,
        "status": deployment.status,
        "infer_type": "real-time",
        "invocation_times": deployment.calls,
        "failed_times": deployment.failures,
        "owner": kept["user_id"],
        "project": kept["project_id"],
        "tenant": kept["domain_id"],
        "publish_at": int(1000 * deployment.published),
        "is_shared": False,
    }


def _details(account: Account, deployment: Deployment, host: str) -> dict[str, Any]:
    details = _summary(account, deployment)
    address = published.SERVICES[deployment.name]
    if deployment.status == "running":
        details["access_address"] = f"https://{host}{address.path}"
        details["bind_access_address"] = f"https://{host}{address.app_path}"
    if deployment.status == "deploying":
        details["progress"] = 50
    if deployment.error:
        details["error_msg"] = deployment.error
    details["config"] = [{"model_name": deployment.name, "model_version": "0.0.1", "weight": 100}]
    return details


def _change(deployment: Deployment, body: bytes) -> None:
    try:
        wanted = json.loads(body)["status"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise dispatcher(400, "0104", "The request has no status.") from error
    if wanted not in ("running", "stopped") or wanted == deployment.status:
        raise dispatcher(400, "0104", "status has to be running or stopped, and a change.")
    if deployment.status == "deploying":
        raise dispatcher(400, "0104", "The service is being deployed. Wait until it runs.")
    (deployment.start if wanted == "running" else deployment.stop)()


def _not_allowed() -> Refusal:
    return dispatcher(405, "0104", "Method Not Allowed")
