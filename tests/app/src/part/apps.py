from django.apps import AppConfig


class PartConfig(AppConfig):
    name = "part"
    default_auto_field = "django.db.models.BigAutoField"
