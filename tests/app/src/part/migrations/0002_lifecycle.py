"""Schema 2: parts get a lifecycle, filled from what is known of them."""

from django.db import migrations, models


def fill(apps, schema_editor):
    part = apps.get_model("part", "Part")
    part.objects.filter(active=False).update(lifecycle="obsolete")
    part.objects.filter(active=True, price=None).update(lifecycle="prototype")


class Migration(migrations.Migration):
    dependencies = [("part", "0001_initial")]

    operations = [
        migrations.AddField(
            model_name="part",
            name="lifecycle",
            field=models.CharField(db_index=True, default="active", max_length=20),
        ),
        migrations.RunPython(fill, migrations.RunPython.noop),
    ]
