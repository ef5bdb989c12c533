"""Errors of requests as JSON with one line."""

import http
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from fpn_jax.serving.refusals import RETRY_SECONDS, Refused

_PATHS = "POST /detect, GET /docs says more"


def answer_errors(app: FastAPI) -> None:
    """Has the application answer every error with `{"error": "…"}`."""

    @app.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> JSONResponse:
        retry = {"Retry-After": str(RETRY_SECONDS)} if error.status == 503 else None
        return _line(error.status, error.line, retry)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return _line(422, _of_validation(error.errors()[0]))

    @app.exception_handler(HTTPException)
    async def by_framework(request: Request, error: HTTPException) -> JSONResponse:
        lines = {
            404: f"path: nothing is at {request.url.path[:80]!r}; {_PATHS}",
            405: f"method: {request.method[:20]} is not for {request.url.path!r}",
        }
        phrase = http.HTTPStatus(error.status_code).phrase
        line = lines.get(error.status_code, f"request: {phrase}")
        return _line(error.status_code, line, error.headers)

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        return _line(500, "server: it failed, which its log describes")


def _of_validation(problem: dict[str, Any]) -> str:
    name = problem["loc"][-1]
    bounds = problem.get("ctx", {}).keys() & {"ge", "le"}
    wanted = "must be 0 … 1" if bounds else problem["msg"]
    return f"{name}: {str(problem.get('input'))[:40]!r} given, {wanted}"


def _line(status: int, line: str, headers: Any = None) -> JSONResponse:
    return JSONResponse({"error": line}, status, headers)
