"""`/v1/jobs`: videos with any plan, how far they are, their records."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from vision.errors import VisionError
from vision.serve.answers import Refusal, answer, error_answer
from vision.serve.jobs import records_of
from vision.serve.openapi import JOB, content, refusals
from vision.serve.safety import Refused
from vision.serve.service import Service
from vision.serve.upload import received

_PLAN = {"type": "object", "description": 'tasks with their options: {"detect": {"min_score": 0.4}, "track": {}}'}
_BODY = {"schema": {"type": "string", "format": "binary"}}
_BEGIN = {
    "parameters": [{"name": "options", "in": "query", "required": True, "description": "the plan",
                    "content": {"application/json": {"schema": _PLAN}}}],
    "requestBody": {"required": True, "content": {"video/mp4": _BODY, "video/webm": _BODY}},
}


def job_routes(service: Service) -> APIRouter:
    """The routes of jobs."""
    router = APIRouter(tags=["jobs"])

    @router.post("/v1/jobs", operation_id="begin_job", responses={
        202: content(JOB, "the video waits or is under way"), **refusals(400, 408, 413, 415, 422, 500, 503),
    }, openapi_extra=_BEGIN)
    async def begin(request: Request) -> Response:
        """Begin a job: a video, and a plan of several tasks."""
        upload = None
        try:
            service.check_ready()
            upload = await received(request, service.limits, service.folder)
            if upload.video is None:
                raise Refusal(415, "kind", "a job is of a video. Pictures go to /v1/{task}.")
            await service.have(list(upload.options))
            plan = service.asked(upload.options)
            video, upload.video = upload.video, None
            job = service.jobs.add(video, plan, request.client.host if request.client else "")
            return answer(job.described(), 202, {"location": f"/v1/jobs/{job.id}"})
        except (ConnectionError, Refused):               # by the layer around us, while the body came
            raise
        except Exception as error:
            return error_answer(error)
        finally:
            if upload is not None and upload.video is not None:
                upload.video[1].unlink(missing_ok=True)

    @router.get("/v1/jobs/{job}", operation_id="job", responses={
        200: content(JOB, "the job as it stands"), **refusals(404)})
    def described(job: str) -> Response:
        """How far a job is."""
        try:
            return answer(service.jobs.find(job).described())
        except VisionError as error:
            return error_answer(error)

    @router.get("/v1/jobs/{job}/records", operation_id="job_records", responses={
        200: {"description": "a record a line, as they come, until the job is over",
              "content": {"application/x-ndjson": {"schema": {"type": "string"}}}}, **refusals(404)})
    async def records(job: str) -> Response:
        """The records of a job, from the first on."""
        try:
            lines = records_of(service.jobs.find(job), service.ending)
            return StreamingResponse(lines, media_type="application/x-ndjson")
        except VisionError as error:
            return error_answer(error)

    @router.delete("/v1/jobs/{job}", operation_id="stop_job", responses={
        200: content(JOB, "it ends at the next frame"), **refusals(404)})
    def stop(job: str) -> Response:
        """End a job; the records so far can still be read."""
        try:
            return answer(service.jobs.stop(job).described())
        except VisionError as error:
            return error_answer(error)

    return router
