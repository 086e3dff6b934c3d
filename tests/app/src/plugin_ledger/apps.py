from django.apps import AppConfig


class LedgerConfig(AppConfig):
    name = "plugin_ledger"
    default_auto_field = "django.db.models.BigAutoField"
