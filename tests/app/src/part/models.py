"""A small parts inventory.

Its point is variety: nearly every kind of column, index and relation that Django makes
in PostgreSQL occurs once.
"""

import uuid

from django.conf import settings
from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Upper


class Category(models.Model):
    """A tree: the foreign key points at its own table."""

    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.CASCADE, related_name="children")
    name = models.CharField(max_length=100)
    description = models.TextField(blank=True)

    class Meta:
        unique_together = [("parent", "name")]


class Tag(models.Model):
    name = models.SlugField(unique=True)


class Supplier(models.Model):
    name = models.CharField(max_length=120, unique=True)
    website = models.URLField(blank=True)
    address = models.GenericIPAddressField(null=True)
    founded = models.DateField(null=True)
    active = models.BooleanField(default=True)


class Part(models.Model):
    uuid = models.UUIDField(default=uuid.uuid4, unique=True)
    number = models.CharField(max_length=40)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    category = models.ForeignKey(Category, null=True, on_delete=models.SET_NULL, related_name="parts")
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL)
    tags = models.ManyToManyField(Tag, blank=True)
    suppliers = models.ManyToManyField(Supplier, through="SupplierPart")
    price = models.DecimalField(max_digits=19, decimal_places=6, null=True)
    weight_kg = models.FloatField(null=True)
    metadata = models.JSONField(null=True, blank=True)
    keywords = ArrayField(models.CharField(max_length=40), default=list)
    active = models.BooleanField(default=True)
    created = models.DateTimeField()
    revised = models.DateTimeField(null=True)
    available_from = models.DateField(null=True)
    counted_at = models.TimeField(null=True)
    lead_time = models.DurationField(null=True)
    fingerprint = models.BinaryField(null=True)
    datasheet = models.FileField(upload_to="datasheets/", blank=True)
    if settings.SCHEMA >= 2:
        lifecycle = models.CharField(max_length=20, default="active", db_index=True)

    class Meta:
        permissions = [("count_part", "Can count parts")]
        constraints = [models.UniqueConstraint(fields=["number"], name="part_number_unique")]
        indexes = [
            models.Index(fields=["category", "name"], condition=models.Q(active=True), name="part_active_by_category"),
            models.Index(Upper("name"), name="part_name_upper"),
        ]


class SupplierPart(models.Model):
    part = models.ForeignKey(Part, on_delete=models.CASCADE)
    supplier = models.ForeignKey(Supplier, on_delete=models.PROTECT)
    sku = models.CharField(max_length=60)
    pack_size = models.PositiveSmallIntegerField(default=1)

    class Meta:
        unique_together = [("supplier", "sku")]


class StockItem(models.Model):
    part = models.ForeignKey(Part, on_delete=models.CASCADE, related_name="stock")
    parent = models.ForeignKey("self", null=True, on_delete=models.SET_NULL)
    serial = models.BigIntegerField(null=True)
    quantity = models.DecimalField(max_digits=15, decimal_places=5)
    batch = models.CharField(max_length=40, null=True)
    expires = models.DateField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["part", "serial"], name="stock_serial_unique")]


class Attachment(models.Model):
    """Belongs to a row of any table."""

    content_type = models.ForeignKey(ContentType, on_delete=models.CASCADE)
    object_id = models.PositiveBigIntegerField()
    target = GenericForeignKey("content_type", "object_id")
    file = models.FileField(upload_to="attachments/")
    comment = models.CharField(max_length=200, blank=True)

    class Meta:
        indexes = [models.Index(fields=["content_type", "object_id"], name="attachment_target")]


class Setting(models.Model):
    key = models.CharField(max_length=80, primary_key=True)
    value = models.TextField(blank=True)


class Heartbeat(models.Model):
    """What the worker writes all the time: a row that is missing later was lost."""

    worker = models.CharField(max_length=80)
    at = models.DateTimeField(auto_now_add=True)
