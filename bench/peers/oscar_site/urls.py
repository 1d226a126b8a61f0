"""The API, whether the server is there, and where an order says that it can be paid."""

from django.http import HttpRequest, HttpResponse
from django.urls import include, path


def _nothing(_request: HttpRequest, **_: object) -> HttpResponse:
    return HttpResponse(status=200)


urlpatterns = [
    path("healthz", _nothing),
    path("payments/<int:pk>/", _nothing, name="api-payment"),
    path("api/", include("oscarapi.urls")),
]
