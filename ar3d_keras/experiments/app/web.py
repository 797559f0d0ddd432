"""The requests of the page: videos in, progress and answers out, corrections in."""

from __future__ import annotations

import errno
import json
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from ar3d_keras.errors import UserError
from ar3d_keras.experiments.app.answers import OVERLAY, VIEW, Answer
from ar3d_keras.experiments.app.corrections import Correction, Corrections
from ar3d_keras.experiments.app.guard import Guard
from ar3d_keras.experiments.app.jobs import Job, Jobs
from ar3d_keras.inference.limits import LONGEST
from ar3d_keras.reports import answer_page, page

LONGEST_NAME = 120  # letters of a file's name that are shown
LARGEST_CORRECTION = 10_000  # bytes
SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,5}")


@dataclass(frozen=True)
class Page:
    """What the requests need.

    Attributes:
        jobs: the videos.
        corrections: the CSV.
        about: what the page says of the network: name -> text.
        network: its name.
        max_megabytes: of a video.
        max_minutes: of a video.
        host: the address that the server listens on.
    """

    jobs: Jobs
    corrections: Corrections
    about: dict[str, object]
    network: str
    max_megabytes: float
    max_minutes: float
    host: str

    @property
    def max_bytes(self) -> int:
        return int(self.max_megabytes * 1e6)

    def application(self) -> Starlette:
        """The ASGI application."""
        routes = [
            Route("/", self.index),
            Route("/videos", self.receive, methods=["POST"]),
            Route("/videos/{id}", self.status),
            Route("/videos/{id}", self.remove, methods=["DELETE"]),
            Route("/videos/{id}/answer", self.answer),
            Route("/videos/{id}/page", self.saved),
            Route("/videos/{id}/correction", self.correct, methods=["POST"]),
            Route("/videos/{id}/{file}", self.video),
            Route("/{name}", self.asset),
        ]
        return Starlette(
            routes=routes,
            middleware=[Middleware(Guard, host=self.host)],
            exception_handlers={HTTPException: _failed, UserError: _refused, OSError: _broken},
        )

    def index(self, request: Request) -> Response:
        limits = (
            f"one or several, up to {self.max_megabytes:g} MB and {self.max_minutes:g} minutes each; "
            "they stay on the machine of this page"
        )
        return HTMLResponse(
            answer_page.app_page(
                network=self.network,
                about=self.about,
                class_names=self.corrections.class_names,
                limits=limits,
                max_bytes=self.max_bytes,
            )
        )

    def asset(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in answer_page.ASSETS:
            raise HTTPException(404, "there is no such page")
        return Response(answer_page.asset(name), media_type=answer_page.ASSETS[name][0])

    async def receive(self, request: Request) -> Response:
        """Streams a video to its file; its bytes are the body of the request."""
        name = _name(request.query_params.get("name", ""))
        too_large = f"{name} is too large: this server takes {self.max_megabytes:g} MB"
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > self.max_bytes:
            raise HTTPException(413, too_large)
        suffix = PurePosixPath(name).suffix
        job = self.jobs.new(name, suffix.lower() if SUFFIX.fullmatch(suffix) else "")
        size = 0
        try:
            with job.upload.open("wb") as file:
                async for chunk in request.stream():
                    size += len(chunk)
                    if size > self.max_bytes:
                        raise HTTPException(413, too_large)
                    await run_in_threadpool(file.write, chunk)
            if not size:
                raise HTTPException(400, f"{name} is empty: send a video file")
        except ClientDisconnect:
            self.jobs.forget(job)
            return Response(status_code=400)
        except BaseException:
            self.jobs.forget(job)
            raise
        self.jobs.submit(job)
        return JSONResponse({"id": job.id}, 202)

    def status(self, request: Request) -> Response:
        job = self._job(request)
        return JSONResponse(
            {
                "name": job.name,
                "state": job.state,
                "done": job.done,
                "total": job.total,
                "ahead": self.jobs.ahead(job) if job.state == "waiting" else 0,
                "answered": job.answer is not None,
                "error": job.error and page.visible(job.error),
            }
        )

    def remove(self, request: Request) -> Response:
        self.jobs.forget(self._job(request))
        return Response(status_code=204)

    def answer(self, request: Request) -> Response:
        job, answer = self._answered(request)
        return HTMLResponse(
            answer_page.answer_fragment(
                _content(answer),
                id=job.id,
                class_names=self.corrections.class_names,
                corrections=self.corrections.file,
            )
        )

    def saved(self, request: Request) -> Response:
        job, answer = self._answered(request)
        if job.state != "done":
            raise HTTPException(409, "the overlay is still being drawn")
        about = {"video": job.name, **self.about, "windows": _windows(answer)}
        video = job.folder / (OVERLAY if answer.maps else VIEW)
        text = answer_page.answer_page(_content(answer), video, about)
        stem = re.sub(r"[^A-Za-z0-9_-]+", "_", PurePosixPath(job.name).stem).strip("_") or "video"
        headers = {"Content-Disposition": f'attachment; filename="{stem}.html"'}
        return HTMLResponse(text, headers=headers)

    def video(self, request: Request) -> Response:
        job, file = self._job(request), request.path_params["file"]
        if file not in (VIEW, OVERLAY) or not (job.folder / file).is_file():
            raise HTTPException(404, "there is no such video")
        return FileResponse(job.folder / file, media_type="video/mp4")

    async def correct(self, request: Request) -> Response:
        """Takes {"label": ..., "by": ..., "start": ..., "end": ...}; the last three may be missing."""
        job, answer = self._answered(request)
        correction = _correction(await _body(request))
        text = await run_in_threadpool(self._add, job, answer, correction)
        return JSONResponse({"text": text})

    def _add(self, job: Job, answer: Answer, correction: Correction) -> str:
        known = {page.visible(name): name for name in self.corrections.class_names}
        correction = correction._replace(label=known.get(correction.label, correction.label))
        self.corrections.check(correction, answer.decoded.seconds)
        predicted = answer.predicted(correction.start, correction.end)
        replaced = self.corrections.add(correction, job.upload, job.name, predicted)
        earlier = f", in place of {replaced} earlier" if replaced else ""
        return page.visible(f"{correction.label} is in {self.corrections.file}{earlier}.")

    def _job(self, request: Request) -> Job:
        job = self.jobs.get(request.path_params["id"])
        if job is None:
            raise HTTPException(404, "this video is no longer here: drop it again")
        return job

    def _answered(self, request: Request) -> tuple[Job, Answer]:
        job = self._job(request)
        if job.answer is None:
            raise HTTPException(409, "this video is not predicted yet")
        return job, job.answer


def _name(given: str) -> str:
    """The last part of a file's name, on one line."""
    name = page.visible(given.replace("\\", "/").rpartition("/")[2].strip())
    if len(name) > LONGEST_NAME:
        suffix = PurePosixPath(name).suffix[:6]
        name = name[: LONGEST_NAME - len(suffix) - 1] + "…" + suffix
    return name or "video"


def _content(answer: Answer) -> dict[str, Any]:
    decoded = answer.decoded
    return answer_page.answer_content(
        answer.prediction, decoded.seconds, decoded.damage, answer.maps
    )


def _windows(answer: Answer) -> str:
    decoded = answer.decoded
    if decoded.window_seconds >= LONGEST:
        return "the whole video"
    hop = decoded.hop_seconds
    every = f", every {hop:.3g} s" if hop != decoded.window_seconds else ""
    return f"{decoded.window_seconds:.3g} s{every}"


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_CORRECTION:
            raise HTTPException(413, "the correction is too large")
    return body


def _correction(body: bytes) -> Correction:
    try:
        content = json.loads(body)
        label, by = content["label"], content.get("by", "")
        times = [content.get(name) for name in ("start", "end")]
        if not isinstance(label, str) or not isinstance(by, str):
            raise TypeError
        start, end = (None if time is None else float(time) for time in times)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise HTTPException(
            400, "a correction has the label, and if wanted by, start and end"
        ) from None
    return Correction(label, by.strip(), start, end)


def _failed(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": error.detail}, error.status_code)


def _refused(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": page.visible(str(error))}, 400)


def _broken(request: Request, error: Exception) -> Response:
    """The disk is full or a folder cannot be written."""
    assert isinstance(error, OSError)
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    text = f"the server cannot write ({error.strerror or error})"
    return JSONResponse({"error": page.visible(text)}, 507 if full else 500)
