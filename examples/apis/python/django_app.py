"""A Django service for the users of Latchet, in one file. `gunicorn django_app:application` serves it too."""
import os

from django.conf import settings
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import path
from latchet import Latchet
from latchet.django import login_required

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware", "latchet.django.middleware"],
    # Every request is checked. With `cache_seconds=1`, the default, a logout takes effect within a second.
    LATCHET=Latchet(os.environ.get("LATCHET_URL", "http://127.0.0.1:8080"), cache_seconds=0),
)


@login_required
def hello(request):
    return JsonResponse({"hello": request.latchet_user.username})


def greeting(request):
    user = request.latchet_user
    return JsonResponse({"hello": user.username if user else "stranger"})


@login_required(roles=["admin"])
def admin(request):
    return JsonResponse({"hello": request.latchet_user.username})


urlpatterns = [path("hello", hello), path("greeting", greeting), path("admin", admin)]
application = get_wsgi_application()

if __name__ == "__main__":
    execute_from_command_line(["django_app", "runserver", "--noreload", f"127.0.0.1:{os.environ.get('PORT', '3000')}"])
