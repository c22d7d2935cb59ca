"""Pages that are not a service's own: those of the web server and of its FastCGI library."""

from starlette.responses import Response

_UNHANDLED = """\
<!DOCTYPE HTML PUBLIC "-//IETF//DTD HTML 2.0//EN">
<html><head>
<title>Unhandled Exception</title>
</head><body>
<h1>Unhandled Exception</h1>
<p>An unhandled exception was thrown by the application.</p>
</body></html>
"""
_LIGHTTPD = """\
<?xml version="1.0" encoding="iso-8859-1"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"
         "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">
 <head>
  <title>{status} {reason}</title>
 </head>
 <body>
  <h1>{status} {reason}</h1>
 </body>
</html>
"""
_REASONS = {
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    413: "Payload Too Large",
}


def unhandled_exception() -> Response:
    """Return flup's page for an exception, 218 bytes without a traceback."""
    return Response(_UNHANDLED, 500, headers={"content-type": "text/html"})


def lighttpd(status: int, headers: dict[str, str] | None = None) -> Response:
    """Return lighttpd's own page for a status."""
    body = _LIGHTTPD.format(status=status, reason=_REASONS[status])
    return Response(body, status, headers={"content-type": "text/html", **(headers or {})})
