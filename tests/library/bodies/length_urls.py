"""A view that repeats the body of a request."""

from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt


@csrf_exempt
def echo(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{request.method} {request.body.decode()}")


urlpatterns = [path("echo/", echo)]
