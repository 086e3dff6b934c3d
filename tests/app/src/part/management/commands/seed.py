"""Fills the database with the same rows every time.

Each row's values depend on its number alone, so a larger size only adds rows, and a
second run adds none. The odd values are the point: what a text protocol, a float or a
dump could lose is in here.
"""

import datetime
import math
import random
import urllib.request
import uuid
from decimal import Decimal

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.core.management.base import BaseCommand
from django.db import transaction
from django.db.models import JSONField, Value
from part.models import Attachment, Category, Part, Setting, StockItem, Supplier, SupplierPart, Tag
from plugin_ledger.models import Account, Entry

EPOCH = datetime.datetime(2020, 1, 5, 8, 30, tzinfo=datetime.timezone.utc)
NAMESPACE = uuid.UUID("6f0c2f9e-3c3a-4d43-9a53-9d8f5e0b7a11")
CHUNK = 500

TEXTS = [
    "",
    "Plain text.",
    "Größe M3 × 10 – «Schraube», 5 µm ≤ Ø",
    "日本語の部品、漢字とかな",
    "قطعة غيار من اليمين إلى اليسار",
    "emoji 🔩🪛 and a flag 🇳🇱",
    "combining: e\u0301 and precomposed: é",
    "tab\there, line\nbreak, return\r\nand back\\slash, quote ' and \"double\"",
    "\\N and \\. alone on a line:\n\\.\nend",
    "  leading and trailing blanks  ",
    "control \x01 \x1f \x7f, zero width \u200b\u200d, separator \u2028",
]
PRICES = ["0", "0.000001", "-1.500000", "1234567890123.999999", "9999999999999.999999", "3.14"]
WEIGHTS = [0.1, 1 / 3, 1e-300, 1.7976931348623157e308, -0.0, math.inf, -math.inf, math.nan, 2.5]
MOMENTS = [
    EPOCH,
    EPOCH.replace(microsecond=1),
    EPOCH.replace(microsecond=999999),
    datetime.datetime(1, 1, 2, tzinfo=datetime.timezone.utc),
    datetime.datetime(9999, 12, 30, 23, 59, 59, 999999, tzinfo=datetime.timezone.utc),
    datetime.datetime(2024, 2, 29, 12, tzinfo=datetime.timezone(datetime.timedelta(hours=5, minutes=45))),
]
DURATIONS = [
    datetime.timedelta(0),
    datetime.timedelta(days=-1, microseconds=1),
    datetime.timedelta(days=400, hours=3, microseconds=5),
    datetime.timedelta(microseconds=-1),
]
DOCUMENTS = [
    {},
    {"colour": "red", "sizes": [1, 2.50, None, True], "nested": {"ü": "é", "deep": [[[]]]}},
    [1, "two", {"three": 3}],
    "only a string",
    9007199254740993,
    {"big": 12345678901234567890, "small": 1e-7, "text": "quote \" back \\ slash / \u2028"},
    False,
]


class Command(BaseCommand):
    help = "Create deterministic test data."

    def add_arguments(self, parser):
        parser.add_argument("--size", type=int, default=2000, help="how many parts (default: 2000)")

    def handle(self, *args, size, **options):
        have = Part.objects.filter(number__startswith="PRT-").count()
        if have >= size:
            self.stdout.write(f"seed: {have} parts are there already")
            return
        with transaction.atomic():
            self.people()
            self.surroundings()
            for start in range(have, size, CHUNK):
                self.parts(range(start, min(start + CHUNK, size)))
        self.stdout.write(f"seed: {size} parts, {Attachment.objects.count()} attachments")

    def people(self):
        for name in ("viewers", "buyers", "engineers", "admins"):
            group, created = Group.objects.get_or_create(name=name)
            if created:
                codenames = {"viewers": "view_", "buyers": "change_", "engineers": "add_"}.get(name, "")
                group.permissions.set(Permission.objects.filter(codename__startswith=codenames))
        for number in range(10):
            user, created = User.objects.get_or_create(
                username=f"user{number}" if number else "admin",
                defaults={
                    "first_name": ["Ada", "Zoë", "Łukasz", "李"][number % 4],
                    "email": f"user{number}@example.org",
                    "is_staff": number < 3,
                    "is_superuser": number == 0,
                    "password": make_password("inventree", salt="fixedsaltfixedsalt") if not number else "!",
                    "date_joined": EPOCH + datetime.timedelta(days=number),
                },
            )
            if created:
                user.groups.add(Group.objects.order_by("id")[number % 4])

    def surroundings(self):
        if Category.objects.exists():
            return
        parents = [None]
        for number in range(60):
            parents.append(
                Category.objects.create(
                    parent=parents[number // 3],
                    name=f"Category {number:03d}",
                    description=TEXTS[number % len(TEXTS)],
                )
            )
        Tag.objects.bulk_create(Tag(name=f"tag-{number:02d}") for number in range(25))
        Supplier.objects.bulk_create(
            Supplier(
                name=f"Supplier {number:02d} {'GmbH & Co. KG' if number % 2 else 'Ltd'}",
                website=f"https://supplier{number}.example.org/?q=a&b=c",
                address=None if number % 5 == 0 else (f"10.1.2.{number}" if number % 2 else f"2001:db8::{number:x}"),
                founded=datetime.date(1900 + number, 1 + number % 12, 1 + number % 28),
                active=number % 3 != 0,
            )
            for number in range(40)
        )
        Account.objects.bulk_create(
            Account(code=f"{4000 + number}", name=f"Account {number}") for number in range(12)
        )
        Setting.objects.bulk_create(
            Setting(key=f"SETTING_{number:02d}", value=TEXTS[number % len(TEXTS)]) for number in range(30)
        )

    def parts(self, numbers):
        categories = list(Category.objects.order_by("id").values_list("id", flat=True))
        users = list(User.objects.order_by("id").values_list("id", flat=True))
        tags = list(Tag.objects.order_by("id").values_list("id", flat=True))
        suppliers = list(Supplier.objects.order_by("id").values_list("id", flat=True))
        accounts = list(Account.objects.order_by("id").values_list("id", flat=True))
        parts = Part.objects.bulk_create([self.part(number, categories, users) for number in numbers])

        tagged, supplied, stock, entries = [], [], [], []
        for number, part in zip(numbers, parts):
            rng = random.Random(f"relations {number}")
            tagged += [
                Part.tags.through(part_id=part.id, tag_id=tag) for tag in rng.sample(tags, rng.randrange(4))
            ]
            supplied += [
                SupplierPart(part_id=part.id, supplier_id=supplier, sku=f"SKU/{number:06d}", pack_size=1 + supplier % 9)
                for supplier in rng.sample(suppliers, rng.randrange(3))
            ]
            for copy in range(rng.randrange(4)):
                stock.append(
                    StockItem(
                        part_id=part.id,
                        serial=None if copy == 0 else 2**53 + 1 + copy,
                        quantity=Decimal(rng.randrange(10**9)) / 10**5,
                        batch=[None, "", f"B{number}"][number % 3],
                        expires=EPOCH.date() + datetime.timedelta(days=rng.randrange(5000)),
                    )
                )
            entries.append(
                Entry(
                    account_id=accounts[number % len(accounts)],
                    part_id=part.id if number % 4 else None,
                    amount=Decimal(rng.randrange(-(10**8), 10**8)) / 10**4,
                    booked=EPOCH + datetime.timedelta(minutes=number, microseconds=number % 1000),
                    note=TEXTS[number % len(TEXTS)],
                )
            )
        Part.tags.through.objects.bulk_create(tagged)
        SupplierPart.objects.bulk_create(supplied)
        stock = StockItem.objects.bulk_create(stock)
        first, children = {}, []
        for item in stock:
            if item.part_id in first:
                item.parent_id = first[item.part_id]
                children.append(item)
            first.setdefault(item.part_id, item.id)
        StockItem.objects.bulk_update(children, ["parent"])
        Entry.objects.bulk_create(entries)
        self.files(numbers, parts)

    def part(self, number, categories, users):
        rng = random.Random(f"part {number}")
        moment = MOMENTS[number % len(MOMENTS)] if number % 7 == 0 else EPOCH + datetime.timedelta(seconds=61 * number)
        long_text = "".join(rng.choice("abcdefghij klmnop\n") for _ in range(20000)) if number % 200 == 3 else ""
        metadata = DOCUMENTS[number % len(DOCUMENTS)]
        if number % 11 == 1:
            metadata = None  # SQL NULL
        elif number % 11 == 2:
            metadata = Value(None, JSONField())  # the JSON value null, which is another thing
        return Part(
            uuid=uuid.uuid5(NAMESPACE, str(number)),
            number=f"PRT-{number:06d}",
            name=f"{['Bolt', 'nut', 'Écrou', 'ßchraube', 'Ångström gauge', 'z-clip'][number % 6]} {number}",
            description=TEXTS[number % len(TEXTS)] + long_text,
            category_id=None if number % 13 == 0 else rng.choice(categories),
            owner_id=rng.choice([None, *users]),
            price=None if number % 17 == 0 else Decimal(PRICES[number % len(PRICES)]),
            weight_kg=WEIGHTS[number % len(WEIGHTS)],
            metadata=metadata,
            keywords=[[], ["one"], ["with,comma", 'with"quote', "NULL", ""], ["ünï", "back\\slash"]][number % 4],
            active=number % 10 != 9,
            created=moment,
            revised=None if number % 3 else moment.replace(year=min(moment.year + 1, 9999), month=1, day=1),
            available_from=[None, moment.date(), datetime.date(9999, 12, 31)][number % 3],
            counted_at=[None, datetime.time(0), datetime.time(23, 59, 59, 999999)][number % 3],
            lead_time=DURATIONS[number % len(DURATIONS)],
            fingerprint=None if number % 5 == 0 else bytes([0, 255, 92, 39]) + rng.randbytes(28),
            datasheet=self.datasheet_name(number) if number % 50 == 0 else "",
        )

    @staticmethod
    def datasheet_name(number):
        return f"datasheets/Datenblatt größe {number} (1).txt"

    def files(self, numbers, parts):
        """Files for some parts, in the media folder and, where there is one, in the object store."""
        content_type = ContentType.objects.get_for_model(Part)
        attachments = []
        for number, part in zip(numbers, parts):
            rng = random.Random(f"file {number}")
            if number % 50 == 0:
                self.write(part.datasheet.name, f"Datasheet of {part.number}\n".encode() * 40)
            if number % 20 == 0:
                name = f"attachments/part_{number:06d}.bin"
                self.write(name, rng.randbytes(200 + rng.randrange(20000)))
                attachments.append(
                    Attachment(content_type=content_type, object_id=part.id, file=name, comment=f"For {part.number}")
                )
        Attachment.objects.bulk_create(attachments)

    @staticmethod
    def write(name, content):
        path = settings.MEDIA_ROOT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        store = getattr(settings.FLAVOUR, "object_store", lambda: None)()
        if store:
            endpoint, bucket = store
            url = f"{endpoint}/{bucket}/{urllib.request.quote(name)}"
            urllib.request.urlopen(urllib.request.Request(url, data=content, method="PUT"), timeout=10).close()
