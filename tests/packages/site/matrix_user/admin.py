"""As Django's documentation writes it."""

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin

from matrix_user.models import User

admin.site.register(User, UserAdmin)
