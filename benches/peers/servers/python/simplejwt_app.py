"""djangorestframework-simplejwt as its documentation sets it up, with rotation and its blacklist.

`python simplejwt_app.py` makes the tables and the accounts in DATABASE_URL; gunicorn
serves `simplejwt_app:application`.
"""

import os
from urllib.parse import urlsplit

import django
from django.conf import settings

DATABASE = urlsplit(os.environ["DATABASE_URL"])

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": DATABASE.path.lstrip("/"),
            "USER": DATABASE.username,
            "HOST": DATABASE.hostname,
            "PORT": DATABASE.port,
            # A connection for each request would cost more than what is measured.
            "OPTIONS": {"pool": True},
        }
    },
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "rest_framework",
        "rest_framework_simplejwt",
        "rest_framework_simplejwt.token_blacklist",
    ],
    PASSWORD_HASHERS=["simplejwt_hasher.Argon2"],
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework_simplejwt.authentication.JWTAuthentication"],
        "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    },
    ROOT_URLCONF="simplejwt_app",
    SECRET_KEY=os.environ["SECRET"],
    SIMPLE_JWT={"ROTATE_REFRESH_TOKENS": True, "BLACKLIST_AFTER_ROTATION": True},
    USE_TZ=True,
)
django.setup()

from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.urls import path  # noqa: E402
from rest_framework.decorators import api_view  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework_simplejwt.views import (  # noqa: E402
    TokenBlacklistView,
    TokenObtainPairView,
    TokenRefreshView,
)


@api_view()
def me(request):
    return Response({"username": request.user.username})


urlpatterns = [
    path("api/token/", TokenObtainPairView.as_view()),
    path("api/token/refresh/", TokenRefreshView.as_view()),
    path("api/token/blacklist/", TokenBlacklistView.as_view()),
    path("api/me/", me),
]

if __name__ == "__main__":
    from django.contrib.auth import get_user_model
    from django.core.management import call_command
    from simplejwt_hasher import Argon2

    def stored(hasher):
        return hasher.encode(os.environ["PASSWORD"], hasher.salt())

    call_command("migrate", verbosity=0)
    User = get_user_model()
    usual = stored(Argon2())
    names = [f"person{number}" for number in range(int(os.environ["ACCOUNTS"]))]
    User.objects.bulk_create(User(username=name, password=usual) for name in names)
    # Logs in for sessions to be there: its logins are not measured.
    quick = Argon2()
    quick.memory_cost = 8
    User.objects.create(username=os.environ["QUICK"], password=stored(quick))
else:
    application = get_wsgi_application()
