"""A page that talks to FastAPI and to wspulse beside it, in one process. Run it in this folder:

    uvicorn fastapi_page:app

New text goes over HTTP to a route, as from any form; the route tells all windows. A window asks for what is there over the line,
when it opens and whenever it may have missed something.
"""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse
from pydantic import BaseModel

from wspulse import Context, EventRouter, Frame, Request, Server

PAGE = Path(__file__).with_name("fastapi_page.html")

router = EventRouter()
server = Server(resume_window=30, max_message_size=4096, on_message=router.dispatch)
app = FastAPI(lifespan=server.asgi_lifespan)
app.mount("/live", server.asgi())

notes: list[str] = []


class Note(BaseModel):
    text: str


@server.connect
def connect(request: Request) -> tuple[str, str]:
    return "board", ""


@router.on("notes")
async def all_notes(context: Context) -> list[str]:
    return notes


@app.post("/notes", status_code=204)
async def add(note: Note) -> None:
    notes.append(note.text)
    await server.broadcast("board", Frame("note", {"number": len(notes), "text": note.text}))


@app.get("/")
def page() -> FileResponse:
    return FileResponse(PAGE)
