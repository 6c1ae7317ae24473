"""The HTTP side: sign up, log in, and send a note."""

from django.contrib.auth import authenticate, get_user_model, login
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from pulse import notify


async def home(request: HttpRequest) -> HttpResponse:
    return render(request, "home.html", {"name": (await request.auser()).get_username()})


# These two are not async: hashing a password computes for a while, even in `acreate_user` and `aauthenticate`, and would hold
# up the event loop and with it everybody's socket. Django runs them in a thread.


def signup(request: HttpRequest) -> HttpResponse:
    try:
        get_user_model().objects.create_user(request.POST["name"], password=request.POST["password"])
    except (IntegrityError, ValueError):
        return HttpResponse("this name is taken, or none", status=409)
    return log_in(request)


def log_in(request: HttpRequest) -> HttpResponse:
    user = authenticate(request, username=request.POST["name"], password=request.POST["password"])
    if user is None:
        return HttpResponse("wrong name or password", status=401)
    login(request, user)
    return redirect("/")


async def note(request: HttpRequest) -> HttpResponse:
    user = await request.auser()
    if not user.is_authenticated:
        return HttpResponse("sign in first", status=401)
    await notify(user.get_username(), request.POST["text"])
    return HttpResponse(status=204)


urlpatterns = [path("", home), path("signup", signup), path("login", log_in), path("note", note)]
