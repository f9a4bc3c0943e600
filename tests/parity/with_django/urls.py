"""The project's HTTP views."""

from django.http import HttpResponse
from django.urls import path

from .people.models import Person


def people(request):
    """Name all people, in a text."""
    return HttpResponse(",".join(Person.objects.order_by("email").values_list("email", flat=True)))


def me(request):
    """Name the user."""
    return HttpResponse(str(request.user))


urlpatterns = [path("people/", people), path("me/", me)]
