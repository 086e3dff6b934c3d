"""A plugin: tables and migrations of its own, beside the application's."""

from django.db import models


class Account(models.Model):
    code = models.CharField(max_length=20, unique=True)
    name = models.CharField(max_length=100)


class Entry(models.Model):
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="entries")
    part = models.ForeignKey("part.Part", null=True, on_delete=models.SET_NULL)
    amount = models.DecimalField(max_digits=19, decimal_places=4)
    booked = models.DateTimeField()
    note = models.TextField(blank=True)

    class Meta:
        indexes = [models.Index(fields=["-booked"], name="ledger_newest_first")]
