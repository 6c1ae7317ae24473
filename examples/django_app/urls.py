"""The HTTP side: sign up, log in, and send a note."""

from django.contrib.auth import aauthenticate, alogin, get_user_model
from django.db import IntegrityError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from pulse import notify


async def home(request: HttpRequest) -> HttpResponse:
    return render(request, "home.html", {"name": (await request.auser()).get_username()})


async def signup(request: HttpRequest) -> HttpResponse:
    try:
        await get_user_model().objects.acreate_user(request.POST["name"], password=request.POST["password"])
    except (IntegrityError, ValueError):
        return HttpResponse("this name is taken, or none", status=409)
    return await login(request)


async def login(request: HttpRequest) -> HttpResponse:
    user = await aauthenticate(request, username=request.POST["name"], password=request.POST["password"])
    if user is None:
        return HttpResponse("wrong name or password", status=401)
    await alogin(request, user)
    return redirect("/")


async def note(request: HttpRequest) -> HttpResponse:
    user = await request.auser()
    if not user.is_authenticated:
        return HttpResponse("sign in first", status=401)
    await notify(user.get_username(), request.POST["text"])
    return HttpResponse(status=204)


urlpatterns = [path("", home), path("signup", signup), path("login", login), path("note", note)]
